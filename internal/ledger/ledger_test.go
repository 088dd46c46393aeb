// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

const testOrigin = "ulm/st-07/1"

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// create makes an empty ledger in a folder whose name needs escaping.
func create(t testing.TB) ledger.Config {
	t.Helper()
	c := ledger.Config{Path: filepath.Join(t.TempDir(), "a?b c%20#.db"), Origin: testOrigin, Signer: newKey(t)}
	if err := ledger.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t testing.TB, c ledger.Config) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func body(kind string) record.Body {
	return record.Body{Kind: kind, Operator: "op-17", Software: "test"}
}

func stop(detail string) record.Body {
	b := body(record.KindStop)
	b.Detail = detail
	return b
}

func hexOf(parts ...any) string {
	sum := sha256.Sum256([]byte(fmt.Sprint(parts...)))
	return hex.EncodeToString(sum[:])
}

// unit makes entries of one run on one board.
type unit struct{ run, serial, uid, spki string }

func newUnit(n int) unit {
	return unit{hexOf("run", n)[:32], fmt.Sprintf("SN-%04d", n), hexOf("uid", n)[:24], hexOf("key", n)}
}

func (u unit) body(kind string) record.Body {
	b := body(kind)
	b.Run, b.Serial, b.Model, b.UID = u.run, u.serial, "gw-2", u.uid
	return b
}

func (u unit) claims() []record.Claim {
	return []record.Claim{{Kind: "serial", Value: u.serial}, {Kind: "uid", Value: "gw-2/" + u.uid}}
}

func (u unit) key() record.Body {
	b := u.body(record.KindKey)
	b.Alg, b.SPKI, b.Made = "ES256", u.spki, true
	return b
}

func (u unit) issued() record.Body {
	b := u.body(record.KindIssued)
	b.SPKI, b.TBS, b.Cert, b.CertSerial = u.spki, hexOf("tbs", u.run), hexOf("cert", u.run), hexOf("serial", u.run)[:32]
	b.NotBefore, b.NotAfter, b.IssuerKey = "2026-11-22T07:31:00.000000Z", "2027-11-22T07:31:00.000000Z", "0102"
	return b
}

func (u unit) end(outcome string) record.Body {
	b := u.body(record.KindEnd)
	b.Outcome = outcome
	if outcome == record.Passed {
		b.SPKI, b.Cert = u.spki, hexOf("cert", u.run)
		b.ChainReadBack, b.Rehearsal, b.Receipt = hexOf("chain", u.run), hexOf("handshake", u.run), record.Example(record.KindEnd).Receipt
	} else {
		b.Fault = "F-PROVE-02"
	}
	return b
}

func appendTo(t testing.TB, l *ledger.Ledger, b ledger.Batch) []int64 {
	t.Helper()
	seqs, err := l.Append(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return seqs
}

func claiming(b record.Body, c ...record.Claim) record.Body {
	b.Claims = c
	return b
}

func releasing(b record.Body, c ...record.Claim) record.Body {
	b.Releases = c
	return b
}

func bodies(b ...record.Body) ledger.Batch { return ledger.Batch{Bodies: b} }

func TestAppendCoverReopen(t *testing.T) {
	c := create(t)
	l := open(t, c)
	if got := appendTo(t, l, bodies(stop("one"), stop("two"))); !slices.Equal(got, []int64{1, 2}) {
		t.Errorf("numbers are %v", got)
	}
	if err := l.Cover(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	appendTo(t, l, ledger.Batch{Bodies: []record.Body{stop("three")}, Blobs: [][]byte{[]byte("blob"), []byte("blob")}})
	if size, covered := l.Size(); size != 3 || covered != 2 {
		t.Errorf("size %d, covered %d", size, covered)
	}
	if err := l.Cover(t.Context(), 4); err == nil {
		t.Error("an entry that does not exist was covered")
	}
	if _, err := l.Proof(t.Context(), 3); !errors.Is(err, reader.ErrUncovered) {
		t.Errorf("proof of an uncovered entry: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), bodies(stop("four"))); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	if err := l.Cover(t.Context(), 3); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("cover after close: %v", err)
	}

	l = open(t, c)
	if size, covered := l.Size(); size != 3 || covered != 3 {
		t.Errorf("after opening: size %d, covered %d; the tail must be covered", size, covered)
	}
	for seq := int64(1); seq <= 3; seq++ {
		e, err := l.Reader().Entry(t.Context(), 1, seq)
		if err != nil {
			t.Fatal(err)
		}
		if e.Body.Station != "ulm/st-07" || e.Body.Time == "" || e.Leaf != record.Leaf(e.Raw) || e.Epoch != 1 || e.Seq != seq {
			t.Errorf("entry %d is %+v", seq, e)
		}
		p, err := l.Proof(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Verify(l.Verifier(), e.Raw); err != nil {
			t.Error(err)
		}
	}
	if b, err := l.Reader().Blob(t.Context(), hexOf("blob")); err != nil || string(b) != "blob" {
		t.Errorf("blob %q, %v", b, err)
	}
	if _, err := l.Reader().Blob(t.Context(), hexOf("other")); !errors.Is(err, reader.ErrNoBlob) {
		t.Errorf("missing blob: %v", err)
	}
}

func TestAppendRefusesBadBatches(t *testing.T) {
	l := open(t, create(t))
	foreign := stop("x")
	foreign.Station = "ulm/st-08"
	u := newUnit(1)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, try := range map[string]struct {
		ctx   context.Context
		batch ledger.Batch
	}{
		"empty":           {t.Context(), ledger.Batch{}},
		"bad body":        {t.Context(), bodies(stop("good"), body("nonsense"))},
		"other station":   {t.Context(), bodies(foreign)},
		"empty blob":      {t.Context(), ledger.Batch{Bodies: []record.Body{stop("x")}, Blobs: [][]byte{nil}}},
		"foreign claim":   {t.Context(), bodies(claiming(u.body(record.KindBegun), newUnit(2).claims()...))},
		"claim of a stop": {t.Context(), bodies(claiming(stop("x"), u.claims()...))},
		"release":         {t.Context(), bodies(releasing(u.body(record.KindBegun), u.claims()...))},
		"cancelled":       {cancelled, bodies(stop("x"))},
	} {
		if seqs, err := l.Append(try.ctx, try.batch); err == nil {
			t.Errorf("%s: recorded as %v", name, seqs)
		}
	}
	if size, _ := l.Size(); size != 0 {
		t.Errorf("%d entries were recorded", size)
	}
	if err := l.Err(); err != nil {
		t.Errorf("the ledger stopped: %v", err)
	}
}

func TestClaims(t *testing.T) {
	l := open(t, create(t))
	a, b := newUnit(1), newUnit(2)
	begin := func(u unit) error {
		_, err := l.Append(t.Context(), bodies(claiming(u.body(record.KindBegun), u.claims()...), claiming(u.key(), record.Claim{Kind: "spki", Value: u.spki})))
		return err
	}
	if err := begin(a); err != nil {
		t.Fatal(err)
	}
	for name, thief := range map[string]unit{
		"serial": {b.run, a.serial, b.uid, b.spki},
		"spki":   {b.run, b.serial, b.uid, a.spki},
	} {
		var claim *ledger.ClaimError
		if err := begin(thief); !errors.As(err, &claim) {
			t.Fatalf("%s taken by another unit: %v", name, err)
		}
		if claim.Claim.Kind != name || claim.Seq > 2 || claim.Epoch != 1 || claim.Serial != a.serial || claim.UID != a.uid || claim.Model != "gw-2" {
			t.Errorf("%s: %+v", name, claim)
		}
	}
	if n, err := l.Reader().Count(t.Context(), reader.Query{UID: b.uid}); err != nil || n != 0 {
		t.Errorf("a refused batch left %d entries, %v", n, err)
	}
	again := a
	again.run = hexOf("again")[:32]
	if err := begin(again); err != nil {
		t.Errorf("the same unit again: %v", err)
	}
	if err := begin(b); err != nil {
		t.Errorf("another unit: %v", err)
	}
}

func TestRelease(t *testing.T) {
	l := open(t, create(t))
	a, b := newUnit(1), newUnit(2)
	b.serial = a.serial // the label moves to another board
	begin := func(u unit) error {
		_, err := l.Append(t.Context(), bodies(claiming(u.body(record.KindBegun), u.claims()...)))
		return err
	}
	var claim *ledger.ClaimError
	var release *ledger.ReleaseError
	if err := begin(a); err != nil {
		t.Fatal(err)
	}
	if err := begin(b); !errors.As(err, &claim) {
		t.Fatalf("before the release: %v", err)
	}
	if _, err := l.Append(t.Context(), bodies(releasing(b.end(record.Failed), a.claims()...))); !errors.As(err, &release) {
		t.Errorf("released by another unit: %v", err)
	}
	appendTo(t, l, bodies(releasing(a.end(record.Failed), a.claims()...)))
	if err := begin(b); err != nil {
		t.Fatalf("after the release: %v", err)
	}
	appendTo(t, l, bodies(b.issued()))
	if _, err := l.Append(t.Context(), bodies(releasing(b.end(record.Failed), b.claims()...))); !errors.As(err, &release) {
		t.Errorf("released by a unit with a certificate: %v", err)
	}
	rework := b.body(record.KindRework)
	rework.Reason, rework.Approver = "wrong firmware", "qa-2"
	appendTo(t, l, bodies(releasing(rework, b.claims()...)))
	if err := begin(a); err != nil {
		t.Errorf("after the rework: %v", err)
	}
}

// TestOneBatchFailsAlone lets many batches share transactions, some of which must fail on their claims.
func TestOneBatchFailsAlone(t *testing.T) {
	l := open(t, create(t))
	const boards = 40
	errs := make([]error, 2*boards)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			u := newUnit(i)
			u.serial = newUnit(i % boards).serial // every serial is wanted by two boards
			_, errs[i] = l.Append(t.Context(), bodies(claiming(u.body(record.KindBegun), u.claims()...), u.key()))
		})
	}
	all.Wait()
	for i := range boards {
		var claim *ledger.ClaimError
		first, second := errs[i], errs[i+boards]
		if (first == nil) == (second == nil) {
			t.Errorf("serial %d: %v and %v; exactly one must get it", i, first, second)
		} else if !errors.As(errors.Join(first, second), &claim) {
			t.Errorf("serial %d: %v", i, errors.Join(first, second))
		}
	}
	if size, _ := l.Size(); size != 2*boards {
		t.Errorf("%d entries, want %d", size, 2*boards)
	}
	if err := l.Cover(t.Context(), 2*boards); err != nil {
		t.Fatal(err)
	}
	for seq := int64(1); seq <= 2*boards; seq++ {
		e, err := l.Reader().Entry(t.Context(), 1, seq)
		if err != nil {
			t.Fatal(err)
		}
		p, err := l.Proof(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Verify(l.Verifier(), e.Raw); err != nil {
			t.Error(err)
		}
	}
}

// slowSigner signs when told to, and counts.
type slowSigner struct {
	*ecdsa.PrivateKey
	begun   chan struct{}
	go_     chan error
	counted int
}

func (s *slowSigner) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.begun <- struct{}{}
	s.counted++
	if err := <-s.go_; err != nil {
		return nil, err
	}
	return s.PrivateKey.Sign(r, digest, opts)
}

func TestCoverSharesSignaturesAndAppendGoesOn(t *testing.T) {
	c := create(t)
	slow := &slowSigner{PrivateKey: c.Signer.(*ecdsa.PrivateKey), begun: make(chan struct{}), go_: make(chan error)}
	c.Signer = slow
	l := open(t, c)
	appendTo(t, l, bodies(stop("first")))
	covered := make(chan error, 33)
	cover := func(seq int64) { go func() { covered <- l.Cover(t.Context(), seq) }() }
	cover(1)
	<-slow.begun
	// The signer is busy; entries are taken all the same, and all who come now share the next signature.
	for i := range int64(32) {
		seq := appendTo(t, l, bodies(stop("more")))[0]
		if seq != i+2 {
			t.Fatalf("entry %d", seq)
		}
	}
	slow.go_ <- errors.New("the TPM is gone")
	if err := <-covered; err == nil || !strings.Contains(err.Error(), "TPM is gone") {
		t.Errorf("cover with a failing signer: %v", err)
	}
	cover(1)
	<-slow.begun
	for seq := int64(2); seq <= 33; seq++ {
		cover(seq)
	}
	slow.go_ <- nil
	// The signature in the making was for all 33 entries. It serves entry 1; who came later may need one more.
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 33 {
			if err := <-covered; err != nil {
				t.Error(err)
			}
		}
	}()
	for running := true; running; {
		select {
		case <-slow.begun:
			slow.go_ <- nil
		case <-done:
			running = false
		}
	}
	if slow.counted > 3 {
		t.Errorf("%d signatures for 34 calls", slow.counted)
	}
	if _, covered := l.Size(); covered != 33 {
		t.Errorf("covered %d", covered)
	}
}

func TestCoverEndsWithItsContext(t *testing.T) {
	c := create(t)
	slow := &slowSigner{PrivateKey: c.Signer.(*ecdsa.PrivateKey), begun: make(chan struct{}), go_: make(chan error)}
	c.Signer = slow
	l := open(t, c)
	appendTo(t, l, bodies(stop("first")))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Cover(ctx, 1) }()
	<-slow.begun
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("cover ended with %v", err)
	}
	slow.go_ <- nil
}

func TestSettingsAreReadBack(t *testing.T) {
	c := create(t)
	// What the driver makes of WAL when nobody asks for more: the trap this package must not fall into.
	db, err := sql.Open("sqlite3", reader.DSN(c.Path, "mode=rw&_journal_mode=WAL"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // test
	var level string
	if err := db.QueryRow("PRAGMA synchronous").Scan(&level); err != nil || level != "1" {
		t.Errorf("the driver's own level is %q, %v: the reason for reading back has gone", level, err)
	}
	l := open(t, c)
	if got := ledger.Settings(t, l); got != "wal 2 1" {
		t.Errorf("journal, synchronous, recursive triggers: %s", got)
	}
}
