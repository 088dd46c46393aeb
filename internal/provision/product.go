// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/flasher"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/label"
	"provisioning.example/station/internal/settings"
)

// ProductConfig is a product as its file says it; see testdata/product.toml
// for a commented example of every key.
type ProductConfig struct {
	Name         string   `toml:"name"`
	Model        string   `toml:"model"`
	USB          []string `toml:"usb"`
	Baud         int      `toml:"baud"`
	DTR          *bool    `toml:"dtr"`
	RTS          *bool    `toml:"rts"`
	Driver       string   `toml:"driver"`
	Profile      string   `toml:"profile"`
	Anchors      []string `toml:"anchors"`
	Algorithm    string   `toml:"algorithm"`
	Prot         []int    `toml:"prot"`
	Lock         *bool    `toml:"lock"`
	Reset        *bool    `toml:"reset"`
	Rehearse     string   `toml:"rehearse"`
	RehearseRoot string   `toml:"rehearse_root"`
	Serial       string   `toml:"serial"`

	Image         string `toml:"image"`
	ImageManifest string `toml:"image_manifest"`
	ReleaseKey    string `toml:"release_key"`

	LabelPass string `toml:"label_pass"`
	LabelFail string `toml:"label_fail"`
}

// Product is a validated ProductConfig: what is built, and how.
type Product struct {
	cfg         ProductConfig
	digest      [32]byte
	anchors     []byte // DER certificates, concatenated
	prot        uint8
	serverRoots *x509.CertPool
	image       *flasher.Image    // nil: boards come with their firmware
	manifest    *flasher.Manifest // nil: none was given
}

// maxAnchors is the largest object a board may take, in bytes (protocol, 4).
const maxAnchors = 8192

// The serial sources of a product.
const (
	SerialUID   = "uid"   // the board's ID in hex
	SerialScan  = "scan"  // the technician scans the label
	SerialList  = "list"  // a row of the --units file, or of an order's manifest
	SerialRange = "range" // the next number of an order; no product has it
)

var (
	algorithms  = []string{"ES256", "ES384", "EdDSA", "RS256"}
	serials     = []string{SerialUID, SerialScan, SerialList}
	bauds       = []int{9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600, 1000000, 1500000, 2000000}
	usbPattern  = regexp.MustCompile(`^[0-9a-fA-F]{4}:([0-9a-fA-F]{4}|\*)$`)
	namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._/-]{0,62}$`)
)

// LoadProduct reads and checks a product's file. Mistakes name file and line
// and say what is allowed. Paths in the file that are not absolute are relative
// to it.
func LoadProduct(path string) (*Product, error) {
	raw, err := settings.Read(path)
	if err != nil {
		return nil, err
	}
	var c ProductConfig
	if err := settings.Decode(path, raw, &c); err != nil {
		return nil, err
	}
	p, err := newProduct(c, path, raw)
	if err != nil {
		return nil, err
	}
	p.digest = sha256.Sum256(raw)
	return p, nil
}

// NewProduct checks a product that does not come from a file.
func NewProduct(c ProductConfig) (*Product, error) {
	raw, err := toml.Marshal(c)
	if err != nil {
		return nil, err
	}
	p, err := newProduct(c, "product", raw)
	if err != nil {
		return nil, err
	}
	p.digest = sha256.Sum256(raw)
	return p, nil
}

func newProduct(c ProductConfig, path string, text []byte) (*Product, error) {
	fill(&c)
	p := &Product{cfg: c}
	for _, bit := range c.Prot {
		p.prot |= 1 << (bit & 7)
	}
	var anchors, roots error
	p.anchors, anchors = concatenated(filepath.Dir(path), c.Anchors)
	if c.RehearseRoot != "" {
		p.serverRoots, roots = pool(beside(filepath.Dir(path), c.RehearseRoot))
	}
	return p, settings.Verify(path, text, append([]settings.Check{
		{Key: "name", OK: namePattern.MatchString(c.Name), Allowed: "1 to 63 letters, digits, spaces or . _ / - are allowed"},
		{Key: "model", OK: c.Model != "" && len(c.Model) <= 64, Allowed: "the model the board reports, 1 to 64 bytes"},
		{Key: "usb", OK: !slices.ContainsFunc(c.USB, notUSB), Allowed: "VID:PID in hex, PID may be *"},
		{Key: "baud", OK: slices.Contains(bauds, c.Baud), Allowed: fmt.Sprintf("allowed: %v", bauds)},
		{Key: "driver", OK: c.Driver == "smp", Allowed: `allowed: "smp"`},
		{Key: "algorithm", OK: slices.Contains(algorithms, c.Algorithm), Allowed: "allowed: " + strings.Join(algorithms, ", ")},
		{Key: "prot", OK: !slices.ContainsFunc(c.Prot, notProt), Allowed: "bits 0 (verified boot), 1 (debug closed), 2 (read-out closed), 3 (secure element) are allowed"},
		{Key: "serial", OK: slices.Contains(serials, c.Serial), Allowed: "allowed: " + strings.Join(serials, ", ")},
		{Key: "rehearse", OK: c.Rehearse == "" || enroll.CheckTarget(c.Rehearse) == nil, Allowed: "host:port of a TLS server, mqtt://host:port of an MQTT broker (always over TLS), or nothing for the station's own"},
		{Key: "rehearse_root", OK: (c.Rehearse == "") == (c.RehearseRoot == ""), Allowed: "goes with rehearse: the PEM root of that server"},
		{Key: "rehearse_root", OK: roots == nil, Allowed: fmt.Sprint(roots)},
		{Key: "anchors", OK: anchors == nil, Allowed: fmt.Sprint(anchors)},
		{Key: "anchors", OK: len(p.anchors) <= maxAnchors, Allowed: fmt.Sprintf("%d bytes of certificates, a board takes at most %d", len(p.anchors), maxAnchors)},
	}, append(p.loadFirmware(filepath.Dir(path)), p.checkLabels(filepath.Dir(path))...)...))
}

func notUSB(s string) bool { return !usbPattern.MatchString(s) }
func notProt(bit int) bool { return bit < 0 || bit > 3 }

// fill sets what a product's file left out.
func fill(c *ProductConfig) {
	yes := true
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&c.Driver, "smp")
	def(&c.Profile, "mtls")
	def(&c.Algorithm, "ES256")
	def(&c.Serial, SerialUID)
	if c.Baud == 0 {
		c.Baud = 115200
	}
	if c.Lock == nil {
		c.Lock = &yes
	}
	if c.Reset == nil {
		c.Reset = &yes
	}
}

// beside is where a file lies that a product's file in dir names.
func beside(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// NoLabel in the place of a template says that such units get no label.
const NoLabel = "none"

// Labels are the paths of the product's label templates; "" leaves it to the station,
// NoLabel says that there is none.
func (p *Product) Labels() (pass, fail string) { return p.cfg.LabelPass, p.cfg.LabelFail }

// checkLabels reads the templates once and makes their paths those beside the
// file. The printer's resolution is the station's: a template that fits one will do.
func (p *Product) checkLabels(dir string) []settings.Check {
	one := func(key string, path *string) settings.Check {
		if *path == "" || *path == NoLabel {
			return settings.Check{Key: key, OK: true}
		}
		*path = beside(dir, *path)
		var first error
		for _, dpi := range label.Resolutions() {
			_, err := label.Load(*path, dpi)
			if err == nil {
				return settings.Check{Key: key, OK: true}
			}
			first = cmp.Or(first, err)
		}
		return settings.Check{Key: key, Allowed: first.Error()}
	}
	return []settings.Check{one("label_pass", &p.cfg.LabelPass), one("label_fail", &p.cfg.LabelFail)}
}

// concatenated reads certificates of PEM files as DER, one behind the other.
func concatenated(dir string, names []string) ([]byte, error) {
	var out []byte
	for _, name := range names {
		certs, err := readPEM(beside(dir, name))
		if err != nil {
			return nil, err
		}
		for _, c := range certs {
			out = append(out, c.Raw...)
		}
	}
	return out, nil
}

func pool(path string) (*x509.CertPool, error) {
	certs, err := readPEM(path)
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p, err
}

// WithAnchors gives a copy of the product whose boards also get these roots
// for the server side of mutual TLS.
func (p *Product) WithAnchors(roots ...*x509.Certificate) *Product {
	c := *p
	c.anchors = slices.Clone(p.anchors)
	for _, r := range roots {
		c.anchors = append(c.anchors, r.Raw...)
	}
	return &c
}

// Suits tells whether the product's key algorithm is one of the profile's.
func (p *Product) Suits(profile *issuer.Profile) error {
	if !slices.Contains(profile.Algorithms(), p.cfg.Algorithm) {
		return fmt.Errorf("product %s wants keys of %s, profile %s allows %s",
			p.cfg.Name, p.cfg.Algorithm, profile.Name(), strings.Join(profile.Algorithms(), ", "))
	}
	return nil
}

// Name is the product's name as people know it.
func (p *Product) Name() string { return p.cfg.Name }

// Profile is the name of the certificate profile the product uses.
func (p *Product) Profile() string { return p.cfg.Profile }

// Algorithm is the kind of key that the product's boards make.
func (p *Product) Algorithm() string { return p.cfg.Algorithm }

// Digest is the SHA-256 of the product's file, in hex.
func (p *Product) Digest() string { return hexOf(p.digest[:]) }

// Model is what the product's boards report as their model.
func (p *Product) Model() string { return p.cfg.Model }

// SerialSource tells where a unit's serial comes from.
func (p *Product) SerialSource() string { return p.cfg.Serial }

// Line is how the product's boards are opened: baud rate, and the state of
// DTR and RTS where it matters (nil: leave them).
func (p *Product) Line() (baud int, dtr, rts *bool) { return p.cfg.Baud, p.cfg.DTR, p.cfg.RTS }

// MatchesUSB tells whether a port with these USB ids (hex) may hold such a
// board. A product without patterns matches every USB port.
func (p *Product) MatchesUSB(vid, pid string) bool {
	if len(p.cfg.USB) == 0 {
		return vid != ""
	}
	for _, u := range p.cfg.USB {
		v, d, _ := strings.Cut(u, ":")
		if strings.EqualFold(v, vid) && (d == "*" || strings.EqualFold(d, pid)) {
			return true
		}
	}
	return false
}

func readPEM(path string) ([]*x509.Certificate, error) {
	raw, err := settings.Read(path)
	if err != nil {
		return nil, err
	}
	var out []*x509.Certificate
	for {
		var b *pem.Block
		if b, raw = pem.Decode(raw); b == nil {
			break
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w", path, len(out)+1, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no certificate in it", path)
	}
	return out, nil
}
