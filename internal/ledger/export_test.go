// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"strings"
	"testing"
)

// Settings reads back what the writer's connection works with.
func Settings(t testing.TB, l *Ledger) string {
	t.Helper()
	var all []string
	for _, pragma := range []string{"journal_mode", "synchronous", "recursive_triggers"} {
		var v string
		if err := l.db.QueryRow("PRAGMA " + pragma).Scan(&v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return strings.Join(all, " ")
}
