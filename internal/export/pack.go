// SPDX-License-Identifier: Apache-2.0

package export

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// PackOptions say what a pack is about and how.
type PackOptions struct {
	Selection
	Chain     []*x509.Certificate // issuing intermediate first, root last
	Station   string              // PLANT/STATION
	Simulated bool                // the TPM is made of software: said in every pack
	Skip      bool                // leave out units that do not fit, and list them, instead of refusing
	Now       time.Time           // zero: time.Now
	Progress  func(certificates int64)

	AWS      AWSOptions
	Azure    AzureOptions
	Manifest ManifestKey
}

// service is one cloud: what it takes, and what it wants to be given.
type service interface {
	// check says whether a unit keeps the service's limits.
	check(*unit) error
	// add writes the registration of a live unit.
	add(*unit) error
	// bar is told of every unit that must not get in.
	bar(ctx context.Context, u *unit) error
	// documents are written when all units are known.
	documents(packCounts) error
}

// services are the clouds there are packs for.
var services = map[string]func(*folder, *PackOptions, *units) (service, error){
	"aws":   newAWS,
	"azure": newAzure,
}

// packCounts are what the documents of a pack say.
type packCounts struct {
	Registered, Listed, Skipped int64
	byStatus                    map[Status]int64
}

// packStep is how many certificates are read between two calls of Progress: a
// manifest waits for the TPM at each.
const packStep = 100

// Packs returns the names of all formats that are about certificates.
func Packs() []string {
	return slices.Sorted(maps.Keys(map[string]bool{"aws": true, "azure": true, "manifest": true, "c-header": true}))
}

// IsFolder says whether a format is a folder and not a file.
func IsFolder(format string) bool { return services[format] != nil }

// UnfitError names units that do not keep a limit of who they are for. Nothing
// was written.
type UnfitError struct {
	Units []string // "unit X: why", the first ones
	More  int64    // how many besides
}

// unfitShown is how many units an UnfitError names.
const unfitShown = 10

func (e *UnfitError) Error() string {
	text := strings.Join(e.Units, "; ")
	if e.More > 0 {
		text += fmt.Sprintf("; and %d more", e.More)
	}
	return text
}

func (e *UnfitError) add(text string) {
	if len(e.Units) < unfitShown {
		e.Units = append(e.Units, text)
		return
	}
	e.More++
}

// Pack writes a pack of the ledger's certificates to a path that is not there
// yet (aws, azure: a folder) or to a file (manifest, c-header). It appears whole
// or not at all. Memory does not grow with the number of units, but for names
// that are not serials (at most [maxNames] of them).
func Pack(ctx context.Context, path, format string, ledger *reader.Reader, o PackOptions) (Result, error) {
	if len(o.Chain) < 2 {
		return Result{}, errors.New("export: the intermediate and its root are needed")
	}
	if o.Outcome != "" && o.Outcome != record.Passed {
		return Result{}, fmt.Errorf("export: a pack registers units that passed, not those that %s", o.Outcome)
	}
	o.Outcome = "" // entries of certificates have none
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	w, err := newUnits(ctx, ledger, o.Chain, o.Now)
	if err != nil {
		return Result{}, fmt.Errorf("export: %w", err)
	}
	switch {
	case services[format] != nil:
		return packFolder(ctx, path, format, w, &o)
	case format == "manifest":
		return writeManifest(ctx, path, w, &o)
	case format == "c-header":
		return writeHeader(ctx, path, w, &o)
	}
	return Result{}, fmt.Errorf("export format %q is unknown, there are %s", format, strings.Join(Packs(), ", "))
}

// packing is a folder being filled.
type packing struct {
	service
	o       *PackOptions
	names   names
	allowed *folderFile
	skipped *folderFile
	unfit   UnfitError
	counts  packCounts
}

func packFolder(ctx context.Context, path, format string, w *units, o *PackOptions) (result Result, err error) {
	d, err := newFolder(path)
	if err != nil {
		return Result{}, err
	}
	defer func() {
		if err != nil {
			d.abandon()
		}
	}()
	p := &packing{o: o, names: names{ledger: w.ledger, seen: map[string]bool{}}}
	p.counts.byStatus = map[Status]int64{}
	if p.service, err = services[format](d, o, w); err != nil {
		return Result{}, err
	}
	if p.allowed, err = d.create("allow-list.jsonl"); err != nil {
		return Result{}, err
	}
	if err = w.each(ctx, o.Selection, func(u *unit) error { return p.take(ctx, d, u) }); err != nil {
		return Result{}, fmt.Errorf("export: %w", err)
	}
	if len(p.unfit.Units) > 0 {
		return Result{}, &p.unfit
	}
	if err = p.documents(p.counts); err != nil {
		return Result{}, err
	}
	result = Result{Rows: p.counts.Registered, Listed: p.counts.Listed, Skipped: p.counts.Skipped}
	result.Bytes, result.SHA256, err = d.finish()
	return result, err
}

// take puts one certificate where it belongs.
func (p *packing) take(ctx context.Context, d *folder, u *unit) error {
	if err := p.allowed.line(allowance(u)); err != nil {
		return err
	}
	p.counts.Listed++
	p.counts.byStatus[u.status]++
	if p.o.Progress != nil && p.counts.Listed%packStep == 0 {
		p.o.Progress(p.counts.Listed)
	}
	if u.status != Live {
		return p.bar(ctx, u)
	}
	err := p.check(u)
	if err == nil {
		err = p.names.take(ctx, u)
	}
	var wrong *limitError
	if errors.As(err, &wrong) {
		return p.misfit(d, u, wrong)
	}
	if err != nil {
		return err
	}
	p.counts.Registered++
	return p.add(u)
}

// limitError says which limit of a service a unit does not keep.
type limitError struct{ why string }

func (e *limitError) Error() string { return e.why }

func limit(err error) error {
	if err == nil {
		return nil
	}
	return &limitError{err.Error()}
}

func (p *packing) misfit(d *folder, u *unit, wrong *limitError) (err error) {
	if !p.o.Skip {
		p.unfit.add(fmt.Sprintf("unit %s: %s", u.entry.Body.Serial, wrong.why))
		return nil
	}
	p.counts.Skipped++
	if p.skipped == nil {
		if p.skipped, err = d.create("skipped.jsonl"); err != nil {
			return err
		}
	}
	return p.skipped.line(struct {
		Serial        string `json:"serial"`
		CertificateID string `json:"certificateId"`
		Why           string `json:"why"`
	}{u.entry.Body.Serial, u.id(), wrong.why})
}

// allowed is a line of the allow-list.
type allowed struct {
	CertificateID     string `json:"certificateId"` // SHA-256 of the DER, lower-case hex
	Status            Status `json:"status"`
	Name              string `json:"name"` // common name: thing, device or registration
	Serial            string `json:"serial"`
	Model             string `json:"model"`
	UID               string `json:"uid"`
	CertificateSerial string `json:"certificateSerial"` // lower-case hex
	IssuerKeyID       string `json:"issuerKeyId"`
	NotAfter          string `json:"notAfter"`
	Reason            string `json:"reason,omitempty"`
}

func allowance(u *unit) allowed {
	b := u.entry.Body
	return allowed{u.id(), u.status, u.name(), b.Serial, b.Model, b.UID, b.CertSerial, b.IssuerKey, u.leaf.NotAfter.UTC().Format(time.RFC3339), u.reason}
}

// maxNames bounds the names that are held in memory.
const maxNames = 1 << 20

// names finds two units that would be one to a cloud. A name that is the unit's
// own serial needs no memory: the ledger keeps serials of live units apart.
type names struct {
	ledger *reader.Reader
	seen   map[string]bool
}

func (n *names) take(ctx context.Context, u *unit) error {
	name, serial := u.name(), u.entry.Body.Serial
	if name == serial {
		return nil
	}
	if n.seen[name] {
		return &limitError{fmt.Sprintf("another unit is named %q, too", name)}
	}
	if len(n.seen) == maxNames {
		return fmt.Errorf("more than %d units have names that are not their serials: export by work order", maxNames)
	}
	n.seen[name] = true
	holder, held, err := n.ledger.Holder(ctx, record.Claim{Kind: record.ClaimSerial, Value: name})
	if held && holder.Body.Unit() != u.entry.Body.Unit() {
		return &limitError{fmt.Sprintf("its name %q is the serial of another unit", name)}
	}
	return err
}
