// SPDX-License-Identifier: Apache-2.0

package reader

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"time"

	"provisioning.example/station/internal/record"
)

// Filter narrows a page. Empty fields do not count.
type Filter struct {
	Kinds        []string
	SerialPrefix string
	UID          string // lower-case hex
	Cert         string // SHA-256 of the certificate
	CertSerial   string
	SPKI         string // SHA-256 of the unit's public key
	Run          string
	Order        string
	Operator     string
	Outcome      string
	Fault        string
	From, To     time.Time // half-open by the entries' own time
}

// Cursor is a place in a listing: the page continues with older entries than this one. The zero Cursor starts with the newest.
type Cursor struct {
	Epoch int
	Seq   int64
}

// MaxPage is the largest page.
const MaxPage = 1000

// Page returns up to limit entries, newest first, and where the next page starts; more is false on the last page.
// It costs the same on every page. With a date range the order is by time, else by entry number.
func (r *Reader) Page(ctx context.Context, f Filter, after Cursor, limit int) (page []record.Entry, next Cursor, more bool, err error) {
	if limit < 1 || limit > MaxPage {
		return nil, after, false, fmt.Errorf("ledger: page of %d entries, allowed are 1 to %d", limit, MaxPage)
	}
	common, err := r.common(ctx, f.SerialPrefix)
	if err != nil {
		return nil, after, false, err
	}
	query, args := f.query(after, common)
	page, err = collect(r.entries(ctx, query, append(args, limit+1)...))
	if err != nil {
		return nil, after, false, err
	}
	if more = len(page) > limit; more {
		page = page[:limit]
	}
	if len(page) > 0 {
		last := page[len(page)-1]
		after = Cursor{last.Epoch, last.Seq}
	}
	return page, after, more, nil
}

// commonPrefix is how many entries a serial prefix may find before it is better to go through the newest entries and look at each
// than to sort all that it finds.
const commonPrefix = 20000

// common reports whether a prefix finds so much that its index is of no use.
func (r *Reader) common(ctx context.Context, prefix string) (bool, error) {
	if prefix == "" {
		return false, nil
	}
	var w conditions
	w.prefix("serial", prefix)
	where, args := w.text()
	var n int
	err := r.db.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM entry WHERE `+where+` LIMIT ?)`, append(args, commonPrefix)...).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("ledger: %w", err)
	}
	return n == commonPrefix, nil
}

// query makes the SQL of a page. SQLite keeps no statistics here, so the columns that find too much to sort are named with a plus sign,
// which keeps their indexes out of it wherever a better one is at hand.
func (f Filter) query(after Cursor, common bool) (string, []any) {
	var w conditions
	dated := !f.From.IsZero() || !f.To.IsZero()
	bulky := "" // many entries share these values
	if dated {
		bulky = "+"
	}
	serial := "serial"
	if common {
		serial = "+serial"
	}
	w.prefix(serial, f.SerialPrefix)
	w.equal("uid", f.UID)
	w.equal("cert_sha256", f.Cert)
	w.equal("cert_serial", f.CertSerial)
	w.equal("spki_sha256", f.SPKI)
	w.equal("run", f.Run)
	w.equal("work_order", f.Order)
	w.equal("fault", f.Fault)
	w.equal(bulky+"operator", f.Operator)
	w.equal(bulky+"outcome", f.Outcome)
	if f.onlyKinds() {
		w.kinds("kind", f.Kinds)
	} else {
		w.kinds("+kind", f.Kinds)
	}
	order := "id DESC"
	before := int64(math.MaxInt64)
	if after != (Cursor{}) {
		before = ID(after.Epoch, after.Seq)
	}
	if dated {
		order = "time DESC, id DESC"
		f.between(&w, after, before)
	} else {
		w.add("id < ?", before)
	}
	where, args := w.text()
	// The inner query is answered from an index alone; only the rows of the page are read.
	return `SELECT ` + entryColumns + ` FROM entry WHERE id IN (SELECT id FROM entry WHERE ` + where + ` ORDER BY ` + order + ` LIMIT ?) ORDER BY ` + order, args
}

// onlyKinds reports whether nothing but one kind is asked for. (Several kinds would each be sorted in.)
func (f Filter) onlyKinds() bool {
	one := len(f.Kinds) == 1
	f.Kinds = nil
	return one && reflect.ValueOf(f).IsZero()
}

func (f Filter) between(w *conditions, after Cursor, before int64) {
	if !f.From.IsZero() {
		w.add("time >= ?", record.Timestamp(f.From))
	}
	if !f.To.IsZero() {
		w.add("time < ?", record.Timestamp(f.To))
	}
	if after != (Cursor{}) {
		w.add("(time, id) < ((SELECT time FROM entry WHERE id = ?), ?)", before, before)
	}
}

// prefixEnd is the smallest text greater than every text with the prefix, in the byte order SQLite compares by.
// It is empty if there is none.
func prefixEnd(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return ""
}
