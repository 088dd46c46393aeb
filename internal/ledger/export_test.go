// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/mattn/go-sqlite3"
)

// Settings reads back what the writer's connection works with.
func Settings(t testing.TB, l *Ledger) string {
	t.Helper()
	var all []string
	for _, pragma := range []string{"journal_mode", "synchronous", "recursive_triggers"} {
		all = append(all, Pragma(t, l, pragma))
	}
	return strings.Join(all, " ")
}

// Pragma reads or sets a setting of the writer's connection.
func Pragma(t testing.TB, l *Ledger, pragma string) string {
	t.Helper()
	var v sql.NullString
	if err := l.db.QueryRow("PRAGMA " + pragma).Scan(&v); err != nil && err != sql.ErrNoRows {
		t.Fatal(err)
	}
	return v.String
}

// Weaken sets what the SQLite driver sets on its own, and [Open] refuses: for the mutant of the power-cut rig.
func Weaken(l *Ledger) error {
	_, err := l.db.Exec("PRAGMA synchronous = NORMAL")
	return err
}

// CountCommits calls fn at every commit of the writer.
func CountCommits(t testing.TB, l *Ledger, fn func()) {
	t.Helper()
	conn, err := l.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // goes back to the pool
	err = conn.Raw(func(c any) error {
		c.(*sqlite3.SQLiteConn).RegisterCommitHook(func() int {
			fn()
			return 0
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Occupy keeps the writer inside a transaction until release is closed.
func Occupy(l *Ledger, release <-chan struct{}) error {
	return l.do(l.ctx, func(*sql.Tx) error {
		<-release
		return nil
	})
}
