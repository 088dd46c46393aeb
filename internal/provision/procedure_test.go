// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/virtual"
)

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// one makes a world with one sound board.
func one(t *testing.T, change ...func(*world)) *world {
	t.Helper()
	return newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1)}, change...)
}

const uid1 = "b0a4d001"

func wantOutcome(t *testing.T, r provision.Result, outcome, fault string) {
	t.Helper()
	if r.Outcome != outcome || code(r.Fault) != fault {
		t.Errorf("ended %q with %v, want %q %q", r.Outcome, r.Fault, outcome, fault)
	}
}

func TestPassIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t)
		defer w.close()
		r := w.run()[1]
		wantOutcome(t, r, record.Passed, "")
		var kinds []string
		for _, k := range []string{record.KindBegun, record.KindKey, record.KindIssuing, record.KindIssued, record.KindEnd} {
			for range w.entries(uid1, k) {
				kinds = append(kinds, k)
			}
		}
		if got, want := strings.Join(kinds, " "), "begun key issuing issued end"; got != want {
			t.Errorf("entries %q, want %q", got, want)
		}
		end := w.entries(uid1, record.KindEnd)[0]
		if end.Receipt == nil || end.Rehearsal == "" || end.ChainReadBack == "" || len(end.Steps) != len(provision.Steps()) {
			t.Errorf("the end entry lacks its evidence: %+v", end)
		}
		if _, covered := w.ledger.Size(); covered < r.Entry {
			t.Errorf("PASS was shown at entry %d, checkpoints cover %d", r.Entry, covered)
		}
		s := w.station.Snapshot()
		if s.Slots[0].State != provision.Pass || s.Counters.Passed != 1 || s.Counters.FirstPass != 1 || s.Counters.Hour[11].Passed != 1 {
			t.Errorf("snapshot %+v", s)
		}
	})
}

// TestStoppedAtEveryCommitPoint stops the station right behind each commit
// point; a new one resumes, with one certificate for the key.
func TestStoppedAtEveryCommitPoint(t *testing.T) {
	for _, c := range []struct{ point, fault string }{
		{"key", "F-REQUEST-98"},
		{"issuing", "F-ISSUE-98"},
		{"signed", "F-ISSUE-98"},
		{"issued", "F-INSTALL-98"},
		{"installed", "F-PROVE-98"},
		{"proven", "F-LOCK-98"},
		{"locked", "F-RECEIPT-98"},
	} {
		bubble(t, c.point, func(t *testing.T) {
			w := one(t)
			defer w.close()
			stopAt(w, c.point)
			wantOutcome(t, w.run()[1], record.Aborted, c.fault)
			w.open()
			wantOutcome(t, w.run()[1], record.Passed, "")
			if n := len(w.entries(uid1, record.KindIssued)); n != 1 {
				t.Errorf("%d certificates, want 1", n)
			}
			if n := len(w.entries(uid1, record.KindKey)); n != 1 {
				t.Errorf("%d keys, want 1", n)
			}
		})
	}
}

func TestPassedBoardIsProvenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t)
		defer w.close()
		first := w.run()[1]
		w.open()
		again := w.run()[1]
		wantOutcome(t, again, record.Passed, "")
		if again.CertSHA256 != first.CertSHA256 || again.Attempt != 2 {
			t.Errorf("second pass: attempt %d, certificate %s, the first was %s", again.Attempt, again.CertSHA256, first.CertSHA256)
		}
	})
}

func TestWipedBoardIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t)
		defer w.close()
		w.run()
		w.boards[portName(1)].Close()
		w.boards[portName(1)] = board(t, 1) // the same ID, and blank
		w.open()
		wantOutcome(t, w.run()[1], record.Failed, "F-CONNECT-11")
	})
}

func TestForeignBoardIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		elsewhere := one(t)
		elsewhere.run()
		if err := elsewhere.ledger.Close(); err != nil {
			t.Error(err)
		}
		w := newWorld(t, elsewhere.boards)
		defer w.close()
		wantOutcome(t, w.run()[1], record.Failed, "F-CONNECT-05")
	})
}

func TestClonedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloned := func(c *virtual.Config) { c.Fault = "cloned-key" }
		w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1, cloned), portName(2): board(t, 2, cloned)})
		defer w.close()
		ends := w.run()
		codes := []string{code(ends[1].Fault), code(ends[2].Fault)}
		slices.Sort(codes)
		if !slices.Equal(codes, []string{"", "F-KEY-01"}) {
			t.Errorf("two boards with one key ended with %q", codes)
		}
	})
}

func TestOneBoardInTwoSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1), portName(2): board(t, 1)})
		defer w.close()
		ends := w.run()
		codes := []string{code(ends[1].Fault), code(ends[2].Fault)}
		slices.Sort(codes)
		if !slices.Equal(codes, []string{"", "F-CONNECT-13"}) {
			t.Errorf("two slots with one board ended with %q", codes)
		}
	})
}

func TestSuits(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world)
		board  func(*virtual.Config)
		want   string
	}{
		"model":      {board: func(c *virtual.Config) { c.Model = "other" }, want: "F-CONNECT-04"},
		"prot":       {change: func(w *world) { w.product.Prot = []int{3} }, want: "F-CONNECT-07"},
		"algorithm":  {change: func(w *world) { w.product.Algorithm = "RS256" }, want: "F-CONNECT-08"},
		"verify":     {board: func(c *virtual.Config) { c.Verify = []string{"RS256"} }, want: "F-ISSUE-06"},
		"other root": {want: "F-CONNECT-12"},
	} {
		bubble(t, name, func(t *testing.T) {
			if name == "other root" {
				other := &world{t: t}
				other.makeAuthority()
				root := other.issuer.Root()
				c.board = func(c *virtual.Config) { c.Root = root }
			}
			var boards []func(*virtual.Config)
			if c.board != nil {
				boards = append(boards, c.board)
			}
			var changes []func(*world)
			if c.change != nil {
				changes = append(changes, c.change)
			}
			w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1, boards...)}, changes...)
			defer w.close()
			r := w.run()[1]
			if code(r.Fault) != c.want {
				t.Errorf("ended with %v, want %s", r.Fault, c.want)
			}
		})
	}
}

func TestScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1), portName(2): board(t, 2)},
			func(w *world) { w.product.Serial = provision.SerialScan })
		defer w.close()
		if s := w.station.Snapshot(); s.ScanSlot != 1 || s.Ready != 0 {
			t.Errorf("scan slot %d, %d ready", s.ScanSlot, s.Ready)
		}
		for _, bad := range []string{"", "=1+1", "-a", "a\x00b", "\u202ea", strings.Repeat("x", 65)} {
			if slot, err := w.station.Scan(bad); err == nil {
				t.Errorf("the label %q was taken for slot %d", bad, slot)
			}
		}
		if n := w.station.Provision(); n != 0 {
			t.Errorf("%d boards were started without a scan", n)
		}
		if slot, err := w.station.Scan("SN-1"); slot != 1 || err != nil {
			t.Errorf("first scan went to %d, %v", slot, err)
		}
		if slot, err := w.station.Scan("SN-1"); err == nil {
			t.Errorf("a doubled scan went to slot %d", slot)
		}
		if slot, err := w.station.Scan(" SN-2\n"); slot != 2 || err != nil {
			t.Errorf("second scan went to %d, %v", slot, err)
		}
		ends := w.run()
		for i, serial := range []string{"SN-1", "SN-2"} {
			if r := ends[i+1]; r.Serial != serial || r.Outcome != record.Passed {
				t.Errorf("slot %d ended %q as %q: %v", i+1, r.Outcome, r.Serial, r.Fault)
			}
		}
		if slot, err := w.station.Scan("SN-1"); err == nil {
			t.Errorf("a serial that passed was taken for slot %d", slot)
		}
	})
}

// TestSerialOnRecord: a board whose certificate is on record keeps its serial.
func TestSerialOnRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scan := func(w *world) { w.product.Serial = provision.SerialScan }
		w := one(t, scan)
		defer w.close()
		scanned(t, w, "SN-1")
		stopAt(w, "installed")
		w.run()
		w.open()
		scanned(t, w, "SN-9")
		wantOutcome(t, w.run()[1], record.Failed, "F-CONNECT-06")
	})
}

func TestSerialOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scan := func(w *world) { w.product.Serial = provision.SerialScan }
		w := one(t, scan)
		defer w.close()
		scanned(t, w, "SN-1")
		stopAt(w, "issued")
		w.run()
		w.boards[portName(1)] = board(t, 7) // another board, with the first one's label
		w.open()
		scanned(t, w, "SN-1")
		wantOutcome(t, w.run()[1], record.Failed, "F-CONNECT-09")
	})
}

// TestLabelOfBadBoard: a label whose board never got a certificate may go on
// another board.
func TestLabelOfBadBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1, func(c *virtual.Config) { c.Fault = "wrong-cn" })},
			func(w *world) { w.product.Serial = provision.SerialScan })
		defer w.close()
		scanned(t, w, "SN-1")
		wantOutcome(t, w.run()[1], record.Failed, "F-REQUEST-03")
		w.boards[portName(1)].Close()
		w.boards[portName(1)] = board(t, 2)
		w.open()
		scanned(t, w, "SN-1")
		wantOutcome(t, w.run()[1], record.Passed, "")
	})
}

func scanned(t *testing.T, w *world, label string) {
	t.Helper()
	if _, err := w.station.Scan(label); err != nil {
		t.Fatal(err)
	}
}

func TestUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		units, err := provision.LoadUnits("units.csv", []byte("serial,uid,slot\nSN-3,,\nSN-2,,2\nSN-1,B0A4D001,\n"))
		if err != nil {
			t.Fatal(err)
		}
		boards := map[string]*virtual.Board{}
		for i := range 4 {
			boards[portName(i+1)] = board(t, byte(i+1))
		}
		w := newWorld(t, boards, func(w *world) { w.units, w.product.Serial = units, provision.SerialList })
		defer w.close()
		ends := w.run()
		if ends[1].Serial != "SN-1" || ends[2].Serial != "SN-2" {
			t.Errorf("slots 1 and 2 got %q and %q", ends[1].Serial, ends[2].Serial)
		}
		rest := []string{ends[3].Serial + code(ends[3].Fault), ends[4].Serial + code(ends[4].Fault)}
		slices.Sort(rest)
		if !slices.Equal(rest, []string{"F-CONNECT-15", "SN-3"}) {
			t.Errorf("slots 3 and 4 ended with %q", rest)
		}
	})
}

func TestLoadUnitsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "u.csv:1: no header",
		"uid\nab\n":                `u.csv:1: there is no column "serial"`,
		"serial,Serial\n":          `u.csv:1: column 2 is called "Serial"`,
		"serial,serial\n":          `u.csv:1: two columns`,
		"serial\n":                 "u.csv: no unit",
		"serial\n=cmd\n":           `u.csv:2: "=cmd" is no serial`,
		"serial\nA\nB\nA\n":        "u.csv:4: serial A stands in line 2 already",
		"serial,uid\nA,ab\nB,AB\n": "u.csv:3: board ab stands in line 2 already",
		"serial,uid\nA,xyz\n":      `u.csv:2: uid "xyz"`,
		"serial,slot\nA,-1\n":      `u.csv:2: slot "-1"`,
		"serial\nA\n\"B\n":         "u.csv:3: ",
		"serial,slot\nA\n":         "u.csv:2: wrong number of fields",
		"serial\n" + "A\u202eB\n":  "is no serial",
		"serial\n" + fmt.Sprintf("%065d", 1) + "\n": "is no serial",
	} {
		if _, err := provision.LoadUnits("u.csv", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzLoadUnits(f *testing.F) {
	f.Add([]byte("serial,uid,slot\nSN-1,ab,1\n"))
	f.Add([]byte("\ufeffserial,batch\n\"SN 2\",x\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		u, err := provision.LoadUnits("u.csv", raw)
		if err == nil && u.Len() == 0 {
			t.Error("an empty list was taken")
		}
	})
}

func TestStopRefusesNewRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t)
		defer w.close()
		if err := w.station.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := w.station.Provision(); n != 0 {
			t.Errorf("%d runs started on a closing station", n)
		}
	})
}
