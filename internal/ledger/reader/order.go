// SPDX-License-Identifier: Apache-2.0

package reader

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"provisioning.example/station/internal/record"
)

// UnitsOf counts the boards that passed for a work order and were not reworked or scrapped since, over all epochs. A board
// that passed twice is one.
func (r *Reader) UnitsOf(ctx context.Context, order string) (n int, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT DISTINCT e.model, e.uid FROM entry e INDEXED BY end_order
		WHERE e.kind = 'end' AND e.work_order = ? AND e.outcome = 'passed' AND NOT EXISTS
		(SELECT 1 FROM entry l WHERE l.uid = e.uid AND l.model = e.model AND l.kind IN ('rework', 'scrap') AND l.id > e.id))`, order).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("ledger: units of order %s: %w", order, err)
	}
	return n, nil
}

// OrderEntry is the last order entry for a work order; found is false where there is none.
func (r *Reader) OrderEntry(ctx context.Context, order string) (e record.Entry, found bool, err error) {
	return r.one(ctx, `SELECT `+entryColumns+` FROM entry e INDEXED BY entry_kind WHERE work_order = ? AND kind = '`+record.KindOrder+`' ORDER BY id DESC LIMIT 1`, order)
}

// Orders returns the last order entry for each work order, the one that changed last first.
func (r *Reader) Orders(ctx context.Context) ([]record.Entry, error) {
	return collect(r.entries(ctx, `SELECT `+entryColumns+` FROM entry e WHERE id IN
		(SELECT max(id) FROM entry INDEXED BY entry_kind WHERE kind = '`+record.KindOrder+`' GROUP BY work_order) ORDER BY id DESC`))
}

// LastSerial returns the greatest serial on record, in any entry, that is prefix and then exactly so many digits, between first
// and last. found is false where there is none.
func (r *Reader) LastSerial(ctx context.Context, prefix string, digits int, first, last string) (serial string, found bool, err error) {
	if strings.ContainsAny(prefix, "*?[") || digits < 1 || digits > 64 {
		return "", false, fmt.Errorf("ledger: serials %q with %d digits", prefix, digits)
	}
	err = r.db.QueryRowContext(ctx, `SELECT serial FROM entry INDEXED BY entry_serial WHERE serial IS NOT NULL AND serial BETWEEN ? AND ? AND serial GLOB ?
		ORDER BY serial DESC LIMIT 1`, first, last, prefix+strings.Repeat("[0-9]", digits)).Scan(&serial)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("ledger: last serial: %w", err)
	}
	return serial, true, nil
}
