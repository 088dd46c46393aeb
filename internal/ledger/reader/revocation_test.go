// SPDX-License-Identifier: Apache-2.0

package reader_test

import (
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"provisioning.example/station/internal/record"
)

// certified is an entry by which unit n gets its certificate number c, which ends so many days after day.
func certified(kind string, n, c, days int) record.Body {
	b := record.Example(kind)
	u := unit{n, 1, day, ""}.body(kind)
	b.Time, b.Station, b.Operator, b.Software, b.Run, b.Serial, b.Model, b.UID = u.Time, "", u.Operator, u.Software, u.Run, u.Serial, u.Model, u.UID
	b.SPKI, b.Cert, b.CertSerial = digest("key", n), digest("cert", n, c), digest("cert serial", n, c)[:32]
	b.NotBefore, b.NotAfter = record.Timestamp(day), record.Timestamp(day.AddDate(0, 0, days))
	b.IssuerKey, b.Claims = "0a0b", nil
	return b
}

func revoked(n, c int) record.Body {
	return record.Body{
		Kind: record.KindRevoked, Operator: "qa-1", Software: "test", Cert: digest("cert", n, c), CertSerial: digest("cert serial", n, c)[:32],
		Reason: "keyCompromise", Time: record.Timestamp(day.Add(time.Hour)),
	}
}

func gone(kind string, n int) record.Body {
	b := unit{n, 1, day, ""}.body(kind)
	b.Run, b.Reason, b.Approver = "", "cessationOfOperation", "qa-2"
	return b
}

func drain(t *testing.T, seq iter.Seq2[record.Entry, error]) (certs []string) {
	t.Helper()
	for e, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, e.Body.Cert)
	}
	return certs
}

// TestCertificatesThatCount follows six units: one plain, one renewed, one revoked, one scrapped, one reworked and certified again,
// one renewed whose new certificate was revoked.
func TestCertificatesThatCount(t *testing.T) {
	l := newLedger(t)
	r := l.Reader()
	var all []record.Body
	for n := 1; n <= 6; n++ {
		all = append(all, certified(record.KindIssued, n, 1, 10*n))
	}
	all = append(all, certified(record.KindRenewed, 2, 2, 100), revoked(3, 1), revoked(4, 1), gone(record.KindScrap, 4),
		revoked(5, 1), gone(record.KindRework, 5), certified(record.KindIssued, 5, 2, 5), certified(record.KindRenewed, 6, 2, 200), revoked(6, 2))
	add(t, l, all...)
	live := map[int]string{1: digest("cert", 1, 1), 2: digest("cert", 2, 2), 5: digest("cert", 5, 2)}
	for n := 1; n <= 6; n++ {
		e, found, err := r.Live(t.Context(), "gw-2", digest("uid", n)[:24])
		if err != nil || found != (live[n] != "") || e.Body.Cert != live[n] && found {
			t.Errorf("unit %d: live is %.8s, %v, %v; want %.8s", n, e.Body.Cert, found, err, live[n])
		}
	}
	if _, found, err := r.Live(t.Context(), "gw-3", digest("uid", 1)[:24]); found || err != nil {
		t.Errorf("another model's board has a certificate: %v", err)
	}
	for _, try := range []struct {
		days int
		want []string
	}{{0, nil}, {6, []string{live[5]}}, {11, []string{live[5], live[1]}}, {1000, []string{live[5], live[1], live[2]}}} {
		if got := drain(t, r.Expiring(t.Context(), day.AddDate(0, 0, try.days))); !slices.Equal(got, try.want) {
			t.Errorf("ending within %d days: %.8s, want %.8s", try.days, got, try.want)
		}
	}
	old, err := r.Unrevoked(t.Context(), "gw-2", digest("uid", 2)[:24], day.AddDate(0, 0, 20))
	if err != nil || len(old) != 2 {
		t.Errorf("a renewed unit has %d certificates, %v", len(old), err)
	}
	if old, err = r.Unrevoked(t.Context(), "gw-2", digest("uid", 2)[:24], day.AddDate(0, 0, 21)); err != nil || len(old) != 1 || old[0].Body.Cert != live[2] {
		t.Errorf("after the first ended it has %d, %v", len(old), err)
	}
	if old, err = r.Unrevoked(t.Context(), "gw-2", digest("uid", 6)[:24], day); err != nil || len(old) != 1 || old[0].Body.Cert != digest("cert", 6, 1) {
		t.Errorf("a unit whose renewed certificate was revoked has %d, %v", len(old), err)
	}
	if end, err := r.LastEnd(t.Context(), "0a0b"); err != nil || !end.Equal(day.AddDate(0, 0, 200)) {
		t.Errorf("the last certificate ends at %s, %v", end, err)
	}
	if end, err := r.LastEnd(t.Context(), "0c"); err != nil || !end.IsZero() {
		t.Errorf("nobody's last certificate ends at %s, %v", end, err)
	}
}

func TestRevocations(t *testing.T) {
	l := newLedger(t)
	r := l.Reader()
	other, stranger, again := certified(record.KindIssued, 3, 1, 30), revoked(9, 9), revoked(1, 1)
	other.IssuerKey = "ff"
	again.Reason = "superseded"
	stranger.IssuerKey = "0a0b"
	add(t, l, certified(record.KindIssued, 1, 1, 10), certified(record.KindIssued, 2, 1, 20), other, revoked(2, 1), revoked(1, 1), revoked(3, 1), again, stranger)
	var got string
	for v, err := range r.Revocations(t.Context(), "0a0b") {
		if err != nil {
			t.Fatal(err)
		}
		got += fmt.Sprintf("%.4s %s %d;", v.Body.CertSerial, v.Body.Reason, int(v.NotAfter.Sub(day).Hours()/24))
	}
	want := fmt.Sprintf("%.4s keyCompromise 20;%.4s keyCompromise 10;%.4s keyCompromise %d;",
		digest("cert serial", 2, 1), digest("cert serial", 1, 1), digest("cert serial", 9, 9), int(time.Time{}.Sub(day).Hours()/24))
	if got != want {
		t.Errorf("revoked: %s\nwant     %s", got, want)
	}
	if _, found, err := r.LastCRL(t.Context(), "0a0b"); found || err != nil {
		t.Errorf("a list that was not made: %v", err)
	}
	for n := range int64(3) {
		crl := record.Example(record.KindCRL)
		crl.Station, crl.IssuerKey, crl.Number = "", []string{"0a0b", "0a0b", "ff"}[n], n+1
		add(t, l, crl)
	}
	if e, found, err := r.LastCRL(t.Context(), "0a0b"); !found || err != nil || e.Body.Number != 2 {
		t.Errorf("the newest list is %d, %v, %v", e.Body.Number, found, err)
	}
}
