// SPDX-License-Identifier: Apache-2.0

package reader_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

var day = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func newLedger(t testing.TB) *ledger.Ledger {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Origin: "ulm/st-07/1", Signer: key}
	if err := ledger.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func add(t testing.TB, l *ledger.Ledger, bodies ...record.Body) {
	t.Helper()
	for some := range slices.Chunk(bodies, 64) {
		if _, err := l.Append(t.Context(), ledger.Batch{Bodies: some}); err != nil {
			t.Fatal(err)
		}
	}
}

func digest(parts ...any) string {
	sum := sha256.Sum256([]byte(fmt.Sprint(parts...)))
	return hex.EncodeToString(sum[:])
}

// unit is one attempt on one board.
type unit struct {
	n, attempt int
	at         time.Time
	order      string
}

func (u unit) body(kind string) record.Body {
	return record.Body{
		Kind: kind, Time: record.Timestamp(u.at), Operator: "op-" + fmt.Sprint(u.n%3), Software: "test", Run: digest("run", u.n, u.attempt)[:32],
		Serial: fmt.Sprintf("SN-%04d", u.n), Model: "gw-2", UID: digest("uid", u.n)[:24], Order: u.order, Attempt: u.attempt,
	}
}

func (u unit) end(outcome, fault string) record.Body {
	b := u.body(record.KindEnd)
	b.Outcome, b.Fault = outcome, fault
	if outcome == record.Passed {
		b.SPKI, b.Cert, b.CertSerial = digest("key", u.n), digest("cert", u.n), digest("serial", u.n)[:32]
		b.ChainReadBack, b.Rehearsal, b.Receipt = digest("chain", u.n), digest("handshake", u.n), record.Example(record.KindEnd).Receipt
	}
	return b
}

// shift is a day of 40 units at one a minute from six o'clock: every fifth fails first and passes a minute later.
func shift(t testing.TB, l *ledger.Ledger) {
	t.Helper()
	var all []record.Body
	for n := range 40 {
		u := unit{n, 1, day.Add(6*time.Hour + time.Duration(n)*time.Minute), fmt.Sprintf("WO-%d", n%2)}
		all = append(all, u.body(record.KindBegun))
		if n%5 == 0 {
			all = append(all, u.end(record.Failed, "F-PROVE-02"))
			u.attempt, u.at = 2, u.at.Add(time.Second)
			all = append(all, u.body(record.KindBegun))
		}
		all = append(all, u.end(record.Passed, ""))
	}
	spoiled := unit{40, 1, day.Add(7 * time.Hour), "WO-0"}
	stopped := unit{41, 1, day.Add(7 * time.Hour), "WO-0"}
	last := stopped.end(record.Aborted, "")
	last.Reason = "shift ended"
	add(t, l, append(all, spoiled.body(record.KindBegun), spoiled.end(record.Error, "F-TPM-01"), stopped.body(record.KindBegun), last)...)
}

// pages walks through all pages of a filter.
func pages(t *testing.T, r *reader.Reader, f reader.Filter, limit int) []record.Entry {
	t.Helper()
	var all []record.Entry
	at := reader.Cursor{}
	for {
		page, next, more, err := r.Page(t.Context(), f, at, limit)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if !more {
			return all
		}
		if len(page) != limit {
			t.Fatalf("a page that is not the last has %d entries", len(page))
		}
		at = next
	}
}

func TestPages(t *testing.T) {
	l := newLedger(t)
	shift(t, l)
	var everything []record.Entry
	if err := l.Reader().Scan(t.Context(), 1, 1, func(e record.Entry) error {
		everything = append(everything, e)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(everything)
	from, to := day.Add(6*time.Hour+10*time.Minute), day.Add(6*time.Hour+20*time.Minute)
	for name, try := range map[string]struct {
		filter reader.Filter
		match  func(record.Body) bool
	}{
		"all":          {reader.Filter{}, func(record.Body) bool { return true }},
		"kinds":        {reader.Filter{Kinds: []string{"end", "stop"}}, func(b record.Body) bool { return b.Kind == "end" }},
		"prefix":       {reader.Filter{SerialPrefix: "SN-001"}, func(b record.Body) bool { return strings.HasPrefix(b.Serial, "SN-001") }},
		"whole serial": {reader.Filter{SerialPrefix: "SN-0011"}, func(b record.Body) bool { return b.Serial == "SN-0011" }},
		"uid":          {reader.Filter{UID: digest("uid", 7)[:24]}, func(b record.Body) bool { return b.Serial == "SN-0007" }},
		"certificate":  {reader.Filter{Cert: digest("cert", 7)}, func(b record.Body) bool { return b.Cert == digest("cert", 7) }},
		"cert serial":  {reader.Filter{CertSerial: digest("serial", 7)[:32]}, func(b record.Body) bool { return b.Cert == digest("cert", 7) }},
		"order":        {reader.Filter{Order: "WO-1"}, func(b record.Body) bool { return b.Order == "WO-1" }},
		"operator":     {reader.Filter{Operator: "op-2"}, func(b record.Body) bool { return b.Operator == "op-2" }},
		"outcome":      {reader.Filter{Outcome: "failed"}, func(b record.Body) bool { return b.Outcome == "failed" }},
		"fault":        {reader.Filter{Fault: "F-TPM-01"}, func(b record.Body) bool { return b.Fault == "F-TPM-01" }},
		"dates": {reader.Filter{From: from, To: to}, func(b record.Body) bool {
			return b.Time >= record.Timestamp(from) && b.Time < record.Timestamp(to)
		}},
		"since":              {reader.Filter{From: to}, func(b record.Body) bool { return b.Time >= record.Timestamp(to) }},
		"until, failed only": {reader.Filter{To: to, Outcome: "failed"}, func(b record.Body) bool { return b.Outcome == "failed" && b.Time < record.Timestamp(to) }},
		"nothing":            {reader.Filter{SerialPrefix: "x"}, func(record.Body) bool { return false }},
	} {
		for _, limit := range []int{1, 7, reader.MaxPage} {
			var want, got []int64
			for _, e := range everything {
				if try.match(e.Body) {
					want = append(want, e.Seq)
				}
			}
			for _, e := range pages(t, l.Reader(), try.filter, limit) {
				got = append(got, e.Seq)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s in pages of %d: %v, want %v", name, limit, got, want)
			}
		}
	}
	for _, limit := range []int{0, -1, reader.MaxPage + 1} {
		if _, _, _, err := l.Reader().Page(t.Context(), reader.Filter{}, reader.Cursor{}, limit); err == nil {
			t.Errorf("a page of %d was given", limit)
		}
	}
}

// TestPagesByDateSurviveAClockThatWasSetBack keeps entries whose time and number disagree.
func TestPagesByDateSurviveAClockThatWasSetBack(t *testing.T) {
	l := newLedger(t)
	var all []record.Body
	for _, minute := range []int{0, 5, 5, 5, 2, 9, 2, 0, 7} {
		b := unit{1, 1, day.Add(time.Duration(minute) * time.Minute), ""}.body(record.KindBegun)
		all = append(all, b)
	}
	add(t, l, all...)
	var got []int64
	for _, e := range pages(t, l.Reader(), reader.Filter{From: day, To: day.Add(8 * time.Minute)}, 2) {
		got = append(got, e.Seq)
	}
	if want := []int64{9, 4, 3, 2, 7, 5, 8, 1}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v: newest time first, then newest number", got, want)
	}
}

func TestSerialPrefixAtTheEndOfTheAlphabet(t *testing.T) {
	l := newLedger(t)
	var all []record.Body
	for i, serial := range []string{"a", "az", "~", "~~", "é", "éa", "日本"} {
		b := unit{i, 1, day, ""}.body(record.KindBegun)
		b.Serial = serial
		all = append(all, b)
	}
	add(t, l, all...)
	for prefix, want := range map[string]int{"a": 2, "~": 2, "é": 2, "日": 1, "日本": 1, "b": 0} {
		if got := len(pages(t, l.Reader(), reader.Filter{SerialPrefix: prefix}, 10)); got != want {
			t.Errorf("%q finds %d, want %d", prefix, got, want)
		}
	}
}

func TestCounts(t *testing.T) {
	l := newLedger(t)
	shift(t, l)
	r := l.Reader()
	for name, try := range map[string]struct {
		since time.Time
		order string
		want  reader.Counts
	}{
		"the day":      {day, "", reader.Counts{Passed: 40, Failed: 8, Error: 1, Aborted: 1, FirstTried: 40, FirstPassed: 32}},
		"one order":    {time.Time{}, "WO-0", reader.Counts{Passed: 20, Failed: 4, Error: 1, Aborted: 1, FirstTried: 20, FirstPassed: 16}},
		"both":         {day.Add(6*time.Hour + 30*time.Minute), "WO-1", reader.Counts{Passed: 5, Failed: 1, FirstTried: 5, FirstPassed: 4}},
		"the next day": {day.AddDate(0, 0, 1), "", reader.Counts{}},
	} {
		got, err := r.Counts(t.Context(), try.since, try.order)
		if err != nil || got != try.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, try.want)
		}
	}
	c, err := r.Counts(t.Context(), day, "")
	if err != nil {
		t.Fatal(err)
	}
	if y, ok := c.FirstPassYield(); !ok || y != 0.8 {
		t.Errorf("first-pass yield %v, %v", y, ok)
	}
	if _, ok := (reader.Counts{Error: 3}).FirstPassYield(); ok {
		t.Error("a yield of nothing")
	}
	if _, err := r.Counts(t.Context(), time.Time{}, ""); err == nil {
		t.Error("counted without bounds")
	}
}

func TestRhythm(t *testing.T) {
	l := newLedger(t)
	shift(t, l)
	got, err := l.Reader().Rhythm(t.Context(), day.Add(5*time.Hour+50*time.Minute), 10*time.Minute, 7)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []reader.Bucket{{Passed: 0}, {Passed: 10, Failed: 2}, {Passed: 10, Failed: 2}, {Passed: 10, Failed: 2}, {Passed: 10, Failed: 2}, {}, {}} {
		want.Start = day.Add(5*time.Hour + 50*time.Minute + time.Duration(i)*10*time.Minute)
		if got[i] != want {
			t.Errorf("bucket %d is %+v, want %+v", i, got[i], want)
		}
	}
	// The last instant belongs to the next bucket: the one at seven o'clock is in no bucket above.
	if got, err = l.Reader().Rhythm(t.Context(), day.Add(7*time.Hour), time.Second, 1); err != nil || got[0].Failed != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []time.Duration{0, time.Millisecond, 1500 * time.Millisecond} {
		if _, err := l.Reader().Rhythm(t.Context(), day, bad, 3); err == nil {
			t.Errorf("buckets of %v", bad)
		}
	}
}

func TestEntriesOfAndTimeline(t *testing.T) {
	l := newLedger(t)
	shift(t, l)
	revoked := record.Body{Kind: record.KindRevoked, Operator: "qa-1", Software: "test", Cert: digest("cert", 5), CertSerial: digest("serial", 5)[:32], Reason: "lost"}
	moved := unit{5, 3, day.Add(8 * time.Hour), ""}.body(record.KindBegun) // the board got another label
	moved.Serial = "SN-7005"
	add(t, l, revoked, moved)
	r := l.Reader()
	for name, try := range map[string]struct {
		query reader.Query
		want  string
	}{
		"serial":      {reader.Query{Serial: "SN-0005"}, "begun end begun end"},
		"board":       {reader.Query{Model: "gw-2", UID: digest("uid", 5)[:24]}, "begun end begun end begun"},
		"run":         {reader.Query{Run: digest("run", 5, 1)[:32]}, "begun end"},
		"key":         {reader.Query{SPKI: digest("key", 5)}, "end"},
		"certificate": {reader.Query{Cert: digest("cert", 5)}, "end revoked"},
		"cert serial": {reader.Query{CertSerial: digest("serial", 5)[:32], Kinds: []string{"revoked"}}, "revoked"},
		"two values":  {reader.Query{Serial: "SN-0005", Model: "gw-3"}, ""},
	} {
		entries, err := r.EntriesOf(t.Context(), try.query)
		if got := kinds(entries); err != nil || got != try.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, try.want)
		}
	}
	if _, err := r.EntriesOf(t.Context(), reader.Query{}); err == nil {
		t.Error("an empty query was answered")
	}
	for name, q := range map[string]reader.Query{"serial": {Serial: "SN-0005"}, "new serial": {Serial: "SN-7005"}, "certificate": {Cert: digest("cert", 5)}} {
		entries, err := r.Timeline(t.Context(), q)
		if got := kinds(entries); err != nil || got != "begun end begun end revoked begun" {
			t.Errorf("timeline by %s: %q, %v", name, got, err)
		}
	}
	if n, err := r.Attempts(t.Context(), "gw-2", digest("uid", 5)[:24]); err != nil || n != 3 {
		t.Errorf("%d attempts, %v", n, err)
	}
	if n, err := r.Attempts(t.Context(), "gw-2", "00"); err != nil || n != 0 {
		t.Errorf("%d attempts of nobody, %v", n, err)
	}
}

func kinds(entries []record.Entry) string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Body.Kind)
	}
	return strings.Join(all, " ")
}

func TestOpenRunsAndHolders(t *testing.T) {
	l := newLedger(t)
	shift(t, l)
	a, b := unit{50, 1, day, ""}, unit{51, 1, day, ""}
	claiming := a.body(record.KindBegun)
	claim := record.Claim{Kind: record.ClaimSerial, Value: claiming.Serial}
	claiming.Claims = []record.Claim{claim}
	key := a.body(record.KindKey)
	key.Alg, key.SPKI = "ES256", digest("key", 50)
	add(t, l, b.body(record.KindBegun), claiming, key)
	open, err := l.Reader().OpenRuns(t.Context())
	if err != nil || len(open) != 2 {
		t.Fatalf("%+v, %v", open, err)
	}
	if open[0].Run != b.body("").Run || kinds(open[0].Entries) != "begun" || open[1].Run != a.body("").Run || kinds(open[1].Entries) != "begun key" {
		t.Errorf("%+v", open)
	}
	if e, err := l.Reader().Held(t.Context(), claim); err != nil || e.Body.Serial != claim.Value || e.Body.Kind != record.KindBegun {
		t.Errorf("held by %+v, %v", e, err)
	}
	claim.Value = "SN-9999"
	if _, err := l.Reader().Held(t.Context(), claim); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("held by nobody: %v", err)
	}
	add(t, l, a.end(record.Failed, "F-KEY-01"), b.end(record.Failed, "F-KEY-01"))
	if open, err = l.Reader().OpenRuns(t.Context()); err != nil || len(open) != 0 {
		t.Errorf("after both ended: %+v, %v", open, err)
	}
}

func TestSnapshotStandsStill(t *testing.T) {
	l := newLedger(t)
	add(t, l, unit{1, 1, day, ""}.body(record.KindBegun))
	s, err := l.Reader().Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	add(t, l, unit{2, 1, day, ""}.body(record.KindBegun))
	if _, seq, err := s.Last(t.Context()); err != nil || seq != 1 {
		t.Errorf("the snapshot ends at %d, %v", seq, err)
	}
	if open, err := s.OpenRuns(t.Context()); err != nil || len(open) != 1 {
		t.Errorf("the snapshot has %d open runs, %v", len(open), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, seq, err := l.Reader().Last(t.Context()); err != nil || seq != 2 {
		t.Errorf("the ledger ends at %d, %v", seq, err)
	}
}

func TestReadsEndWithTheirContext(t *testing.T) {
	l := newLedger(t)
	shift(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	err := l.Reader().Scan(ctx, 1, 1, func(e record.Entry) error {
		if e.Seq == 3 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) && !strings.Contains(fmt.Sprint(err), "interrupted") {
		t.Errorf("scan ended with %v", err)
	}
	stop := errors.New("enough")
	if err := l.Reader().Scan(t.Context(), 1, 2, func(record.Entry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("scan ended with %v", err)
	}
}

func TestAReaderCannotWrite(t *testing.T) {
	l := newLedger(t)
	db, err := sql.Open("sqlite3", reader.DSN(l.Reader().Path(), reader.Params))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // test
	if _, err := db.Exec(`DELETE FROM claim`); err == nil || !strings.Contains(err.Error(), "readonly") {
		t.Errorf("a reader's connection wrote: %v", err)
	}
}

// TestPagesAreAnsweredFromAnIndex keeps a page from going through, or sorting, the whole ledger.
func TestPagesAreAnsweredFromAnIndex(t *testing.T) {
	l := newLedger(t)
	dates := reader.Filter{From: day, To: day.Add(time.Hour)}
	with := func(change func(*reader.Filter)) reader.Filter {
		f := dates
		change(&f)
		return f
	}
	for name, try := range map[string]struct {
		filter reader.Filter
		common bool
		want   string
		sorted bool
	}{
		"all":              {reader.Filter{}, false, "INTEGER PRIMARY KEY (rowid<?)", false},
		"kind":             {reader.Filter{Kinds: []string{"end"}}, false, "entry_kind (kind=? AND rowid<?)", false},
		"two kinds":        {reader.Filter{Kinds: []string{"end", "begun"}}, false, "INTEGER PRIMARY KEY (rowid<?)", false},
		"kind and outcome": {reader.Filter{Kinds: []string{"end"}, Outcome: "failed"}, false, "entry_outcome (outcome=? AND rowid<?)", false},
		"operator":         {reader.Filter{Operator: "op-1"}, false, "entry_operator (operator=? AND rowid<?)", false},
		"fault":            {reader.Filter{Fault: "F-TPM-01"}, false, "entry_fault (fault=? AND rowid<?)", false},
		"order and kind":   {reader.Filter{Order: "WO-1", Kinds: []string{"end"}}, false, "entry_order (work_order=? AND rowid<?)", false},
		"certificate":      {reader.Filter{Cert: "00"}, false, "entry_cert (cert_sha256=? AND rowid<?)", false},
		"serial number":    {reader.Filter{CertSerial: "00"}, false, "entry_cert_serial (cert_serial=? AND rowid<?)", false},
		"public key":       {reader.Filter{SPKI: "00"}, false, "entry_spki (spki_sha256=? AND rowid<?)", false},
		"run":              {reader.Filter{Run: "00"}, false, "entry_run (run=? AND rowid<?)", false},
		"board":            {reader.Filter{UID: "00"}, false, "entry_unit (uid=?)", true},
		"prefix":           {reader.Filter{SerialPrefix: "SN-0001"}, false, "entry_serial (serial>? AND serial<?)", true},
		"common prefix":    {reader.Filter{SerialPrefix: "SN"}, true, "INTEGER PRIMARY KEY (rowid<?)", false},
		"dates":            {dates, false, "entry_time (time>? AND time<?)", false},
		"dates and kind":   {with(func(f *reader.Filter) { f.Kinds = []string{"end"} }), false, "entry_time (time>? AND time<?)", false},
		"dates and more":   {with(func(f *reader.Filter) { f.Operator, f.Outcome = "op-1", "failed" }), false, "entry_time (time>? AND time<?)", false},
		"dates and fault":  {with(func(f *reader.Filter) { f.Fault = "F-TPM-01" }), false, "entry_fault (fault=?)", true},
	} {
		for _, after := range []reader.Cursor{{}, {Epoch: 1, Seq: 5}} {
			plan := reader.Plan(t, l.Reader(), try.filter, after, try.common)
			// The second step of the plan is the inner query; what comes behind it may sort the rows of the page.
			_, inner, _ := strings.Cut(plan, "SUBQUERY")
			sorts := strings.Count(inner, "TEMP B-TREE")
			if strings.HasPrefix(name, "dates") {
				sorts-- // the page by time
			}
			if !strings.Contains(inner, try.want) || (sorts > 0) != try.sorted || strings.Contains(plan, "SCAN") {
				t.Errorf("%s after %v: %s", name, after, plan)
			}
		}
	}
}

func TestACommonPrefixFindsTheSame(t *testing.T) {
	l := newLedger(t)
	shift(t, l)
	for _, f := range []reader.Filter{{SerialPrefix: "SN-00"}, {SerialPrefix: "SN-003", Outcome: "passed"}, {SerialPrefix: "SN", From: day.Add(6*time.Hour + 30*time.Minute)}} {
		rare, common := reader.Found(t, l.Reader(), f, false), reader.Found(t, l.Reader(), f, true)
		if len(rare) == 0 || !slices.Equal(rare, common) {
			t.Errorf("%+v: %v taken as rare, %v as common", f, rare, common)
		}
	}
}
