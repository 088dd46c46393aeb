// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/record"
)

// revokes is the entry that revokes a unit's certificate.
func (m made) revokes(at time.Time) record.Body {
	b := m.body
	return record.Body{
		Kind: record.KindRevoked, Time: record.Timestamp(at), Serial: b.Serial, Model: b.Model, UID: b.UID, SPKI: b.SPKI, Cert: digest(m.cert.Raw),
		CertSerial: hex.EncodeToString(m.cert.SerialNumber.Bytes()), IssuerKey: hex.EncodeToString(m.cert.AuthorityKeyId),
		Reason: "keyCompromise", Approver: "qa-2",
	}
}

func (m made) scraps(at time.Time) record.Body {
	b := m.body
	return record.Body{
		Kind: record.KindScrap, Time: record.Timestamp(at), Serial: b.Serial, Model: b.Model, UID: b.UID, Reason: "cessationOfOperation", Approver: "qa-2",
		Releases: []record.Claim{{Kind: record.ClaimSerial, Value: b.Serial}, {Kind: record.ClaimUID, Value: b.Unit()}},
	}
}

// on is a line of a list.
func (m made) on(at time.Time) x509.RevocationListEntry {
	return x509.RevocationListEntry{SerialNumber: m.cert.SerialNumber, RevocationTime: at.Truncate(time.Second), ReasonCode: 1}
}

// list puts a revocation list on record; change may spoil its entry.
func (w *world) list(number int64, at time.Time, change func(*record.Body), by *ecdsa.PrivateKey, lines ...x509.RevocationListEntry) {
	w.t.Helper()
	issuer := *w.issuer
	if by == nil {
		by = w.issuerKey
	}
	issuer.PublicKey = by.Public()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(number), ThisUpdate: at, NextUpdate: at.AddDate(0, 0, 30), RevokedCertificateEntries: lines,
	}, &issuer, by)
	if err != nil {
		w.t.Fatal(err)
	}
	w.record(true, change, []record.Body{{
		Kind: record.KindCRL, Time: record.Timestamp(at), Number: number, CRL: digest(der), Count: int64(len(lines)),
		IssuerKey: hex.EncodeToString(w.issuer.SubjectKeyId), NextUpdate: record.Timestamp(at.AddDate(0, 0, 30)),
	}}, der)
}

// renewed makes another certificate for a unit's key and the entries of its renewal.
func (w *world) renewed(m made, change func(*x509.Certificate)) (next made, issuing, renewed record.Body) {
	w.t.Helper()
	w.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(w.serial), Subject: m.cert.Subject, NotBefore: began.AddDate(0, 6, 0), NotAfter: began.AddDate(2, 0, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	next = made{body: m.body, key: m.key, csr: m.csr}
	next.cert = certify(w.t, template, w.issuer, &m.key.PublicKey, w.issuerKey)
	issuing, renewed = next.certified(record.KindIssuing), next.certified(record.KindRenewed)
	for _, b := range []*record.Body{&issuing, &renewed} {
		b.Run, b.Attempt, b.Predecessor, b.Time = "", 0, digest(m.cert.Raw), record.Timestamp(began.AddDate(0, 6, 0))
	}
	return next, issuing, renewed
}

func (w *world) renew(m made, change func(*x509.Certificate)) made {
	w.t.Helper()
	next, issuing, renewed := w.renewed(m, change)
	w.record(false, nil, []record.Body{issuing}, next.cert.RawTBSCertificate)
	w.record(true, nil, []record.Body{renewed}, next.cert.Raw)
	return next
}

// sound is a ledger of a year: three units, one renewed, one revoked, one
// scrapped with both certificates, lists in between.
func sound(t *testing.T) (w *world, units []made) {
	t.Helper()
	w = newWorld(t)
	for n := range 4 {
		units = append(units, w.make(n+1, newKey(t)))
		w.provision(units[n], nil)
	}
	w.list(1, began.Add(time.Hour), nil, nil)
	at := began.Add(2 * time.Hour)
	w.record(true, nil, []record.Body{units[1].revokes(at)})
	w.list(2, at.Add(time.Minute), nil, nil, units[1].on(at))
	w.renew(units[0], nil)
	half := began.AddDate(0, 7, 0)
	next := w.renew(units[2], nil)
	w.record(true, nil, []record.Body{units[2].revokes(half), next.revokes(half), units[2].scraps(half)})
	w.list(3, half.Add(time.Hour), nil, nil, units[1].on(at), units[2].on(half), next.on(half))
	late := began.AddDate(1, 1, 0) // the first certificates have ended
	w.list(7, late, nil, nil, units[1].on(at), units[2].on(half), next.on(half))
	w.list(8, late.Add(time.Hour), nil, nil, next.on(half))
	return w, units
}

func TestRevocationsHold(t *testing.T) {
	w, units := sound(t)
	r := w.verify(w.anchors())
	if !r.OK() || r.Revocations != 3 || r.Lists != 5 || r.Unlisted != 0 || r.Certificates != 6 {
		t.Fatalf("%s\n%+v", r.Verdict(), r.Findings)
	}
	w.record(true, nil, []record.Body{units[3].revokes(began.AddDate(0, 8, 0))})
	if r = w.verify(w.anchors()); !r.OK() || r.Unlisted != 1 || !strings.Contains(r.Verdict(), "1 revoked certificates are on no list yet") {
		t.Errorf("%s", r.Verdict())
	}
}

// TestRevocationLies: each tells one lie in a ledger that was sound.
func TestRevocationLies(t *testing.T) {
	at := began.AddDate(0, 8, 0)
	other := strings.Repeat("ab", 32)
	revoke := func(w *world, m made, change func(*record.Body)) {
		w.record(false, change, []record.Body{m.revokes(at)})
	}
	listKept := func(w *world, units []made, number int64, change func(*record.Body), by *ecdsa.PrivateKey, lines ...x509.RevocationListEntry) {
		w.list(number, began.AddDate(1, 2, 0), change, by, lines...)
	}
	kept := func(w *world) x509.RevocationListEntry { // what every further list must name still
		return x509.RevocationListEntry{SerialNumber: big.NewInt(w.serial), RevocationTime: began.AddDate(0, 7, 0), ReasonCode: 1}
	}
	for name, lie := range map[string]struct {
		tell func(w *world, units []made)
		area string
		what string
	}{
		"left out":       {func(w *world, u []made) { revoke(w, u[3], nil); listKept(w, u, 9, nil, nil, kept(w)) }, "revocation", "does not name certificate"},
		"forgotten":      {func(w *world, u []made) { listKept(w, u, 9, nil, nil) }, "revocation", "does not name certificate"},
		"made up":        {func(w *world, u []made) { listKept(w, u, 9, nil, nil, kept(w), u[3].on(at)) }, "revocation", "was not revoked before"},
		"another date":   {func(w *world, u []made) { e := kept(w); e.RevocationTime = at; listKept(w, u, 9, nil, nil, e) }, "revocation", "as revoked at"},
		"another reason": {func(w *world, u []made) { e := kept(w); e.ReasonCode = 4; listKept(w, u, 9, nil, nil, e) }, "revocation", "for reason 4"},
		"number again":   {func(w *world, u []made) { listKept(w, u, 8, nil, nil, kept(w)) }, "revocation", "after list 8"},
		"number of the entry": {func(w *world, u []made) {
			listKept(w, u, 9, func(b *record.Body) { b.Number = 10 }, nil, kept(w))
		}, "revocation", "stores list 9, not 10"},
		"count": {func(w *world, u []made) {
			listKept(w, u, 9, func(b *record.Body) { b.Count = 2 }, nil, kept(w))
		}, "revocation", "a list of 1 certificates"},
		"time": {func(w *world, u []made) {
			listKept(w, u, 9, func(b *record.Body) { b.Time = record.Timestamp(at) }, nil, kept(w))
		}, "revocation", "not what the entry says"},
		"issuer": {func(w *world, u []made) {
			listKept(w, u, 9, func(b *record.Body) { b.IssuerKey = "0102" }, nil, kept(w))
		}, "revocation", "a list of issuer"},
		"signature":      {func(w *world, u []made) { listKept(w, u, 9, nil, newKey(w.t), kept(w)) }, "revocation", "did not sign"},
		"missing list":   {func(w *world, u []made) { listKept(w, u, 9, func(b *record.Body) { b.CRL = other }, nil, kept(w)) }, "blob", "crl_sha256"},
		"older list":     {func(w *world, u []made) { w.list(9, began.AddDate(1, 0, 0), nil, nil, kept(w)) }, "revocation", "after one of"},
		"unknown":        {func(w *world, u []made) { revoke(w, u[3], func(b *record.Body) { b.Cert = other }) }, "revocation", "does not hold"},
		"serial number":  {func(w *world, u []made) { revoke(w, u[3], func(b *record.Body) { b.CertSerial = "0102" }) }, "revocation", "under the serial number"},
		"revoked issuer": {func(w *world, u []made) { revoke(w, u[3], func(b *record.Body) { b.IssuerKey = "0102" }) }, "revocation", "of issuer"},
		"no reason":      {func(w *world, u []made) { revoke(w, u[3], func(b *record.Body) { b.Reason = "dropped" }) }, "revocation", "names no reason"},
		"twice":          {func(w *world, u []made) { revoke(w, u[1], nil) }, "revocation", "a second time"},
		"scrapped with a certificate": {func(w *world, u []made) {
			w.record(false, nil, []record.Body{u[3].scraps(at)})
		}, "revocation", "was not revoked"},
		"scrapped with a replaced one": {func(w *world, u []made) {
			next := w.renew(u[3], nil)
			w.record(false, nil, []record.Body{next.revokes(at), u[3].scraps(at)})
		}, "revocation", "was not revoked"},
		"scrapped twice":    {func(w *world, u []made) { w.record(false, nil, []record.Body{u[2].scraps(at)}) }, "life", "a second time"},
		"renewed, scrapped": {func(w *world, u []made) { w.renew(u[2], nil) }, "life", "which was scrapped"},
		"renewed, revoked":  {func(w *world, u []made) { w.renew(u[1], nil) }, "life", "not live"},
		"renewed, replaced": {func(w *world, u []made) { w.renew(u[0], nil) }, "life", "second certificate"},
		"renewed for another": {func(w *world, u []made) {
			w.renew(u[3], func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "SN-9999"} })
		}, "certificate", "SN-9999"},
		"signed first": {func(w *world, u []made) {
			next, _, renewed := w.renewed(u[3], nil)
			w.record(false, nil, []record.Body{renewed}, next.cert.Raw, next.cert.RawTBSCertificate)
		}, "life", "without an issuing entry"},
	} {
		t.Run(name, func(t *testing.T) {
			w, units := sound(t)
			lie.tell(w, units)
			expect(t, w.verify(w.anchors()), lie.area, lie.what)
		})
	}
}

// TestListTampered: a list changed in the file is seen, by its digest; taken out, too.
func TestListTampered(t *testing.T) {
	for name, sql := range map[string]string{
		"changed": `UPDATE blob SET bytes = CAST(bytes || x'00' AS BLOB) WHERE hex(sha256) IN (SELECT upper(body ->> '$.crl_sha256') FROM entry WHERE kind = 'crl')`,
		"gone":    `DELETE FROM blob WHERE hex(sha256) IN (SELECT upper(body ->> '$.crl_sha256') FROM entry WHERE kind = 'crl')`,
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := sound(t)
			w.forge(sql)
			expect(t, w.verify(w.anchors()), "blob", "crl_sha256")
		})
	}
}

// TestIssuerCertifiedAnew: the root certifies the same key again for longer;
// what was issued under either certificate holds.
func TestIssuerCertifiedAnew(t *testing.T) {
	w := newWorld(t)
	w.provision(w.make(1, newKey(t)), nil)
	template := ca("station")
	template.SerialNumber, template.NotAfter = big.NewInt(77), began.AddDate(30, 0, 0)
	w.issuer = certify(t, template, w.root, &w.issuerKey.PublicKey, w.rootKey)
	w.record(false, nil, []record.Body{{Kind: record.KindCA, Action: "installed", Cert: digest(w.issuer.Raw)}}, w.issuer.Raw)
	m := w.make(2, newKey(t))
	w.provision(m, nil)
	if r := w.verify(w.anchors()); !r.OK() || !r.ChainsProven {
		t.Errorf("%s %v", r.Verdict(), fmt.Sprint(r.Findings))
	}
}
