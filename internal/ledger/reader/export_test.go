// SPDX-License-Identifier: Apache-2.0

package reader

import (
	"strings"
	"testing"
)

// Params are the settings of a reader's connection.
const Params = readParams

// Plan tells how SQLite answers a page.
func Plan(t testing.TB, r *Reader, f Filter, after Cursor, common bool) string {
	t.Helper()
	query, args := f.query(after, common)
	rows, err := r.pool.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, append(args, 100)...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // test
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(steps, "; ")
}

// Found tells which entries a page finds, with a prefix taken for common or not.
func Found(t testing.TB, r *Reader, f Filter, common bool) []int64 {
	t.Helper()
	query, args := f.query(Cursor{}, common)
	entries, err := collect(r.entries(t.Context(), query, append(args, MaxPage)...))
	if err != nil {
		t.Fatal(err)
	}
	var seqs []int64
	for _, e := range entries {
		seqs = append(seqs, e.Seq)
	}
	return seqs
}
