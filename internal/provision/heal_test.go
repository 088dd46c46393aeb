// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/virtual"
)

// TestStopWaitsForTheHealer: when Stop has returned, nothing of the station
// uses the ledger any more, which is closed next.
func TestStopWaitsForTheHealer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		release := make(chan struct{})
		w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1)}, func(w *world) {
			w.fit = func() error {
				if asked.Add(1) > 1 {
					<-release // in the middle of healing
				}
				return errors.New("the disk is nearly full")
			}
		})
		defer w.close()
		wantOutcome(t, w.run()[1], record.Error, "F-RECORD-03")
		<-time.After(6 * time.Second)
		if asked.Load() != 2 {
			t.Fatalf("the disk was looked at %d times", asked.Load())
		}
		stopped := make(chan error, 1)
		go func() { stopped <- w.station.Stop(context.Background()) }()
		synctest.Wait()
		select {
		case <-stopped:
			t.Error("the station says it has stopped, and tries the ledger")
			stopped <- nil
		default:
		}
		close(release)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// TestLineGoesOnWithTheLedger holds the ledger's file back from the station in
// the middle of a run: no certificate leaves, the line stops with the reason,
// and goes on by itself once the file is free. (Real time: SQLite waits for a
// busy file by the system's clock.)
func TestLineGoesOnWithTheLedger(t *testing.T) {
	t.Parallel()
	w := one(t)
	defer w.close()
	other, err := sql.Open("sqlite3", w.reader.Path()+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var tx *sql.Tx
	w.station.OnCommit(func(point string) {
		if point == "issuing" {
			if tx, err = other.Begin(); err != nil {
				t.Error(err)
			}
		}
	})
	wantOutcome(t, w.run()[1], record.Error, "F-RECORD-01")
	if board := w.boards[portName(1)]; len(board.Chain()) > 0 {
		t.Error("a certificate left although the ledger could not be written")
	}
	if s := w.station.Snapshot(); s.Stopped == nil || s.Stopped.Code != "F-RECORD-01" {
		t.Errorf("the line is not stopped: %+v", s.Stopped)
	}
	w.station.OnCommit(nil)
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(patience)
	for w.station.Snapshot().Stopped != nil {
		select {
		case <-w.station.Changed():
		case <-deadline:
			t.Fatal("the line does not go on")
		}
	}
	w.forget()
	if err := w.station.Retry(1); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, w.finish()[1], record.Passed, "")
	if n := len(w.entries(uid1, record.KindIssued)); n != 1 {
		t.Errorf("%d certificates", n)
	}
	if s := w.station.Snapshot(); s.Slots[0].State != provision.Pass {
		t.Errorf("slot 1 is %s", s.Slots[0].State)
	}
}
