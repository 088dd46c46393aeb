// SPDX-License-Identifier: Apache-2.0

//go:build linux

package provision_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/powercut"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/virtual"
)

const (
	diskSize    = 48      // MiB
	diskBallast = 4 << 20 // bytes
	diskWanted  = 8 << 20 // bytes that must be free for a unit to begin
)

// diskBench is a whole station whose ledger lies on a disk of its own.
type diskBench struct {
	*world
	disk   *powercut.Disk
	config ledger.Config
}

// newDiskBench makes a bench with one board.
func newDiskBench(t *testing.T, ballast int64) *diskBench {
	t.Helper()
	d := &diskBench{disk: powercut.New(t, "ext4", diskSize)}
	d.world = newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1)}, func(w *world) {
		if err := w.ledger.Close(); err != nil {
			t.Fatal(err)
		}
		d.config = ledger.Config{Path: filepath.Join(d.disk.Dir(), "ledger.db"), Origin: origin, Signer: w.signer, Ballast: ballast}
		if err := ledger.Create(t.Context(), d.config); err != nil {
			t.Fatal(err)
		}
		d.world = w
		d.openLedger()
		w.fit = d.room
	})
	return d
}

func (d *diskBench) openLedger() {
	d.t.Helper()
	var err error
	if d.ledger, err = ledger.Open(d.t.Context(), d.config); err != nil {
		d.t.Fatal(err)
	}
	d.reader = d.ledger.Reader()
}

// room is what the station asks before each unit.
func (d *diskBench) room() error {
	var s unix.Statfs_t
	if err := unix.Statfs(d.disk.Dir(), &s); err != nil {
		return err
	}
	if s.Bavail*uint64(s.Bsize) < diskWanted {
		return errors.New("the disk is nearly full")
	}
	return d.ledger.KeepBallast()
}

func (d *diskBench) hasBallast() bool {
	_, err := os.Stat(filepath.Join(d.disk.Dir(), "ballast"))
	return err == nil
}

// at does something once, when a run has come to a commit point.
func (d *diskBench) at(point string, do func()) {
	done := false
	d.station.OnCommit(func(p string) {
		if p == point && !done {
			done = true
			do()
		}
	})
}

// stopped demands that the line is stopped, for this reason.
func (d *diskBench) stopped(code string) {
	d.t.Helper()
	if s := d.station.Snapshot().Stopped; s == nil || s.Code != code {
		d.t.Errorf("the line is not stopped for %s: %+v", code, s)
	}
}

// heals waits until the line goes on by itself.
func (d *diskBench) heals() {
	d.t.Helper()
	deadline := time.After(time.Minute)
	for d.station.Snapshot().Stopped != nil {
		select {
		case <-d.station.Changed():
		case <-deadline:
			d.t.Fatal("the line does not go on")
		}
	}
}

// again starts the station anew on the disk as it is now, with the ledger
// checked, and runs the board to its end.
func (d *diskBench) again() provision.Result {
	d.t.Helper()
	if err := d.station.Stop(d.t.Context()); err != nil {
		d.t.Error(err)
	}
	d.opened = nil
	if err := d.ledger.Close(); err != nil {
		d.t.Logf("the ledger that broke: %v", err)
	}
	d.disk.Restore()
	d.openLedger()
	d.open()
	return d.run()[1]
}

// left demands that what the board holds is on record, or that it holds
// nothing, and that the ledger is valid.
func (d *diskBench) left(certificates int) {
	d.t.Helper()
	issued := d.entries(uid1, record.KindIssued)
	if len(issued) != certificates {
		d.t.Errorf("%d certificates are on record, want %d", len(issued), certificates)
	}
	chain := d.boards[portName(1)].Chain()
	if (len(chain) > 0) != (certificates > 0) {
		d.t.Errorf("the board holds %d bytes, %d certificates are on record", len(chain), certificates)
	}
	for _, b := range issued {
		der, err := d.reader.Blob(d.t.Context(), b.Cert)
		if err != nil || !strings.HasPrefix(string(chain), string(der)) {
			d.t.Errorf("the board holds another certificate than that on record: %v", err)
		}
	}
	report, err := audit.Verify(d.t.Context(), d.reader, audit.Anchors{Keys: []*record.Verifier{d.ledger.Verifier()}})
	if err != nil || !report.OK() || !report.Proven {
		d.t.Errorf("%v %v", report.Verdict(), err)
	}
}

// TestDisk has the disk under the ledger get full, turn read-only and break in
// the middle of a run: the line stops with the fault that says so, nothing left
// the station that is not on record, and the next start goes on.
func TestDisk(t *testing.T) {
	if !powercut.Enter(t) {
		return
	}
	t.Run("full", func(t *testing.T) {
		t.Parallel() // it waits for the line to go on
		d := newDiskBench(t, 0)
		defer d.close()
		d.at("issuing", d.disk.Fill)
		wantOutcome(t, d.run()[1], record.Error, "F-RECORD-01")
		d.stopped("F-RECORD-01")
		d.left(0)
		d.disk.Empty()
		d.heals()
		d.forget()
		if err := d.station.Retry(1); err != nil {
			t.Fatal(err)
		}
		wantOutcome(t, d.finish()[1], record.Passed, "")
		d.left(1)
	})
	t.Run("full, then a new start", func(t *testing.T) {
		t.Parallel()
		d := newDiskBench(t, 0)
		defer d.close()
		d.at("issued", d.disk.Fill)
		wantOutcome(t, d.run()[1], record.Error, "F-RECORD-01")
		d.stopped("F-RECORD-01")
		d.left(1)
		d.disk.Empty()
		wantOutcome(t, d.again(), record.Passed, "")
		d.left(1)
	})
	t.Run("full with ballast", func(t *testing.T) {
		t.Parallel()
		d := newDiskBench(t, diskBallast)
		defer d.close()
		if !d.hasBallast() {
			t.Fatal("no ballast")
		}
		d.at("issuing", d.disk.Fill)
		wantOutcome(t, d.run()[1], record.Passed, "") // what was under way ends
		if d.hasBallast() {
			t.Error("the disk was full, and the ballast is still there")
		}
		d.left(1)
		d.forget()
		d.station.Attach(1, portName(1), "")
		d.station.Provision()
		wantOutcome(t, d.finish()[1], record.Error, "F-RECORD-03") // and nothing begins
		d.stopped("F-RECORD-03")
		d.disk.Empty()
		d.heals()
		d.station.Attach(1, portName(1), "")
		wantOutcome(t, d.run()[1], record.Passed, "")
		if !d.hasBallast() {
			t.Error("the disk has room, and there is no ballast again")
		}
		d.left(1)
	})
	for name, fail := range map[string]struct{ begin, end func(*powercut.Disk) }{
		"read-only": {(*powercut.Disk).TurnReadOnly, func(*powercut.Disk) {}},
		"broken":    {(*powercut.Disk).Break, (*powercut.Disk).Mend},
		"gone":      {(*powercut.Disk).Cut, func(*powercut.Disk) {}},
	} {
		for point, certificates := range map[string]int{"issuing": 0, "issued": 1} {
			t.Run(name+" after "+point, func(t *testing.T) {
				t.Parallel()
				d := newDiskBench(t, diskBallast)
				defer d.close()
				d.at(point, func() { fail.begin(d.disk) })
				wantOutcome(t, d.run()[1], record.Error, "F-RECORD-05")
				d.stopped("F-RECORD-05")
				if held := len(d.boards[portName(1)].Chain()) > 0; held && certificates == 0 {
					t.Error("a certificate left that is not on record")
				}
				fail.end(d.disk)
				wantOutcome(t, d.again(), record.Passed, "")
				d.left(1)
			})
		}
	}
}
