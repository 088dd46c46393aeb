// SPDX-License-Identifier: Apache-2.0

package reader

import (
	"context"
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
