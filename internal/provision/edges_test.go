// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

// cutting is a line that breaks at a command: before the board hears it, or
// some time after.
type cutting struct {
	smp.Stream
	dec   smp.Decoder
	group byte
	cmd   byte
	left  *int
	after time.Duration
}

func (c *cutting) Write(p []byte) (int, error) {
	cut := false
	c.dec.Feed(p, func(m []byte) {
		if len(m) >= 8 && m[5] == c.group && m[7] == c.cmd && *c.left > 0 {
			*c.left--
			cut = true
		}
	}, func([]byte) {})
	switch {
	case cut && c.after == 0:
		return len(p), c.Stream.Close()
	case cut:
		time.AfterFunc(c.after, func() { c.Stream.Close() })
	}
	return c.Stream.Write(p)
}

// cutAt makes the world's lines break at a command, so many times.
func cutAt(w *world, group, cmd byte, times int, after time.Duration) {
	dial := w.dial
	w.dial = func(ctx context.Context, port string) (smp.Stream, error) {
		s, err := dial(ctx, port)
		if err != nil {
			return nil, err
		}
		return &cutting{Stream: s, group: group, cmd: cmd, left: &times, after: after}, nil
	}
}

const (
	groupOS, groupEnroll = 0, 64
	osReset              = 5
	cmdCSR, cmdCommit    = 2, 5
	beforeReset          = 240 * time.Millisecond // a board restarts 250 ms after its answer
)

// stopAt stops the station behind a commit point.
func stopAt(w *world, point string) {
	w.station.OnCommit(func(p string) {
		if p == point {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = w.station.Stop(ctx) // does not wait: this is the run's own goroutine
		}
	})
}

// TestPortLostAtEveryReset: a board on its own USB takes its port away with
// every restart.
func TestPortLostAtEveryReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t, func(w *world) { cutAt(w, groupOS, osReset, 1000, beforeReset) })
		defer w.close()
		wantOutcome(t, w.run()[1], record.Passed, "")
	})
}

// TestUnlocksBehindLostLink: what the board says after a restart is never what
// is expected of it.
func TestUnlocksBehindLostLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unlocks := board(t, 1, func(c *virtual.Config) { c.Fault = "unlocks" })
		w := newWorld(t, map[string]*virtual.Board{portName(1): unlocks}, func(w *world) { cutAt(w, groupOS, osReset, 1, beforeReset) })
		defer w.close()
		wantOutcome(t, w.run()[1], record.Failed, "F-RECEIPT-02")
	})
}

// TestOtherBoardAfterUnplug: the run fails for its own unit, the other board
// is not touched, and the right one passes at the next try.
func TestOtherBoardAfterUnplug(t *testing.T) {
	for name, c := range map[string]struct {
		fault string
		cmd   byte
		want  string
	}{
		"early":  {"", cmdCSR, "F-REQUEST-94"},
		"late":   {"", cmdCommit, "F-INSTALL-94"},
		"silent": {"silent", cmdCSR, "F-REQUEST-91"},
	} {
		bubble(t, name, func(t *testing.T) {
			w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1)})
			defer w.close()
			own := w.boards[portName(1)]
			other := board(t, 9, func(v *virtual.Config) { v.Fault = c.fault })
			defer other.Close()
			dials := 0
			w.dial = func(context.Context, string) (smp.Stream, error) {
				if dials++; dials == 2 {
					return other.Dial(), nil
				}
				return own.Dial(), nil
			}
			cutAt(w, groupEnroll, c.cmd, 1, 0)
			wantOutcome(t, w.run()[1], record.Failed, c.want)
			if n := len(w.entries("b0a4d009", record.KindEnd)); n != 0 {
				t.Errorf("%d ends were filed under the other board", n)
			}
			if other.State() != 0 {
				t.Errorf("the other board is in state %d", other.State())
			}
			if open, err := w.reader.OpenRuns(t.Context()); err != nil || len(open) > 0 {
				t.Errorf("%d open runs, %v", len(open), err)
			}
			w.forget()
			if err := w.station.Retry(1); err != nil {
				t.Fatal(err)
			}
			wantOutcome(t, w.finish()[1], record.Passed, "")
		})
	}
}

// TestSecondBoardWithOneID: once a unit passed, a board with its ID and
// another key gets nothing, and the first certificate stays.
func TestSecondBoardWithOneID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		elsewhere := one(t)
		stopAt(elsewhere, "key") // leaves a keyed board
		elsewhere.run()
		if err := elsewhere.ledger.Close(); err != nil {
			t.Error(err)
		}
		w := one(t)
		defer w.close()
		w.run()
		w.boards[portName(1)].Close()
		w.boards[portName(1)] = elsewhere.boards[portName(1)]
		w.open()
		wantOutcome(t, w.run()[1], record.Failed, "F-CONNECT-11")
		if i, r := len(w.entries(uid1, record.KindIssued)), len(w.entries(uid1, record.KindRevoked)); i != 1 || r != 0 {
			t.Errorf("%d certificates, %d revoked", i, r)
		}
	})
}

// TestSerialIsFixedByTheTBS: a label scanned for the next run does not change
// what the recorded certificate says.
func TestSerialIsFixedByTheTBS(t *testing.T) {
	for _, point := range []string{"issuing", "signed"} {
		bubble(t, point, func(t *testing.T) {
			w := one(t, func(w *world) { w.product.Serial = provision.SerialScan })
			defer w.close()
			scanned(t, w, "SN-1")
			stopAt(w, point)
			w.run()
			w.open()
			scanned(t, w, "SN-2")
			wantOutcome(t, w.run()[1], record.Failed, "F-CONNECT-06")
			w.open()
			scanned(t, w, "SN-1")
			wantOutcome(t, w.run()[1], record.Passed, "")
			issued := w.entries(uid1, record.KindIssued)
			der, err := w.reader.Blob(t.Context(), issued[0].Cert)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := x509.ParseCertificate(der)
			if err != nil || cert.Subject.CommonName != "SN-1" || issued[0].Serial != "SN-1" {
				t.Errorf("the certificate says %v, the ledger %s, %v", cert.Subject, issued[0].Serial, err)
			}
		})
	}
}

// TestLockedByOthers: a board that something else locked was never rehearsed.
func TestLockedByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t)
		defer w.close()
		stopAt(w, "installed")
		w.run()
		stream, err := w.dial(t.Context(), portName(1))
		if err != nil {
			t.Fatal(err)
		}
		client := smp.NewClient(smp.ClientConfig{Stream: stream})
		s := enroll.New(enroll.Config{Client: client})
		info, err := s.WaitInfo(t.Context())
		if err == nil {
			err = s.Lock(t.Context(), *info.Chain)
		}
		if err = errors.Join(err, client.Close()); err != nil {
			t.Fatal(err)
		}
		w.open()
		wantOutcome(t, w.run()[1], record.Failed, "F-CONNECT-10")
	})
}

// TestRehearsalOutlivesACrash: what was rehearsed before the lock stands in
// the end entry of the run that finishes the unit.
func TestRehearsalOutlivesACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t)
		defer w.close()
		stopAt(w, "locked")
		w.run()
		w.open()
		wantOutcome(t, w.run()[1], record.Passed, "")
		ends, proven := w.entries(uid1, record.KindEnd), w.entries(uid1, record.KindProven)
		if len(proven) != 1 || ends[1].Rehearsal != proven[0].Rehearsal {
			t.Errorf("proven %+v, end %+v", proven, ends[1])
		}
	})
}

// TestNewIssuer: a TBS that another issuer left unsigned is made anew, over a
// lost link too; a certificate of a retired issuer is told as what it is.
func TestNewIssuer(t *testing.T) {
	bubble(t, "unsigned", func(t *testing.T) {
		w := one(t)
		defer w.close()
		stopAt(w, "issuing")
		w.run()
		w.makeAuthority()
		cutAt(w, groupEnroll, cmdCSR, 1, 0)
		w.open()
		wantOutcome(t, w.run()[1], record.Passed, "")
	})
	bubble(t, "issued", func(t *testing.T) {
		w := one(t)
		defer w.close()
		w.run()
		w.makeAuthority()
		w.open()
		wantOutcome(t, w.run()[1], record.Failed, "F-ISSUE-09")
	})
	bubble(t, "long ago", func(t *testing.T) {
		w := one(t)
		defer w.close()
		stopAt(w, "issuing")
		w.run()
		<-time.After(400 * 24 * time.Hour)
		w.open()
		wantOutcome(t, w.run()[1], record.Passed, "")
		if n := len(w.entries(uid1, record.KindIssuing)); n != 2 {
			t.Errorf("%d TBS on record, want a second one", n)
		}
	})
}

func TestNoLockNoReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		no := false
		w := one(t, func(w *world) { w.product.Lock, w.product.Reset = &no, &no })
		defer w.close()
		wantOutcome(t, w.run()[1], record.Passed, "")
	})
}

// TestSubjectDoesNotFit: an ID too long for the profile costs its unit the
// run, before a key is made, and nobody else anything.
func TestSubjectDoesNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		profile, err := issuer.ParseProfile("p.toml", []byte("base = \"mtls\"\n[subject]\ncommon_name = \"unit-{serial}\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		long := board(t, 1, func(c *virtual.Config) { c.UID = []byte(strings.Repeat("x", 32)) })
		w := newWorld(t, map[string]*virtual.Board{portName(1): long, portName(2): board(t, 2)}, func(w *world) { w.profile = profile })
		defer w.close()
		ends := w.run()
		wantOutcome(t, ends[1], record.Failed, "F-CONNECT-16")
		wantOutcome(t, ends[2], record.Passed, "")
		if long.State() != 0 {
			t.Error("the board got a key all the same")
		}
	})
}

// TestStopReachesTheQueue: boards that wait for their turn when the line is
// stopped are not begun.
func TestStopReachesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boards := map[string]*virtual.Board{}
		for i := range 4 {
			boards[portName(i+1)] = board(t, byte(i+1))
		}
		fit := errors.New("only 3 MiB are free")
		w := newWorld(t, boards, func(w *world) { w.jobs, w.fit = 1, func() error { return fit } })
		defer w.close()
		for slot, r := range w.run() {
			if code(r.Fault) != "F-RECORD-03" {
				t.Errorf("slot %d ended with %v", slot, r.Fault)
			}
		}
		if s := w.station.Snapshot(); s.Stopped == nil || s.Ready != 0 {
			t.Errorf("stopped %v, ready %d", s.Stopped, s.Ready)
		}
		begun, err := w.reader.OpenRuns(t.Context())
		if err != nil || len(begun) > 0 {
			t.Errorf("%d open runs, %v", len(begun), err)
		}
		fit = nil
		for w.station.Snapshot().Stopped != nil {
			<-w.station.Changed() // heals by itself
		}
		for slot, r := range w.run() {
			wantOutcome(t, r, record.Passed, "")
			_ = slot
		}
	})
}

// TestResume: a person says that what stopped the line is mended.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fit := errors.New("full")
		w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1), portName(2): board(t, 2)}, func(w *world) { w.fit = func() error { return fit } })
		defer w.close()
		w.forget()
		w.station.Provision(1)
		w.finish()
		if n := w.station.Provision(2); n != 0 {
			t.Errorf("%d boards were started on a stopped line", n)
		}
		fit = nil
		w.station.Resume()
		w.forget()
		if n := w.station.Provision(2); n != 1 {
			t.Errorf("%d boards were started on a resumed line", n)
		}
		wantOutcome(t, w.finish()[2], record.Passed, "")
	})
}

// TestInterruptedQueue: a run that never had its turn is aborted, not failed.
func TestInterruptedQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1), portName(2): board(t, 2)}, func(w *world) { w.jobs = 1 })
		defer w.close()
		w.forget()
		w.station.Provision()
		if err := w.station.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		for slot, r := range w.finish() {
			if r.Outcome != record.Aborted {
				t.Errorf("slot %d ended %s with %v", slot, r.Outcome, r.Fault)
			}
		}
	})
}

func TestRetryTakesTheBoardThatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1, func(c *virtual.Config) { c.Fault = "bad-signature" })})
		defer w.close()
		w.run()
		w.boards[portName(1)].Close()
		w.boards[portName(1)] = board(t, 2)
		w.forget()
		if err := w.station.Retry(1); err != nil {
			t.Fatal(err)
		}
		if r := w.finish()[1]; r.Serial != "b0a4d002" || r.Outcome != record.Passed {
			t.Errorf("board b0a4d002 became serial %s: %v", r.Serial, r.Fault)
		}
	})
}

func TestListNeedsUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t)
		defer w.close()
		w.product.Serial = provision.SerialList
		if err := w.tryOpen(); err == nil {
			t.Error("a station whose serials come from a list opened without one")
		}
	})
}

// TestScanProductWithList: a list stands for the scanner.
func TestScanProductWithList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		units, err := provision.LoadUnits("u.csv", []byte("serial\nSN-1\n"))
		if err != nil {
			t.Fatal(err)
		}
		w := one(t, func(w *world) { w.product.Serial, w.units = provision.SerialScan, units })
		defer w.close()
		if r := w.run()[1]; r.Serial != "SN-1" {
			t.Errorf("ended %+v", r)
		}
	})
}

// TestLongTexts: what a board says of itself never keeps its end out of the
// ledger.
func TestLongTexts(t *testing.T) {
	for name, change := range map[string]func(*virtual.Config){
		"hw":    func(c *virtual.Config) { c.HW = strings.Repeat("h", 100) },
		"model": func(c *virtual.Config) { c.Model = strings.Repeat("h", 100) },
		"fw":    func(c *virtual.Config) { c.FW = strings.Repeat("h", 128) },
	} {
		bubble(t, name, func(t *testing.T) {
			w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1, change)})
			defer w.close()
			if r := w.run()[1]; r.Entry == 0 || r.Outcome == record.Error {
				t.Errorf("ended %+v", r)
			}
		})
	}
}

func TestAttach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1), portName(2): board(t, 2)})
		defer w.close()
		st := w.station
		st.Detach(portName(1))
		st.Detach(portName(2))
		for _, c := range []struct {
			port, usb string
			want      int
		}{
			{"/dev/ttyACM0", "1-1.4", 1}, // a slot whose board is gone
			{"/dev/ttyACM7", "1-1.4", 1}, // the same place under another name
			{"/dev/ttyACM0", "1-1.5", 2}, // the same name at another place
			{"/dev/ttyACM1", "1-1.6", 0}, // the bench is full
		} {
			if got := st.Attach(0, c.port, c.usb); got != c.want {
				t.Errorf("%s at %s went to slot %d, want %d", c.port, c.usb, got, c.want)
			}
		}
	})
}

// TestClockBehindTheLedger: a station does not open with a clock that is
// behind what it recorded.
func TestClockBehindTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t)
		defer w.close()
		ahead := record.Body{Kind: record.KindStop, Operator: "os:test", Software: "station test", Time: record.Timestamp(time.Now().Add(time.Hour))}
		w.append(ahead)
		if err := w.tryOpen(); err == nil || !strings.Contains(err.Error(), "set the clock") {
			t.Errorf("opened: %v", err)
		}
	})
}
