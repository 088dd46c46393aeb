// SPDX-License-Identifier: Apache-2.0

package reader

import (
	"context"
	"database/sql"
	"errors"
	"iter"

	"provisioning.example/station/internal/record"
)

// RawOf yields the entries that match, oldest first, over all epochs, one at a time and without decoding their bodies.
// It costs constant memory if at most one kind is asked for; several are sorted in.
func (r *Reader) RawOf(ctx context.Context, q Query) iter.Seq2[record.Entry, error] {
	where, args, err := q.where()
	if err != nil {
		return func(yield func(record.Entry, error) bool) { yield(record.Entry{}, err) }
	}
	return r.rawEntries(ctx, `SELECT `+entryColumns+` FROM entry WHERE `+where+` ORDER BY id`, args...)
}

// Holder returns who holds a claim, as [Reader.Held] does; ok is false when nobody does.
func (r *Reader) Holder(ctx context.Context, c record.Claim) (e record.Entry, ok bool, err error) {
	e, err = r.Held(ctx, c)
	if errors.Is(err, sql.ErrNoRows) {
		return record.Entry{}, false, nil
	}
	return e, err == nil, err
}
