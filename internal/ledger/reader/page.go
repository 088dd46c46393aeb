// SPDX-License-Identifier: Apache-2.0

package reader

import (
	"context"
	"fmt"
	"math"
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
	query, args := f.query(after)
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

func (f Filter) query(after Cursor) (string, []any) {
	var w conditions
	if f.SerialPrefix != "" {
		w.add("serial >= ?", f.SerialPrefix)
		if end := prefixEnd(f.SerialPrefix); end != "" {
			w.add("serial < ?", end)
		}
	}
	w.equal("uid", f.UID)
	w.equal("cert_sha256", f.Cert)
	w.equal("cert_serial", f.CertSerial)
	w.equal("work_order", f.Order)
	w.equal("operator", f.Operator)
	w.equal("outcome", f.Outcome)
	w.equal("fault", f.Fault)
	w.kinds(f.Kinds)
	order := "id DESC"
	before := int64(math.MaxInt64)
	if after != (Cursor{}) {
		before = ID(after.Epoch, after.Seq)
	}
	if f.From.IsZero() && f.To.IsZero() {
		w.add("id < ?", before)
	} else {
		order = "time DESC, id DESC"
		f.between(&w, after, before)
	}
	where, args := w.text()
	// The inner query is answered from an index alone; only the rows of the page are read.
	return `SELECT ` + entryColumns + ` FROM entry WHERE id IN (SELECT id FROM entry WHERE ` + where + ` ORDER BY ` + order + ` LIMIT ?) ORDER BY ` + order, args
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
