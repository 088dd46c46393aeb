// SPDX-License-Identifier: Apache-2.0

package reader

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"provisioning.example/station/internal/record"
)

// The methods in this file answer which certificates count. A certificate is live from its issued or renewed entry on,
// until it is revoked, its unit scrapped or reworked, or another one certified for the unit. Whether its time is over is not looked at.

// certified are the kinds of entries by which a unit gets a certificate.
const certified = `('issued', 'renewed')`

// Live returns the entry of a unit's live certificate. found is false where it has none.
func (r *Reader) Live(ctx context.Context, model, uid string) (e record.Entry, found bool, err error) {
	return r.one(ctx, `SELECT `+entryColumns+` FROM entry e WHERE uid = ?1 AND model = ?2 AND kind IN `+certified+`
		AND id = (SELECT max(id) FROM entry WHERE uid = ?1 AND model = ?2 AND kind IN ('issued', 'renewed', 'rework', 'scrap'))
		AND NOT EXISTS (SELECT 1 FROM entry r WHERE r.cert_sha256 = e.cert_sha256 AND r.kind = 'revoked')`, uid, model)
}

// Unrevoked returns the entries of a unit's certificates that were never revoked and end at or after a time, oldest first:
// the live one, and those it replaced.
func (r *Reader) Unrevoked(ctx context.Context, model, uid string, after time.Time) ([]record.Entry, error) {
	return collect(r.entries(ctx, `SELECT `+entryColumns+` FROM entry e WHERE uid = ?1 AND model = ?2 AND kind IN `+certified+`
		AND body ->> '$.not_after' >= ?3
		AND NOT EXISTS (SELECT 1 FROM entry r WHERE r.cert_sha256 = e.cert_sha256 AND r.kind = 'revoked') ORDER BY id`,
		uid, model, record.Timestamp(after)))
}

// one reads the only row of a query.
func (r *Reader) one(ctx context.Context, query string, args ...any) (e record.Entry, found bool, err error) {
	e, err = scanRaw(r.db.QueryRowContext(ctx, query, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return e, false, nil
	}
	if err != nil {
		return e, false, fmt.Errorf("ledger: %w", err)
	}
	e, err = decode(e)
	return e, err == nil, err
}

// Revocation is a certificate that was revoked, and when it would have ended.
type Revocation struct {
	record.Entry           // the revoked entry; of several for one certificate, the first
	NotAfter     time.Time // zero: the ledger does not tell
}

// Revocations yields the revoked certificates of an issuer, by its key id in hex, oldest first.
func (r *Reader) Revocations(ctx context.Context, issuerKey string) iter.Seq2[Revocation, error] {
	return func(yield func(Revocation, error) bool) {
		r.each(ctx, func(scan func(...any) error) (stop bool) {
			v, err := scanRevocation(scan)
			return !yield(v, err) || err != nil
		}, func(err error) { yield(Revocation{}, err) },
			`SELECT r.id, r.body, r.leaf, c.body ->> '$.not_after' FROM entry r LEFT JOIN entry c
				ON c.id = (SELECT min(id) FROM entry WHERE cert_sha256 = r.cert_sha256 AND (kind IN ('issued', 'renewed', 'caverify') OR kind = 'ca' AND body ->> '$.action' = 'certified'))
			 WHERE r.kind = 'revoked' AND coalesce(r.body ->> '$.issuer_key', c.body ->> '$.issuer_key') = ?
			 AND NOT EXISTS (SELECT 1 FROM entry o WHERE o.cert_sha256 = r.cert_sha256 AND o.kind = 'revoked' AND o.id < r.id)
			 ORDER BY r.id`, issuerKey)
	}
}

func scanRevocation(scan func(...any) error) (v Revocation, err error) {
	var id int64
	var leaf []byte
	var end sql.NullString
	if err := scan(&id, &v.Raw, &leaf, &end); err != nil {
		return v, fmt.Errorf("ledger: %w", err)
	}
	v.Epoch, v.Seq = Place(id)
	copy(v.Leaf[:], leaf)
	if v.Entry, err = decode(v.Entry); err == nil && end.Valid {
		v.NotAfter, err = record.ParseTime(end.String)
	}
	return v, err
}

// LastCRL returns the entry of an issuer's newest revocation list. found is false where none was made.
func (r *Reader) LastCRL(ctx context.Context, issuerKey string) (e record.Entry, found bool, err error) {
	return r.one(ctx, `SELECT `+entryColumns+` FROM entry WHERE kind = 'crl' AND body ->> '$.issuer_key' = ? ORDER BY id DESC LIMIT 1`, issuerKey)
}

// LastEnd returns when the last certificate of an issuer ends, revoked ones included; zero where it issued none.
// It looks at every certificate of the ledger.
func (r *Reader) LastEnd(ctx context.Context, issuerKey string) (time.Time, error) {
	var end sql.NullString
	err := r.db.QueryRowContext(ctx, `SELECT max(body ->> '$.not_after') FROM entry WHERE (kind IN ('issued', 'renewed', 'caverify') OR kind = 'ca' AND body ->> '$.action' = 'certified')
		AND body ->> '$.issuer_key' = ?`, issuerKey).Scan(&end)
	if err != nil {
		return time.Time{}, fmt.Errorf("ledger: %w", err)
	}
	if !end.Valid {
		return time.Time{}, nil
	}
	return record.ParseTime(end.String)
}

// Expiring yields the entries of live certificates that end before a time, the first to end first. It looks at every certificate.
func (r *Reader) Expiring(ctx context.Context, before time.Time) iter.Seq2[record.Entry, error] {
	return r.entries(ctx, `SELECT `+entryColumns+` FROM entry e WHERE kind IN `+certified+` AND body ->> '$.not_after' < ?
		AND NOT EXISTS (SELECT 1 FROM entry l WHERE l.uid = e.uid AND l.model = e.model AND l.kind IN ('issued', 'renewed', 'rework', 'scrap') AND l.id > e.id)
		AND NOT EXISTS (SELECT 1 FROM entry r WHERE r.cert_sha256 = e.cert_sha256 AND r.kind = 'revoked')
		ORDER BY body ->> '$.not_after', id`, record.Timestamp(before))
}
