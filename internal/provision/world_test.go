// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"provisioning.example/station/internal/filter"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/order"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

// world is a whole station over virtual boards: a real ledger, a real issuer
// with a key in software, in-memory lines. Made inside a synctest bubble, all
// of it lives by the bubble's clock. With ports and dial set, its boards are
// outside this process instead.
type world struct {
	t         *testing.T
	ledger    *ledger.Ledger
	reader    *reader.Reader
	issuer    *issuer.Issuer
	signer    *ecdsa.PrivateKey
	curve     elliptic.Curve // of the intermediate; nil: P-256
	end       time.Time      // of root and intermediate; zero: in five years
	rootKey   *ecdsa.PrivateKey
	product   provision.ProductConfig
	boards    map[string]*virtual.Board
	ports     []string // by slot
	dial      func(ctx context.Context, port string) (smp.Stream, error)
	station   *provision.Station
	units     *provision.Units
	elsewhere []*filter.Set
	lastCSR   []byte
	profile   *issuer.Profile // nil: mtls
	jobs      int
	rework    []byte // the rework object that boards are given
	order     *order.Order
	slots     int // places on the bench; 0: one for each port
	auto      bool
	stop      provision.StopRules
	fit       func() error
	watch     func(provision.SlotView) // sees every change of a slot
	opened    []*provision.Station

	mu   sync.Mutex // guards ends
	ends []provision.Result
}

const origin = "plant/station/1"

func newWorld(t *testing.T, boards map[string]*virtual.Board, change ...func(*world)) *world {
	t.Helper()
	w := &world{t: t, boards: boards, product: provision.ProductConfig{Name: "gw-2", Model: "virtual-board"}}
	w.dial = func(_ context.Context, port string) (smp.Stream, error) {
		b := w.boards[port]
		if b == nil {
			return nil, fmt.Errorf("no board at %s", port)
		}
		return b.Dial(), nil
	}
	for i := range len(boards) {
		w.ports = append(w.ports, portName(i+1))
	}
	w.makeAuthority()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cfg := ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Origin: origin, Signer: key}
	if err := ledger.Create(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if w.ledger, err = ledger.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	w.reader = w.ledger.Reader()
	for _, c := range change {
		c(w)
	}
	w.open()
	return w
}

// open starts the station's program: again, after a test has let it die.
func (w *world) open() {
	w.t.Helper()
	if err := w.tryOpen(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) tryOpen() error {
	product, err := provision.NewProduct(w.product)
	if err != nil {
		return err
	}
	if w.profile == nil {
		if w.profile, err = issuer.BuiltinProfile("mtls"); err != nil {
			return err
		}
	}
	w.station, err = provision.New(w.t.Context(), provision.Config{
		Ledger: w.ledger, Reader: w.reader, Issuer: w.issuer, Profile: w.profile, Product: product,
		Operator: "os:test", Software: "station test", Slots: max(len(w.ports), w.slots, 1), Auto: w.auto, Stop: w.stop, Jobs: w.jobs, Units: w.units, Elsewhere: w.elsewhere, ReworkKeys: w.rework, Order: w.order,
		Open: func(ctx context.Context, port string) (smp.Stream, error) { return w.dial(ctx, port) }, Fit: w.fit,
		Observe: func(e provision.Event) {
			if w.watch != nil {
				w.watch(e.Slot)
			}
			if e.End != nil {
				w.mu.Lock()
				w.ends = append(w.ends, *e.End)
				w.mu.Unlock()
			}
		},
	})
	if err != nil {
		return err
	}
	w.opened = append(w.opened, w.station)
	for _, name := range w.ports {
		w.station.Attach(0, name, "")
	}
	return nil
}

// append writes an entry behind the station's back.
func (w *world) append(b record.Body) {
	w.t.Helper()
	if _, err := w.ledger.Append(w.t.Context(), ledger.Batch{Bodies: []record.Body{b}}); err != nil {
		w.t.Fatal(err)
	}
}

func portName(i int) string { return fmt.Sprintf("virtual:%d", i) }

// run provisions every board that is ready and returns how each ended, by
// slot.
func (w *world) run() map[int]provision.Result {
	w.t.Helper()
	w.forget()
	w.station.Provision()
	return w.finish()
}

// forget drops the results so far; it is called before new runs are started.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = nil
}

func (w *world) finish() map[int]provision.Result {
	w.t.Helper()
	if err := w.station.Wait(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	bySlot := map[int]provision.Result{}
	for _, e := range w.ends {
		bySlot[e.Slot] = e
	}
	return bySlot
}

func (w *world) close() {
	w.t.Helper()
	for _, st := range w.opened {
		if err := st.Stop(context.WithoutCancel(w.t.Context())); err != nil {
			w.t.Error(err)
		}
	}
	for _, b := range w.boards {
		b.Close()
	}
	if err := w.ledger.Close(); err != nil {
		w.t.Error(err)
	}
}

// makeAuthority makes a root and an intermediate as a ceremony would.
func (w *world) makeAuthority() {
	w.t.Helper()
	var err error
	if w.rootKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		w.t.Fatal(err)
	}
	rootKey := w.rootKey
	curve, end := w.curve, w.end
	if curve == nil {
		curve = elliptic.P256()
	}
	if end.IsZero() {
		end = time.Now().AddDate(5, 0, 0)
	}
	if w.signer, err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
		w.t.Fatal(err)
	}
	now := time.Now()
	template := func(cn string, key *ecdsa.PrivateKey) *x509.Certificate {
		spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			w.t.Fatal(err)
		}
		return &x509.Certificate{
			SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: cn},
			NotBefore: now.Add(-24 * time.Hour), NotAfter: end,
			BasicConstraintsValid: true, IsCA: true, SubjectKeyId: issuer.KeyIdentifier(spki),
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
	}
	rt, it := template("test root", rootKey), template("test intermediate", w.signer)
	it.MaxPathLenZero = true
	it.KeyUsage |= x509.KeyUsageDigitalSignature
	root := w.sign(rt, rt, &rootKey.PublicKey, rootKey)
	inter := w.sign(it, root, &w.signer.PublicKey, rootKey)
	if w.issuer, err = issuer.New(issuer.Config{Chain: []*x509.Certificate{inter, root}, Signer: w.signer}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) sign(c, parent *x509.Certificate, pub *ecdsa.PublicKey, key *ecdsa.PrivateKey) *x509.Certificate {
	w.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, key)
	if err != nil {
		w.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		w.t.Fatal(err)
	}
	return cert
}

// board makes a virtual board with a uid of its own.
func board(t *testing.T, n byte, change ...func(*virtual.Config)) *virtual.Board {
	t.Helper()
	c := virtual.Config{Model: "virtual-board", UID: []byte{0xb0, 0xa4, 0xd0, n}, Prot: 0b0111}
	for _, f := range change {
		f(&c)
	}
	b, err := virtual.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// entries are a unit's bodies of one kind.
func (w *world) entries(uid, kind string) []record.Body {
	w.t.Helper()
	es, err := w.reader.EntriesOf(w.t.Context(), reader.Query{Model: w.product.Model, UID: uid, Kinds: []string{kind}})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []record.Body
	for _, e := range es {
		out = append(out, e.Body)
	}
	return out
}

// profileOf reads a profile from its text.
func profileOf(t *testing.T, text string) *issuer.Profile {
	t.Helper()
	p, err := issuer.ParseProfile("test.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}
