// SPDX-License-Identifier: Apache-2.0

// Package order reads work orders: what is to be built, how many, and which
// serial numbers the units get. An order is a small file, written by hand or
// signed by an office and carried on a stick; what was done for it is in the
// ledger, not here.
package order

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"provisioning.example/station/internal/settings"
)

// Where an order's serial numbers come from.
const (
	Device   = "device"   // the board's ID in hex
	Scanned  = "scanned"  // a label that is scanned
	Counted  = "range"    // the next number of a range
	Manifest = "manifest" // the rows of a list that the order names
)

// Config is an order as its file says it, in TOML.
type Config struct {
	Order    string `toml:"order"`
	Product  string `toml:"product"`
	Quantity int    `toml:"quantity"`
	Serial   string `toml:"serial,omitempty"`

	First          string `toml:"first,omitempty"`
	Last           string `toml:"last,omitempty"`
	Pattern        string `toml:"pattern,omitempty"`
	Manifest       string `toml:"manifest,omitempty"`
	ManifestSHA256 string `toml:"manifest_sha256,omitempty"`

	Due string `toml:"due,omitempty"`
}

// An Order is one that can be built: its parts fit each other.
type Order struct {
	cfg     Config
	text    []byte
	sum     [32]byte
	numbers Range
	pattern *regexp.Regexp
	due     time.Time
	signed  bool
}

// MaxQuantity bounds an order, in units.
const MaxQuantity = 1_000_000

var (
	namePattern    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	filePattern    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._-]{0,126}$`)
	digestPattern  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	serialsAllowed = `where serials come from: "device", "scanned", "range" or "manifest"`
)

// maxPattern bounds what a label is compared with, in bytes.
const maxPattern = 256

// CheckName refuses a name that no order may have; it is also a file's name.
func CheckName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("%.80q is no order's name: 1 to 63 letters, digits or . _ - are allowed", name)
	}
	return nil
}

// Parse reads an order's text. Errors start with path:line and say what is
// allowed there.
func Parse(path string, text []byte) (*Order, error) {
	c := Config{}
	if err := settings.Decode(path, text, &c); err != nil {
		return nil, err
	}
	if c.Serial == "" {
		c.Serial = Device
	}
	o := &Order{cfg: c, text: text, sum: sha256.Sum256(text)}
	if err := settings.Verify(path, text, o.checks()); err != nil {
		return nil, err
	}
	return o, nil
}

// checks are the rules, in the order in which mistakes are told. They fill what
// is made of the file's texts.
func (o *Order) checks() []settings.Check {
	c := &o.cfg
	var rangeErr, patternErr, dueErr error
	if c.Serial == Counted && c.First != "" {
		o.numbers, rangeErr = NewRange(c.First, c.Last)
	}
	if c.Pattern != "" {
		o.pattern, patternErr = anchored(c.Pattern)
	}
	if c.Due != "" {
		o.due, dueErr = time.Parse(time.DateOnly, c.Due)
	}
	only := func(value, source string) bool { return value == "" || c.Serial == source }
	return []settings.Check{
		{Key: "order", OK: namePattern.MatchString(c.Order), Allowed: "the order's name: 1 to 63 letters, digits or . _ -"},
		{Key: "product", OK: filePattern.MatchString(c.Product), Allowed: "the name of a file in products, without .toml"},
		{Key: "quantity", OK: c.Quantity >= 1 && c.Quantity <= MaxQuantity, Allowed: fmt.Sprintf("how many units, 1 to %d", MaxQuantity)},
		{Key: "serial", OK: known(c.Serial), Allowed: serialsAllowed},
		{Key: "first", OK: only(c.First, Counted), Allowed: `goes with serial = "range"`},
		{Key: "last", OK: only(c.Last, Counted), Allowed: `goes with serial = "range"`},
		{Key: "pattern", OK: only(c.Pattern, Scanned), Allowed: `goes with serial = "scanned"`},
		{Key: "manifest", OK: only(c.Manifest, Manifest), Allowed: `goes with serial = "manifest"`},
		{Key: "manifest_sha256", OK: only(c.ManifestSHA256, Manifest), Allowed: `goes with serial = "manifest"`},
		{Key: "serial", OK: c.Serial != Counted || c.First != "" && c.Last != "", Allowed: "a range needs first and last"},
		{Key: "last", OK: rangeErr == nil, Allowed: fmt.Sprint(rangeErr)},
		{
			Key: "last", OK: c.Serial != Counted || o.numbers.Len() >= int64(c.Quantity),
			Allowed: fmt.Sprintf("%d numbers from first to last, the order wants %d units; a number is never given twice, so leave some to spare", o.numbers.Len(), c.Quantity),
		},
		{Key: "pattern", OK: patternErr == nil && len(c.Pattern) <= maxPattern, Allowed: fmt.Sprintf("a regular expression of at most %d bytes that the whole label matches: %v", maxPattern, patternErr)},
		{Key: "serial", OK: c.Serial != Manifest || c.Manifest != "" && c.ManifestSHA256 != "", Allowed: "a manifest needs manifest and manifest_sha256"},
		{Key: "manifest", OK: c.Manifest == "" || filePattern.MatchString(c.Manifest), Allowed: "the name of a CSV file beside the order's"},
		{Key: "manifest_sha256", OK: c.ManifestSHA256 == "" || digestPattern.MatchString(c.ManifestSHA256), Allowed: "the SHA-256 of the manifest, 64 lower-case hex digits"},
		{Key: "due", OK: dueErr == nil, Allowed: `the last day, as in "2026-12-24"`},
	}
}

func known(source string) bool {
	return source == Device || source == Scanned || source == Counted || source == Manifest
}

// anchored makes an expression that must match from the first byte to the last.
func anchored(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("it has %d bytes", len(pattern))
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, err // by itself: brackets must not pair with ours
	}
	return regexp.Compile(`^(?:` + pattern + `)$`)
}

// Unlimited is an order without a file and without a quantity, for a station
// that only wants a name on its entries.
func Unlimited(name, product string) *Order {
	return &Order{cfg: Config{Order: name, Product: product, Serial: ""}}
}

// Name is the order's name.
func (o *Order) Name() string { return o.cfg.Order }

// Product is the name of the product's file, without .toml.
func (o *Order) Product() string { return o.cfg.Product }

// Quantity is how many units the order wants; 0: no limit.
func (o *Order) Quantity() int { return o.cfg.Quantity }

// Serial is where serials come from; "" leaves it to the product.
func (o *Order) Serial() string { return o.cfg.Serial }

// Numbers is the range that serials are counted in.
func (o *Order) Numbers() Range { return o.numbers }

// Manifest names the list of units beside the order's file, "" for none.
func (o *Order) Manifest() string { return o.cfg.Manifest }

// Due is the last day, in UTC; zero: none is set.
func (o *Order) Due() time.Time { return o.due }

// Signed tells whether the office's signature was checked.
func (o *Order) Signed() bool { return o.signed }

// Text is the file's content.
func (o *Order) Text() []byte { return o.text }

// Digest is the SHA-256 of the file in hex.
func (o *Order) Digest() string { return hex.EncodeToString(o.sum[:]) }

// Same tells whether two orders are the same text.
func (o *Order) Same(other *Order) bool {
	return o != nil && other != nil && o.cfg.Order == other.cfg.Order && o.sum == other.sum
}

// Accepts tells whether a label may be one of the order's.
func (o *Order) Accepts(label string) bool { return o.pattern == nil || o.pattern.MatchString(label) }

// Pattern is what labels must look like, "" for anything.
func (o *Order) Pattern() string { return o.cfg.Pattern }

// Holds tells whether these bytes are the manifest that the order names.
func (o *Order) Holds(manifest []byte) error {
	if sum := sha256.Sum256(manifest); hex.EncodeToString(sum[:]) != o.cfg.ManifestSHA256 {
		return fmt.Errorf("%s is not the manifest that order %s names: its SHA-256 is %x, the order's %s", o.cfg.Manifest, o.cfg.Order, sum, o.cfg.ManifestSHA256)
	}
	return nil
}

// nameOf is the order's name that a file's name stands for.
func nameOf(path string) string { return strings.TrimSuffix(filepath.Base(path), ".toml") }
