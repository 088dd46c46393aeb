// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/filter"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/operator"
	"provisioning.example/station/internal/port"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/tpm"
)

// bench is an opened home: everything a command needs to provision. Close
// gives it back in the opposite order.
type bench struct {
	home     *home
	log      *slog.Logger
	tpm      *tpm.TPM
	ledger   *ledger.Ledger
	reader   *reader.Reader
	who      string // id of the operator
	accept   *acceptance
	role     operator.Role
	locked   *[]string   // who was locked by wrong PINs and is not on record yet
	signed   bool        // the login is on record, and a logout will be due
	pin      *keptSecret // of the CA key, for as long as the session
	issuer   *issuer.Issuer
	product  *provision.Product
	working  *orderFile // what a window builds for, nil: no order
	profile  *issuer.Profile
	rework   []byte            // DER SubjectPublicKeyInfo of the rework keys, concatenated
	others   []*filter.Set     // what other stations have used
	schedule *schedule         // of copies of the ledger; nil: none is set
	labels   *provision.Labels // nil: none are printed
	started  bool              // the start entry is on record, and a stop entry will be due
}

// openBare reads a home and locks it.
func openBare(g *globals) (*bench, error) {
	log, err := g.logger()
	if err != nil {
		return nil, err
	}
	h, err := openHome(g.home)
	if err != nil {
		return nil, err
	}
	return &bench{home: h, log: log, who: g.who(), locked: &g.locked, accept: g.accept}, h.acquire()
}

// openLedger opens a home for work on its ledger: lock, TPM, checkpoint key.
// It needs no PIN.
func openLedger(ctx context.Context, g *globals) (_ *bench, err error) {
	b, err := openBare(g)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	p, refused := g.signIn(b.home)
	if refused != nil && len(g.locked) == 0 {
		return nil, refused
	}
	if err := b.openLedger(ctx); err != nil {
		return nil, errors.Join(refused, err)
	}
	if refused != nil {
		return nil, refused // Close records who was locked
	}
	return b, b.signedIn(ctx, p)
}

func (b *bench) openLedger(ctx context.Context) error {
	h := b.home
	if exists(h.handoverPath()) {
		return interrupted(h)
	}
	if err := b.openTPM(ctx); err != nil {
		return err
	}
	if h.cfg.Keys.Checkpoint == nil {
		return unfit(fmt.Errorf("%s has no checkpoint key", h.dir), "make the home anew with: station init")
	}
	auth, err := os.ReadFile(h.authPath())
	if err != nil {
		return unfit(err, "the checkpoint key's secret belongs into the home; bring it back from a backup")
	}
	c, err := ledgerConfig(ctx, b.tpm, h.cfg.Keys, auth, b.who, b.log)
	if err != nil {
		return unfit(err, "is this the TPM the home was made with? if it was replaced or cleared: station handover")
	}
	c.Path, c.Origin = h.ledgerPath(), h.origin()
	powered, resets, wrong, err := b.judgeClock(ctx)
	if err != nil {
		return err
	}
	b.ledger, err = ledger.Open(ctx, c)
	if err != nil {
		return unfit(fmt.Errorf("the ledger: %w", err), ledgerHint(err))
	}
	b.reader = b.ledger.Reader()
	if err := b.noteClock(ctx, powered, wrong); err != nil {
		return err
	}
	i := b.tpm.Info()
	err = b.note(ctx, record.Body{
		Kind: record.KindStart, TPM: tpmName(i),
		Simulated: i.Simulated, ConfigDigest: h.digest, Origin: h.origin(),
		TPMClock: int64(powered.Milli), TPMResets: int64(resets),
	})
	b.started = err == nil
	return err
}

// tpmName is a TPM's maker and firmware, as entries name it.
func tpmName(i tpm.Info) string { return cmp.Or(i.Manufacturer, i.Kind) + " " + i.Firmware }

func (b *bench) openTPM(ctx context.Context) error {
	t, err := tpm.Open(ctx, tpm.Config{Spec: b.home.tpmSpec(), Log: b.log})
	if err != nil {
		return unfit(fmt.Errorf("the TPM %s: %w", b.home.cfg.TPM, err), "see: station doctor")
	}
	b.tpm = t
	return nil
}

// openBench opens a home for provisioning: openLedger, and the PIN, the
// issuer, product and profile.
func openBench(ctx context.Context, g *globals) (_ *bench, err error) {
	b, err := openLedger(ctx, g)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if b.product, err = b.loadProduct(cmp.Or(g.product, b.home.cfg.Product)); err != nil {
		return nil, err
	}
	if err := b.checkLabels(); err != nil {
		return nil, err
	}
	if b.profile, err = loadProfile(b.home, b.product.Profile()); err != nil {
		return nil, err
	}
	if err := b.product.Suits(b.profile); err != nil {
		return nil, usage(err, "change the product's algorithm, or the profile")
	}
	ca, err := authority.Load(b.home.path("ca"))
	if err != nil {
		return nil, unfit(err, "install one: station ca request, station root sign, station ca install")
	}
	if err := fit(ca); err != nil {
		return nil, err
	}
	if err := b.settleCA(ctx, ca); err != nil {
		return nil, err
	}
	pin, err := g.pin.read("PIN of the CA key")
	if errors.Is(err, errNobodyToAsk) {
		return nil, &exitError{exitUnfit, err, "without the PIN the ledger can only be read: type it, or use --pin-file, --pin-fd or --pin-credential"}
	}
	if err != nil {
		return nil, unfit(err, "without the PIN the ledger can only be read")
	}
	if err := b.openIssuer(ctx, ca.Chain, pin); err != nil {
		return nil, err
	}
	if err := b.issuer.Suits(b.profile); err != nil {
		return nil, unfit(err, "see: station profile check "+b.profile.Name())
	}
	if b.others, err = loadFilters(ctx, b.home, b.reader); err != nil {
		return nil, err
	}
	return b, b.notePINSource(ctx, g.pin.source())
}

// pinSetting is what config entries call the way in which the PIN is handed over.
const pinSetting = "hand-over of the CA key's PIN"

// notePINSource records that from now on the PIN is handed over by nobody, or
// by somebody again: an unattended site is one whose machine alone can sign.
func (b *bench) notePINSource(ctx context.Context, source string) error {
	was := ""
	for at, more := (reader.Cursor{}), true; more && was == ""; {
		page, next, older, err := b.reader.Page(ctx, reader.Filter{Kinds: []string{record.KindConfig}}, at, reader.MaxPage)
		if err != nil {
			return unfit(err, "see: station ledger verify")
		}
		for _, e := range page {
			if e.Body.What == pinSetting {
				was = e.Body.New
				break
			}
		}
		at, more = next, older
	}
	unattended := strings.HasPrefix(source, credentialSource)
	if !unattended {
		source = "by a person"
	}
	if source == was || was == "" && !unattended {
		return nil
	}
	return b.note(ctx, record.Body{Kind: record.KindConfig, What: pinSetting, Old: was, New: source})
}

func (b *bench) openIssuer(ctx context.Context, chain []*x509.Certificate, pin []byte) error {
	keys := b.home.cfg.Keys
	if keys.CA == nil {
		return unfit(fmt.Errorf("%s has no CA key", b.home.dir), "make the home anew with: station init")
	}
	var err error
	if b.pin, err = keepSecret(pin); err != nil {
		return unfit(err, "the system must have memory")
	}
	key, err := b.tpm.Key(ctx, *keys.CA, b.pin.get)
	if err == nil {
		err = tryPIN(ctx, key)
	}
	if err != nil {
		return b.caKeyUnfit(ctx, err)
	}
	b.issuer, err = issuer.New(issuer.Config{Chain: chain, Signer: key})
	if err != nil {
		return unfit(err, "the certificate and the TPM's key do not belong together: station ca status")
	}
	b.rework, err = b.reworkObject(ctx)
	return err
}

// caKeyUnfit says what became of the CA key, and how many wrong PINs are left.
func (b *bench) caKeyUnfit(ctx context.Context, err error) error {
	err = fmt.Errorf("the CA key: %w", err)
	hint := "check PIN and TPM with: station doctor"
	var locked *tpm.LockoutError
	switch {
	case errors.As(err, &locked) && locked.Heals > 0:
		hint = fmt.Sprintf("leave the machine on and try again at %s, or later", time.Now().Add(locked.Heals).Format(time.DateTime))
	case errors.Is(err, tpm.ErrPIN):
		if da, daErr := b.tpm.DA(ctx); daErr == nil {
			hint = fmt.Sprintf("it was not tried again; %d more wrong ones and the TPM locks, see: station doctor", max(da.Max-da.Used, 0))
		}
	}
	return unfit(err, hint)
}

// tryPIN signs a digest that nothing else is: a wrong PIN shows before the
// first board, not at it.
func tryPIN(ctx context.Context, key *tpm.Key) error {
	d := sha256.Sum256([]byte("station: is this the PIN?"))
	_, err := key.SignContext(ctx, d[:], crypto.SHA256)
	return err
}

// note appends an entry of the station itself, and what it refers to.
func (b *bench) note(ctx context.Context, body record.Body, blobs ...[]byte) error {
	body.Operator, body.Software = b.who, software()
	seqs, err := b.ledger.Append(ctx, ledger.Batch{Bodies: []record.Body{body}, Blobs: blobs})
	if err == nil {
		err = b.ledger.Cover(ctx, seqs[0])
	}
	if err != nil {
		return unfit(fmt.Errorf("the ledger cannot be written: %w", err), "free the disk, check that it is writable, see: station doctor")
	}
	return nil
}

func (b *bench) loadProduct(name string) (*provision.Product, error) {
	if name == "" {
		return nil, usage(errors.New("no product is chosen"), `set product = "NAME" in station.toml, a file products/NAME.toml`)
	}
	p, err := provision.LoadProduct(b.home.path("products", name+".toml"))
	if err != nil {
		return nil, usage(err, "mend the product's file; see: station product check FILE")
	}
	return p, nil
}

// loadProfile reads profiles/NAME.toml, else the built-in profile of that name.
func loadProfile(h *home, name string) (*issuer.Profile, error) {
	path := h.path("profiles", name+".toml")
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		p, err := issuer.BuiltinProfile(name)
		if err != nil {
			return nil, usage(err, "name a built-in profile, or write "+path)
		}
		return p, nil
	}
	if err != nil {
		return nil, usage(err, "the profile must be readable")
	}
	p, err := issuer.ParseProfile(path, raw)
	if err != nil {
		return nil, usage(err, "see: station profile check FILE")
	}
	return p, nil
}

// station wires the procedure to this bench.
func (b *bench) station(ctx context.Context, c provision.Config) (*provision.Station, error) {
	c.Ledger, c.Reader, c.Issuer, c.Profile, c.Product = b.ledger, b.reader, b.issuer, b.profile, b.product
	c.Elsewhere = b.others
	c.Operator, c.Software, c.ConfigDigest = b.who, software(), b.home.digest
	c.Role, c.ReworkKeys, c.Log, c.Simulated, c.Fit = string(cmp.Or(b.role, operator.Technician)), b.rework, b.log, b.tpm.Info().Simulated, b.diskFit
	if c.Open == nil {
		c.Open = b.openPort
	}
	if err := b.startLabels(&c); err != nil {
		return nil, err
	}
	st, err := provision.New(ctx, c)
	if err != nil {
		return nil, unfit(err, "see: station doctor")
	}
	return st, nil
}

func (b *bench) openPort(ctx context.Context, name string) (smp.Stream, error) {
	baud, dtr, rts := b.product.Line()
	return port.Open(ctx, name, port.Options{Baud: baud, DTR: dtr, RTS: rts})
}

// Close records the stop and gives everything back.
func (b *bench) Close() error {
	var errs []error
	b.endLabels()
	if b.ledger != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		errs = append(errs, b.signedOut(ctx))
		if b.started {
			errs = append(errs, b.note(ctx, record.Body{Kind: record.KindStop}), b.ledger.Seal(ctx, "stop"))
		}
		errs = append(errs, b.ledger.Close())
	}
	if b.tpm != nil {
		errs = append(errs, b.tpm.Close())
	}
	b.pin.wipe()
	b.home.release()
	return errors.Join(errs...)
}

// diskFit refuses to start a unit when the disk is nearly full: every step of
// it must still find its way into the ledger. Ballast that a full disk has cost
// is taken on board again first.
func (b *bench) diskFit() error {
	free, err := freeMiB(b.home.dir)
	if err != nil {
		return unfit(err, "the home must lie on a mounted file system")
	}
	if free < b.home.cfg.MinFree {
		return unfit(fmt.Errorf("only %d MiB are free in %s, %d are wanted", free, b.home.dir, b.home.cfg.MinFree),
			"free some space, or lower min_free_mib in station.toml")
	}
	if b.ledger == nil {
		return nil
	}
	if err := b.ledger.KeepBallast(); err != nil {
		return unfit(err, "look at the disk under the home")
	}
	return nil
}
