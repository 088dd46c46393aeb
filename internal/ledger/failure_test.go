// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// content demands that the ledger holds exactly the acknowledged details, in order, and that the auditor agrees.
func content(t *testing.T, l *ledger.Ledger, acked []string) {
	t.Helper()
	var got []string
	err := l.Reader().Scan(t.Context(), 1, 1, func(e record.Entry) error {
		got = append(got, e.Body.Detail)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, "\n") != strings.Join(acked, "\n") {
		t.Errorf("the ledger holds %d entries, %d were acknowledged", len(got), len(acked))
	}
	verified(t, l.Reader(), audit.Anchors{Keys: []*record.Verifier{l.Verifier()}})
}

func verified(t *testing.T, r *reader.Reader, anchors audit.Anchors) {
	t.Helper()
	s, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // read only
	report, err := audit.Verify(t.Context(), s, anchors)
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() || !report.Proven {
		t.Errorf("%s\n%v", report.Verdict(), report.Findings)
	}
}

// fillUp appends until the ledger refuses, and returns what was acknowledged and why it ended.
func fillUp(t *testing.T, l *ledger.Ledger, acked []string) ([]string, error) {
	t.Helper()
	for i := range 10000 {
		detail := fmt.Sprintf("%d %s", i, strings.Repeat("x", 500))
		if _, err := l.Append(t.Context(), ledger.Batch{Bodies: []record.Body{stop(detail)}, Blobs: [][]byte{[]byte(strings.Repeat(fmt.Sprint(i), 999))}}); err != nil {
			return acked, err
		}
		acked = append(acked, detail)
	}
	t.Fatal("the ledger never filled up")
	return nil, nil
}

func TestFullDisk(t *testing.T) {
	c := create(t)
	l := open(t, c)
	ledger.Pragma(t, l, "max_page_count = 100")
	acked, err := fillUp(t, l, nil)
	var we *ledger.WriteError
	if !errors.As(err, &we) || !we.Full || we.Final || len(acked) == 0 || !strings.Contains(err.Error(), "make room") {
		t.Fatalf("after %d entries: %v", len(acked), err)
	}
	more := bodies(stop("no room"))
	more.Blobs = [][]byte{[]byte(strings.Repeat("y", 16<<10))} // more than what filled it up
	for range 3 {                                              // it stays full, and says so each time
		if _, err := l.Append(t.Context(), more); !errors.As(err, &we) || !we.Full {
			t.Fatalf("while full: %v", err)
		}
	}
	if err := l.Err(); err != nil {
		t.Errorf("a full disk is final: %v", err)
	}
	ledger.Pragma(t, l, "max_page_count = 200")
	appendTo(t, l, bodies(stop("there is room")))
	acked = append(acked, "there is room")
	if err := l.Cover(t.Context(), int64(len(acked))); err != nil {
		t.Fatal(err)
	}
	content(t, l, acked)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	content(t, open(t, c), acked)
}

func TestFullDiskBeforeTheCheckpoint(t *testing.T) {
	c := create(t)
	l := open(t, c)
	ledger.Pragma(t, l, "max_page_count = 100")
	acked, _ := fillUp(t, l, nil)
	// The checkpoint may still fit on a page that is begun: what counts is that it is either covered or an error.
	var we *ledger.WriteError
	err := l.Cover(t.Context(), int64(len(acked)))
	if _, covered := l.Size(); err == nil && covered != int64(len(acked)) || err != nil && (!errors.As(err, &we) || !we.Full) {
		t.Errorf("covered %d of %d: %v", covered, len(acked), err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, c)
	if _, covered := l.Size(); covered != int64(len(acked)) {
		t.Errorf("after opening %d of %d are covered", covered, len(acked))
	}
	content(t, l, acked)
}

func TestReadOnlyFileIsFinal(t *testing.T) {
	c := create(t)
	l := open(t, c)
	appendTo(t, l, bodies(stop("one")))
	ledger.Pragma(t, l, "query_only = 1")
	var we *ledger.WriteError
	if _, err := l.Append(t.Context(), bodies(stop("two"))); !errors.As(err, &we) || !we.Final || we.Full {
		t.Fatalf("append: %v", err)
	}
	ledger.Pragma(t, l, "query_only = 0")
	if _, err := l.Append(t.Context(), bodies(stop("three"))); !errors.As(err, &we) || !we.Final || !strings.Contains(err.Error(), "start the station again") {
		t.Errorf("append after it: %v", err)
	}
	if err := l.Cover(t.Context(), 1); !errors.As(err, &we) {
		t.Errorf("cover after it: %v", err)
	}
	if err := l.Err(); !errors.As(err, &we) {
		t.Errorf("Err: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, c)
	appendTo(t, l, bodies(stop("four")))
	content(t, l, []string{"one", "four"})
}

func TestAnotherWriterIsWaitedFor(t *testing.T) {
	c := create(t)
	l := open(t, c)
	db, err := sql.Open("sqlite3", reader.DSN(c.Path, "mode=rw&_txlock=immediate"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // test
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	ledger.Pragma(t, l, "busy_timeout = 0")
	var we *ledger.WriteError
	if _, err := l.Append(t.Context(), bodies(stop("one"))); !errors.As(err, &we) || we.Final || we.Full || !strings.Contains(err.Error(), "another program") {
		t.Errorf("while another writes: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	appendTo(t, l, bodies(stop("two")))
	content(t, l, []string{"two"})
}

// TestGroupCommit lets appends wait for the writer and counts the transactions it makes of them.
func TestGroupCommit(t *testing.T) {
	c := create(t)
	synctest.Test(t, func(t *testing.T) {
		l, err := ledger.Open(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		commits := 0
		ledger.CountCommits(t, l, func() { commits++ })
		release := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			if err := ledger.Occupy(l, release); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		for i := range 30 {
			all.Go(func() {
				if _, err := l.Append(context.Background(), bodies(stop(fmt.Sprint(i)))); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // all 30 wait for the writer
		close(release)
		all.Wait()
		if size, _ := l.Size(); size != 30 {
			t.Errorf("size %d", size)
		}
		// One is of the transaction that kept the writer busy.
		if commits != 2 {
			t.Errorf("%d commits for 30 appends that waited together", commits-1)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}
