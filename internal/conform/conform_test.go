// SPDX-License-Identifier: Apache-2.0

package conform_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/conform"
	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

// A trial is a virtual board and how it is tested.
type trial struct {
	board virtual.Config
	cfg   conform.Config
	// before prepares the board; nil: a blank one.
	before func(*testing.T, *virtual.Board)
}

// outcome is what came of a trial.
type outcome struct {
	results map[string]conform.Result
	order   []string
	sum     conform.Summary
	err     error
	state   enroll.State // of the board afterwards
}

// run tests a virtual board in a bubble, where waits take no time.
func (tr trial) run(t *testing.T) outcome {
	t.Helper()
	o := outcome{results: map[string]conform.Result{}}
	synctest.Test(t, func(t *testing.T) {
		tr.board.UID = []byte("uid of a board")
		b, err := virtual.New(tr.board)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if tr.before != nil {
			tr.before(t, b)
		}
		tr.cfg.Stream = b.Dial()
		defer tr.cfg.Stream.Close()
		tr.cfg.Report = func(r conform.Result) {
			o.results[r.ID] = r
			o.order = append(o.order, r.ID)
		}
		o.sum, o.err = conform.Run(t.Context(), tr.cfg)
		o.state = enroll.State(b.State())
	})
	return o
}

// passes demands that every check is ok but those named, which are outside of
// what this board has.
func (o outcome) passes(t *testing.T, but ...string) {
	t.Helper()
	if o.err != nil {
		t.Fatal(o.err)
	}
	unchecked := map[string]bool{}
	for _, id := range but {
		unchecked[id] = true
	}
	for _, id := range o.order {
		r, want := o.results[id], conform.OK
		if unchecked[id] {
			want = conform.NotChecked
		}
		if r.Verdict != want {
			t.Errorf("%s: %s (%s: expected %s, got %s) %s; want %s", id, r.Verdict, r.Step, r.Expected, r.Got, r.Reason, want)
		}
		if r.Verdict == conform.NotChecked && (r.Reason == "" || !r.Outside) {
			t.Errorf("%s: not checked: reason %q, outside %v", id, r.Reason, r.Outside)
		}
	}
	if o.sum.Outside != len(but) || o.sum.OK != len(o.order)-len(but) || o.sum.First != nil || !o.sum.Passed() {
		t.Errorf("summary %+v for %d checks, %d of them not made", o.sum, len(o.order), len(but))
	}
}

func (o outcome) blank(t *testing.T) {
	t.Helper()
	if !o.sum.Blank || o.state != enroll.Blank {
		t.Errorf("the board is %v at the end, the summary says blank %v", o.state, o.sum.Blank)
	}
}

var rootless = []string{"commit/root", "commit/root-path"}

func TestSoundBoards(t *testing.T) {
	for name, b := range map[string]virtual.Config{
		"plain":        {},
		"small chunk":  {Chunk: 64},
		"large chunk":  {Chunk: 2048},
		"small max":    {Max: 2048},
		"slow boot":    {Fault: "slow-boot"},
		"busy":         {Fault: "slow-busy", Chunk: 512},
		"slow crypto":  {Compute: time.Second},
		"echo":         {Fault: "echo"},
		"chatty":       {Fault: "chatty"},
		"long line":    {Fault: "long-line"},
		"double":       {Fault: "double-answer"},
		"unknown keys": {Fault: "unknown-keys"},
		"P-384 chains": {Verify: []string{"ES384", "RS256"}},
		"Ed25519":      {Verify: []string{"EdDSA"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := trial{board: b, cfg: conform.Config{Model: "virtual-board"}}.run(t)
			o.passes(t, rootless...)
			o.blank(t)
		})
	}
}

func TestNotChecked(t *testing.T) {
	for name, c := range map[string]struct {
		board virtual.Config
		cfg   conform.Config
		not   []string
	}{
		"no model named":    {virtual.Config{}, conform.Config{}, []string{"info/model"}},
		"ES256 alone":       {virtual.Config{Algs: []string{"ES256"}}, conform.Config{Model: "virtual-board"}, []string{"algorithms/others"}},
		"verified boot":     {virtual.Config{Prot: 1}, conform.Config{Model: "virtual-board"}, []string{"locked/groups"}},
		"no parameters":     {virtual.Config{Fault: "no-params"}, conform.Config{Model: "virtual-board"}, []string{"os/parameters", "put/chunk"}},
		"chunk over buffer": {virtual.Config{Fault: "small-buffer"}, conform.Config{Model: "virtual-board"}, []string{"put/chunk"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := trial{board: c.board, cfg: c.cfg}.run(t)
			o.passes(t, append(c.not, rootless...)...)
			o.blank(t)
		})
	}
}

// Each fault is named by the check that is about it, before any other.
func TestFaultsAreNamed(t *testing.T) {
	for fault, id := range map[string]string{
		"silent": "connect/info", "babbling": "connect/info", "no-agent": "connect/info",
		"prompt": "frame/answer", "cr-lf": "frame/answer",
		"indefinite":  "cbor/definite",
		"other-agent": "info/fields", "other-proto": "info/fields", "no-uid": "info/fields", "bad-chunk": "info/fields",
		"bad-state": "info/fields", "control-text": "info/fields",
		"cloned-key": "keygen/replace", "other-curve": "keygen/new",
		"dup-key": "keygen/drops", "csr-differs": "keygen/drops", // the first that need a csr
		"wrong-key": "csr/bytes", "bad-signature": "csr/bytes", "stale-csr": "csr/bytes", "foreign-csr": "csr/bytes",
		"extra-attribute": "csr/bytes", "extra-rdn": "csr/bytes", "wrong-cn": "csr/bytes",
		"chain-rots": "commit/accept", "chain-differs": "commit/read-back",
		"prove-wrong-key": "prove/signature", "prove-replay": "prove/signature", "tls-wrong-key": "tls/accepts",
		"reset-lies": "reset/boot", "reset-kills": "reset/boot", "forgets": "reset/boot", "uid-changes": "reset/boot",
		"key-changes": "reset/boot", "unlocks": "locked/reset", "receipt-wrong-key": "locked/reads",
	} {
		t.Run(fault, func(t *testing.T) {
			o := trial{board: virtual.Config{Fault: fault}}.run(t)
			if o.err != nil {
				t.Fatal(o.err)
			}
			switch first := o.sum.First; {
			case first == nil:
				t.Fatal("nothing is wrong")
			case first.ID != id:
				t.Errorf("first wrong: %s: %s: expected %s, got %s; want %s", first.ID, first.Step, first.Expected, first.Got, id)
			case first.Step == "" || first.Expected == "" || first.Got == "" || len(first.Frames) == 0:
				t.Errorf("%+v does not tell all", first)
			}
		})
	}
}

// These faults meddle with every request for a command, whatever its op and
// state: they are found at several places, the right one among them.
func TestFaultsAreFound(t *testing.T) {
	for fault, id := range map[string]string{
		"entropy": "keygen/new", "keeps-key": "keygen/new", "always-busy": "keygen/new", "wrong-type": "csr/bytes", "huge-csr": "csr/bytes",
		"bad-cbor": "csr/bytes", "deep-cbor": "csr/bytes", "oversize-answer": "csr/bytes", "get-stalls": "csr/bytes", "get-jumps": "get/pieces",
		"put-stalls": "put/empty", "put-jumps": "put/resume", "put-loses": "put/empty", "storage-full": "commit/accept",
		"refuses-chain": "commit/key", "refuses-key": "commit/signature", "refuses-root": "commit/name", "digest-always": "commit/parse",
		"commit-lies": "commit/accept", "tls-refuses": "tls/accepts", "tls-garbage": "tls/accepts", "lock-lies": "lock/digest",
	} {
		t.Run(fault, func(t *testing.T) {
			o := trial{board: virtual.Config{Fault: fault}}.run(t)
			if o.err != nil {
				t.Fatal(o.err)
			}
			if r := o.results[id]; r.Verdict != conform.Wrong {
				t.Errorf("%s is %s %s, first wrong is %+v", id, r.Verdict, r.Reason, o.sum.First)
			}
		})
	}
}

// A board that dies is not waited for at each of a hundred checks.
func TestDeadBoard(t *testing.T) {
	o := trial{board: virtual.Config{Fault: "silent"}}.run(t)
	if o.err != nil || o.sum.Wrong != 1 || o.sum.NotChecked != len(o.order)-1 {
		t.Errorf("%+v, %v", o.sum, o.err)
	}
}

// A cable that is pulled is trouble of the port, not of the firmware.
func TestLostLink(t *testing.T) {
	o := trial{board: virtual.Config{Fault: "unplug-once"}}.run(t)
	var link *smp.LinkError
	if !errors.As(o.err, &link) || o.sum.Wrong != 0 {
		t.Errorf("%v, %+v", o.err, o.sum)
	}
}

// estate is a test root, as a firmware pins it.
func estate(t *testing.T, pathLen int) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key := newKey(t)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Pinned"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, MaxPathLen: pathLen, MaxPathLenZero: pathLen == 0,
		// The bubble's clock stands in 2000.
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func authority(t *testing.T, cert *x509.Certificate, key crypto.Signer) *conform.Authority {
	t.Helper()
	a, err := conform.NewAuthority(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestPinnedRoot(t *testing.T) {
	for _, pathLen := range []int{-1, 0, 1, 2} {
		t.Run(fmt.Sprint("path length ", pathLen), func(t *testing.T) {
			cert, key := estate(t, pathLen)
			o := trial{board: virtual.Config{Root: cert}, cfg: conform.Config{Model: "virtual-board", Authority: authority(t, cert, key)}}.run(t)
			not := []string{}
			if pathLen < 0 {
				not = append(not, "commit/root-path")
			}
			o.passes(t, not...)
			o.blank(t)
		})
	}
}

// Without the root's key what needs an accepted chain is not checked; what is
// refused before the root is.
func TestPinnedRootWithoutKey(t *testing.T) {
	cert, _ := estate(t, -1)
	o := trial{board: virtual.Config{Root: cert}, cfg: conform.Config{Model: "virtual-board"}}.run(t)
	if o.err != nil || o.sum.Wrong != 0 || o.sum.Blank || o.sum.Passed() {
		t.Fatalf("%+v, %v", o.sum, o.err)
	}
	for id, want := range map[string]conform.Verdict{
		"csr/bytes": conform.OK, "commit/key": conform.OK, "commit/signature": conform.OK, "commit/path-length": conform.OK,
		"commit/root": conform.OK, "reset/ram": conform.OK, "algorithms/others": conform.OK,
		"commit/accept": conform.NotChecked, "prove/signature": conform.NotChecked, "lock/state": conform.NotChecked,
		"rework/unlocks": conform.NotChecked, "end/blank": conform.NotChecked,
	} {
		if r := o.results[id]; r.Verdict != want {
			t.Errorf("%s: %s %s, want %s", id, r.Verdict, r.Reason, want)
		}
	}
}

func TestUnfitRoot(t *testing.T) {
	cert, key := estate(t, -1)
	other, otherKey := estate(t, -1)
	if _, err := conform.NewAuthority(cert, otherKey); !errors.Is(err, conform.ErrAuthority) {
		t.Errorf("a certificate with another key: %v", err)
	}
	o := trial{board: virtual.Config{Root: other}, cfg: conform.Config{Authority: authority(t, cert, key)}}.run(t)
	if !errors.Is(o.err, conform.ErrAuthority) || o.state != enroll.Blank {
		t.Errorf("another root than the board pins: %v, %v", o.err, o.state)
	}
	o = trial{board: virtual.Config{Verify: []string{"EdDSA"}}, cfg: conform.Config{Authority: authority(t, cert, key)}}.run(t)
	if !errors.Is(o.err, conform.ErrAuthority) {
		t.Errorf("a root whose signatures the board cannot check: %v", o.err)
	}
}

// talk brings a board to state steps, with this rework key.
func talk(t *testing.T, b *virtual.Board, steps int, rework *ecdsa.PrivateKey) {
	t.Helper()
	line := b.Dial()
	defer line.Close()
	s := enroll.New(enroll.Config{Client: smp.NewClient(smp.ClientConfig{Stream: line})})
	if _, _, err := s.Keygen(t.Context(), "ES256", [32]byte{1}, false); err != nil {
		t.Fatal(err)
	}
	if steps < 2 {
		return
	}
	der, err := s.CSR(t.Context(), "unit", "", [32]byte{2})
	if err != nil {
		t.Fatal(err)
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	root, key := estate(t, -1)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: root.NotBefore, NotAfter: root.NotAfter}
	chain, err := x509.CreateCertificate(rand.Reader, leaf, root, r.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(rework.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Put(t.Context(), "chain", chain), s.Put(t.Context(), "rework", spki)); err != nil {
		t.Fatal(err)
	}
	sha := sha256.Sum256(spki)
	if err := s.Commit(t.Context(), sha256.Sum256(chain), nil, &sha); err != nil {
		t.Fatal(err)
	}
	if steps < 3 {
		return
	}
	if err := s.Lock(t.Context(), sha256.Sum256(chain)); err != nil {
		t.Fatal(err)
	}
}

// A board that is not blank is wiped only with leave; one that another key
// locked is left alone.
func TestBoardInUse(t *testing.T) {
	rework := newKey(t)
	for steps := 1; steps <= 3; steps++ {
		before := func(t *testing.T, b *virtual.Board) { talk(t, b, steps, rework) }
		state := enroll.State(steps)
		t.Run(state.String()+" without leave", func(t *testing.T) {
			o := trial{before: before, cfg: conform.Config{Rework: rework, Wipe: func(conform.Board) bool { return false }}}.run(t)
			if !errors.Is(o.err, conform.ErrNotBlank) || o.state != state || len(o.order) != 0 {
				t.Errorf("%v, the board is %v, %d checks", o.err, o.state, len(o.order))
			}
		})
		t.Run(state.String()+" with leave", func(t *testing.T) {
			var asked conform.Board
			wipe := func(b conform.Board) bool { asked = b; return true }
			o := trial{before: before, cfg: conform.Config{Model: "virtual-board", Rework: rework, Wipe: wipe}}.run(t)
			o.passes(t, rootless...)
			o.blank(t)
			if asked.State != state || asked.Model != "virtual-board" || string(asked.UID) != "uid of a board" {
				t.Errorf("asked about %+v", asked)
			}
		})
	}
	t.Run("locked by another key", func(t *testing.T) {
		before := func(t *testing.T, b *virtual.Board) { talk(t, b, 3, newKey(t)) }
		o := trial{before: before, cfg: conform.Config{Rework: rework, Wipe: func(conform.Board) bool { return true }}}.run(t)
		if !errors.Is(o.err, conform.ErrLocked) || o.state != enroll.Locked {
			t.Errorf("%v, the board is %v", o.err, o.state)
		}
	})
}

// Every check names a section of the published protocol that exists.
func TestSectionsExist(t *testing.T) {
	page, err := fs.ReadFile(os.DirFS("../../docs"), "protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	chapter, headings := "", map[string]bool{}
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "## "):
			chapter, _, _ = strings.Cut(line[3:], ".")
			_, name, _ := strings.Cut(line, ". ")
			headings[chapter+", "+name] = true
		case strings.HasPrefix(line, "### "):
			headings[chapter+", "+line[4:]] = true
		}
	}
	o := trial{}.run(t)
	for id, r := range o.results {
		if !headings[r.Section] {
			t.Errorf("%s: docs/protocol.md has no section %q", id, r.Section)
		}
	}
	if len(o.results) != len(o.order) || len(o.order) < 100 {
		t.Errorf("%d checks with %d names", len(o.order), len(o.results))
	}
}
