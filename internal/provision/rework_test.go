// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

const (
	cmdReworkBoard = 10
	atRework       = "reworked" // the commit point
)

func reworkKey(t *testing.T) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

// reworkable is a world with one board that passed, and the keys it may be
// unlocked with: the station's, and a bench's.
func reworkable(t *testing.T, change ...func(*virtual.Config)) (w *world, station, bench *ecdsa.PrivateKey) {
	t.Helper()
	station, first := reworkKey(t)
	bench, second := reworkKey(t)
	w = newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1, change...)}, func(w *world) { w.rework = slices.Concat(first, second) })
	w.recordIssuer()
	wantOutcome(t, w.run()[1], record.Passed, "")
	return w, station, bench
}

// bench is where the board in slot 1 is unlocked.
func (w *world) bench(key *ecdsa.PrivateKey) provision.ReworkBench {
	b := provision.ReworkBench{Line: w.lineTo(1)}
	if key != nil {
		b.Key = key
	}
	return b
}

func (w *world) lineTo(slot int) provision.Line {
	name := portName(slot)
	return provision.Line{Port: name, Baud: 115200, Open: func(ctx context.Context) (smp.Stream, error) { return w.dial(ctx, name) }}
}

// restart opens the station anew: it reads the ledger as after a start.
func (w *world) restart() {
	w.t.Helper()
	if err := w.station.Stop(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.open()
}

func (w *world) wantValid() {
	w.t.Helper()
	report, err := audit.Verify(w.t.Context(), w.reader, audit.Anchors{})
	if err != nil {
		w.t.Fatal(err)
	}
	if !report.OK() || report.Open > 0 {
		w.t.Errorf("%s %v", report.Verdict(), report.Findings)
	}
}

// TestRework: the board is unlocked by either key, its certificate revoked in
// the same breath, and the next run gives it another key under the old serial.
func TestRework(t *testing.T) {
	for at, name := range []string{"the station's key", "the bench's key"} {
		bubble(t, name, func(t *testing.T) {
			w, station, bench := reworkable(t)
			defer w.close()
			old := w.entries(uid1, record.KindIssued)[0]
			got, err := w.desk().Rework(t.Context(), named(uid1), worn, w.bench([]*ecdsa.PrivateKey{station, bench}[at]))
			if err != nil {
				t.Fatal(err)
			}
			if got.KeyUsed != at || got.Was != enroll.Locked || got.Again || !slices.Equal(got.Certificates, []string{old.CertSerial}) {
				t.Errorf("%+v", got)
			}
			if b := w.boards[portName(1)]; b.State() != 0 || b.SPKI() != nil {
				t.Errorf("the board is in state %d", b.State())
			}
			rework, revoked := w.entries(uid1, record.KindRework), w.entries(uid1, record.KindRevoked)
			if len(rework) != 1 || len(revoked) != 1 || revoked[0].Cert != old.Cert || rework[0].Approver != "qa-2" || rework[0].SPKI != old.SPKI {
				t.Fatalf("rework %+v, revoked %+v", rework, revoked)
			}
			cert, err := w.reader.Blob(t.Context(), old.Cert)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := x509.ParseCertificate(cert)
			if err != nil {
				t.Fatal(err)
			}
			if r := rework[0].Receipt; r == nil || r.Verify(parsed.PublicKey) != nil || r.State != 3 {
				t.Errorf("receipt %+v", r)
			}
			w.restart()
			end := w.run()[1]
			wantOutcome(t, end, record.Passed, "")
			now := w.entries(uid1, record.KindIssued)
			if end.Attempt != 2 || len(now) != 2 || now[1].Serial != old.Serial || now[1].SPKI == old.SPKI {
				t.Errorf("%+v, issued %+v", end, now)
			}
			w.wantValid()
		})
	}
}

// TestReworkRefused: what ledger or board forbid changes neither.
func TestReworkRefused(t *testing.T) {
	stranger, _ := reworkKey(t)
	for name, try := range map[string]struct {
		do   func(*testing.T, *world)
		key  bool // the station's, else a stranger's
		want string
	}{
		"wrong key": {func(*testing.T, *world) {}, false, "another rework key"},
		"another board": {func(t *testing.T, w *world) {
			w.boards[portName(1)].Close()
			w.boards[portName(1)] = board(t, 2)
		}, true, "connect the unit's own board"},
		"the same ID with another key": {func(t *testing.T, w *world) {
			w.boards[portName(1)].Close()
			w.boards[portName(1)] = lockedElsewhere(t)
		}, true, "with a key that this ledger does not hold"},
		"scrapped": {func(t *testing.T, w *world) {
			if _, err := w.desk().Scrap(t.Context(), named(uid1), worn); err != nil {
				t.Fatal(err)
			}
		}, true, "is scrapped"},
	} {
		bubble(t, name, func(t *testing.T) {
			w, station, _ := reworkable(t)
			defer w.close()
			try.do(t, w)
			key := stranger
			if try.key {
				key = station
			}
			before := len(w.entries(uid1, record.KindRevoked))
			_, err := w.desk().Rework(t.Context(), named(uid1), worn, w.bench(key))
			wantRefused(t, err, try.want)
			if w.boards[portName(1)].State() != 3 && name != "another board" {
				t.Error("the board is not locked any more")
			}
			if n := len(w.entries(uid1, record.KindRework)); n > 0 || len(w.entries(uid1, record.KindRevoked)) != before {
				t.Errorf("%d rework entries", n)
			}
		})
	}
}

// lockedElsewhere is a board with the same ID as board 1, locked by another
// station for the same rework keys.
func lockedElsewhere(t *testing.T) *virtual.Board {
	t.Helper()
	_, der := reworkKey(t)
	b := board(t, 1)
	other := newWorld(t, map[string]*virtual.Board{portName(1): b}, func(w *world) { w.rework = der })
	wantOutcome(t, other.run()[1], record.Passed, "")
	other.boards = nil // the board outlives its station
	other.close()
	return b
}

// TestReworkForGood: without a rework key on it a locked board stays locked.
func TestReworkForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t)
		defer w.close()
		wantOutcome(t, w.run()[1], record.Passed, "")
		key, _ := reworkKey(t)
		_, err := w.desk().Rework(t.Context(), named(uid1), worn, w.bench(key))
		wantRefused(t, err, "locked for good")
		_, err = w.desk().Rework(t.Context(), named(uid1), worn, w.bench(nil))
		wantRefused(t, err, "no rework key")
		_, err = w.desk().Rework(t.Context(), named("nobody"), worn, w.bench(key))
		wantRefused(t, err, "knows no unit")
	})
}

// TestReworkRogue: a locked board that cannot prove the unit's key collects no
// signature.
func TestReworkRogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		station, der := reworkKey(t)
		w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1, faultOf("receipt-wrong-key"))}, func(w *world) { w.rework = der })
		defer w.close()
		wantOutcome(t, w.run()[1], record.Failed, "F-RECEIPT-03")
		_, err := w.desk().Rework(t.Context(), named(uid1), worn, w.bench(station))
		wantRefused(t, err, "did not prove")
		if n := len(w.entries(uid1, record.KindRework)); n > 0 {
			t.Errorf("%d rework entries", n)
		}
	})
}

// TestReworkCutOff: power or cable go at the worst moment; the same rework
// again finishes, and certificates are revoked once.
func TestReworkCutOff(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*world)           // of the line, once the unit has passed
		fault   string                 // of the board
		between string                 // what the line says of a board that is still locked
		entries int                    // rework entries in the end
		want    func(error, bool) bool // of the first try
	}{
		"before the board hears it": {func(w *world) { cutAt(w, groupEnroll, cmdReworkBoard, 1, 0) }, "", "F-CONNECT-23", 2, notUnlocked},
		"in place of its answer":    {func(*world) {}, "unplug-rework", "", 1, notUnlocked},
		"the board refuses":         {func(*world) {}, "rework-refuses", "F-CONNECT-23", 2, notUnlocked},
		"the board lies":            {func(*world) {}, "rework-lies", "F-CONNECT-23", 2, notUnlocked},
		"the nonce is not its own":  {func(*world) {}, "challenge-zero", "F-CONNECT-23", 2, notUnlocked},
	} {
		bubble(t, name, func(t *testing.T) {
			w, station, _ := reworkable(t, faultOf(c.fault))
			defer w.close()
			c.change(w)
			_, err := w.desk().Rework(t.Context(), named(uid1), worn, w.bench(station))
			locked := w.boards[portName(1)].State() == 3
			if !c.want(err, locked) || locked != (c.between != "") {
				t.Fatalf("the first try: %v, locked %v", err, locked)
			}
			w.restart()
			if c.between != "" {
				wantOutcome(t, w.run()[1], record.Failed, c.between)
			}
			again, err := w.desk().Rework(t.Context(), named(uid1), worn, w.bench(station))
			if c.fault == "" || c.fault == "unplug-rework" {
				if err != nil || !again.Again || len(again.Certificates) > 0 {
					t.Fatalf("once more: %+v, %v", again, err)
				}
				w.restart()
				wantOutcome(t, w.run()[1], record.Passed, "")
			} else if !notUnlocked(err, true) {
				t.Errorf("once more: %v", err)
			}
			if n := len(w.entries(uid1, record.KindRework)); n != c.entries || len(w.entries(uid1, record.KindRevoked)) != 1 {
				t.Errorf("%d rework entries, want %d; %d revoked", n, c.entries, len(w.entries(uid1, record.KindRevoked)))
			}
			w.wantValid()
		})
	}
}

func notUnlocked(err error, _ bool) bool {
	var e *provision.NotUnlockedError
	return errors.As(err, &e)
}

// TestReworkNotLocked: a board that was never locked, or is blank though its
// unit passed, needs no signature: the approval is enough, and on record.
func TestReworkNotLocked(t *testing.T) {
	for name, c := range map[string]struct {
		point string
		do    func(*testing.T, *world)
		fault string // before the rework
	}{
		"revoked before it was locked": {"installed", func(t *testing.T, w *world) {
			if _, err := w.desk().RevokeUnit(t.Context(), named(uid1), worn); err != nil {
				t.Fatal(err)
			}
		}, "F-CONNECT-17"},
		"wiped": {"", func(t *testing.T, w *world) {
			w.boards[portName(1)].Close()
			w.boards[portName(1)] = board(t, 1)
		}, "F-CONNECT-11"},
	} {
		bubble(t, name, func(t *testing.T) {
			w := one(t)
			defer w.close()
			w.recordIssuer()
			stopAt(w, c.point)
			w.run()
			c.do(t, w)
			w.restart()
			wantOutcome(t, w.run()[1], record.Failed, c.fault)
			got, err := w.desk().Rework(t.Context(), named(uid1), worn, w.bench(nil))
			if err != nil || got.KeyUsed != -1 {
				t.Fatalf("%+v, %v", got, err)
			}
			again, err := w.desk().Rework(t.Context(), named(uid1), worn, w.bench(nil))
			if err != nil || !again.Again || len(w.entries(uid1, record.KindRework)) != 1 {
				t.Errorf("again: %+v, %v", again, err)
			}
			w.restart()
			wantOutcome(t, w.run()[1], record.Passed, "")
			w.wantValid()
		})
	}
}

// TestReworkReplayed: the signature that unlocked a board unlocks it no second
// time, and no other board.
func TestReworkReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, station, _ := reworkable(t)
		defer w.close()
		caught := &keeping{PrivateKey: station}
		bench := w.bench(nil)
		bench.Key = caught
		if _, err := w.desk().Rework(t.Context(), named(uid1), worn, bench); err != nil {
			t.Fatal(err)
		}
		w.restart()
		wantOutcome(t, w.run()[1], record.Passed, "")
		stream, err := w.dial(t.Context(), portName(1))
		if err != nil {
			t.Fatal(err)
		}
		client := smp.NewClient(smp.ClientConfig{Stream: stream, Baud: 115200})
		defer client.Close()
		s := enroll.New(enroll.Config{Client: client})
		if _, err := s.Challenge(t.Context()); err != nil {
			t.Fatal(err)
		}
		var rc *smp.RCError
		if err := s.Rework(t.Context(), 0, caught.sig); !errors.As(err, &rc) || rc.RC != enroll.RCNotAuthorised {
			t.Errorf("replayed: %v", err)
		}
		if w.boards[portName(1)].State() != 3 {
			t.Error("a replayed signature unlocked the board")
		}
	})
}

// keeping is a key that keeps its last signature.
type keeping struct {
	*ecdsa.PrivateKey
	sig []byte
}

func (k *keeping) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	k.sig, err = k.PrivateKey.Sign(r, digest, opts)
	return k.sig, err
}
