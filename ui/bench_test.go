// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

// patience bounds every wait of these tests, for the slowest machine; none of
// them needs it.
const patience = 5 * time.Minute

// bench is the window over a whole station: real procedure, real ledger, real
// issuer with a key in software, virtual boards. The test's own goroutine is
// the drawing one.
type bench struct {
	full    atomic.Bool // the disk
	t       *testing.T
	ledger  *ledger.Ledger
	station *provision.Station
	ui      *UI
	work    chan func()
	seen    *lines
	gate    chan struct{} // a run waits here before it opens its port; nil: it does not

	mu     sync.Mutex // guards refuse
	refuse int        // opens that still fail
	boards map[string]*virtual.Board
}

// lines gathers what the window describes.
type lines struct {
	mu    sync.Mutex // guards text
	text  bytes.Buffer
	wrote chan struct{}
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.wrote <- struct{}{}:
	default:
	}
	return l.text.Write(b)
}

// last is the newest description.
func (l *lines) last(t *testing.T) (d description) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	all := strings.Split(strings.TrimSpace(l.text.String()), "\n")
	if text := all[len(all)-1]; text != "" {
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	}
	return d
}

func newBench(t *testing.T, boards int, change ...func(*bench, *provision.ProductConfig)) *bench {
	t.Helper()
	b := &bench{t: t, work: make(chan func(), 64), seen: &lines{wrote: make(chan struct{}, 1)}, boards: map[string]*virtual.Board{}}
	product := provision.ProductConfig{Name: "gw-2", Model: "virtual-board"}
	for _, c := range change {
		c(b, &product)
	}
	for i := range boards {
		board, err := virtual.New(virtual.Config{Model: "virtual-board", UID: []byte{0xb0, 0xa4, 0xd0, byte(i)}, Prot: 0b0111})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(board.Close)
		b.boards[fmt.Sprintf("virtual:%d", i+1)] = board
	}
	b.open(product)
	for i := range boards {
		b.station.Attach(i+1, fmt.Sprintf("virtual:%d", i+1), "")
	}
	a := test.NewTempApp(t)
	b.ui = New(a, Config{Station: b.station, Reader: b.ledger.Reader(), Theme: "dark", Describe: b.seen, Do: b.do})
	b.ui.start()
	t.Cleanup(func() {
		b.ui.cancel()
		if err := b.station.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	b.until("the first description", func(d description) bool { return len(d.Slots) > 0 })
	return b
}

// do hands a function to the test's goroutine.
func (b *bench) do(f func()) {
	select {
	case b.work <- f:
	case <-b.ui.threads.ctx.Done():
	}
}

// until draws until the window's description meets the condition. Where it does
// already nothing may be left to draw: the next event can be seconds away.
func (b *bench) until(what string, met func(description) bool) description {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	for {
		if d := b.seen.last(b.t); met(d) {
			return d
		}
		select {
		case f := <-b.work:
			f()
		case <-b.seen.wrote:
		case <-ctx.Done():
			b.t.Fatalf("waited for %s; the window says %+v", what, b.seen.last(b.t))
		}
	}
}

// settled waits until no run goes on.
func (b *bench) settled() description {
	b.t.Helper()
	return b.until("the runs to end", func(d description) bool { return len(d.inState("BUSY")) == 0 && b.station.Busy() == 0 })
}

// button finds a button by its name.
func (d description) button(name string) (describedButton, bool) {
	for _, b := range d.Buttons {
		if b.Name == name {
			return b, true
		}
	}
	return describedButton{}, false
}

func (d description) enabled(name string) bool {
	b, ok := d.button(name)
	return ok && b.Enabled
}

// inState lists the slots that show a word.
func (d description) inState(word string) (slots []int) {
	for _, s := range d.Slots {
		if s.State == word {
			slots = append(slots, s.Slot)
		}
	}
	return slots
}

// click presses a button where the description says it is.
func (b *bench) click(name string) {
	b.t.Helper()
	d := b.until("button "+name, func(d description) bool { return d.enabled(name) })
	at, _ := d.button(name)
	b.t.Logf("click %+v", at)
	test.TapCanvas(b.ui.window.Canvas(), fyne.NewPos(float32(at.X+at.W/2), float32(at.Y+at.H/2)))
}

// open wires ledger, issuer and station.
func (b *bench) open(cfg provision.ProductConfig) {
	t := b.t
	t.Helper()
	key := newKey(t)
	lc := ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Origin: "plant/station/1", Signer: key}
	if err := ledger.Create(t.Context(), lc); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.ledger, err = ledger.Open(t.Context(), lc); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	product, err := provision.NewProduct(cfg)
	if err != nil {
		t.Fatal(err)
	}
	profile, err := issuer.BuiltinProfile("mtls")
	if err != nil {
		t.Fatal(err)
	}
	b.station, err = provision.New(t.Context(), provision.Config{
		Ledger: b.ledger, Reader: b.ledger.Reader(), Issuer: newIssuer(t), Profile: profile, Product: product,
		Operator: "os:test", Role: "technician", Software: "station test", Slots: max(len(b.boards), 1), Open: b.dial,
		Fit: func() error {
			if b.full.Load() {
				return errors.New("only 3 MiB are free")
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dial opens a board's port, unless the test has it refused or held.
func (b *bench) dial(ctx context.Context, port string) (smp.Stream, error) {
	if b.gate != nil {
		select {
		case <-b.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse > 0 {
		b.refuse--
		return nil, fmt.Errorf("port %s is gone", port)
	}
	return b.boards[port].Dial(), nil
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newIssuer makes a root and an intermediate as a ceremony would.
func newIssuer(t *testing.T) *issuer.Issuer {
	t.Helper()
	rootKey, key := newKey(t), newKey(t)
	root := newCA(t, "test root", nil, &rootKey.PublicKey, rootKey)
	inter := newCA(t, "test intermediate", root, &key.PublicKey, rootKey)
	i, err := issuer.New(issuer.Config{Chain: []*x509.Certificate{inter, root}, Signer: key})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func newCA(t *testing.T, name string, parent *x509.Certificate, pub *ecdsa.PublicKey, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().AddDate(5, 0, 0),
		BasicConstraintsValid: true, IsCA: true, SubjectKeyId: issuer.KeyIdentifier(spki),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if parent == nil {
		parent = c
	} else {
		c.MaxPathLenZero = true
		c.KeyUsage |= x509.KeyUsageDigitalSignature
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
