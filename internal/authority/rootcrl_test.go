// SPDX-License-Identifier: Apache-2.0

package authority_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/authority"
)

func crl(t *testing.T, r *authority.Root) *x509.RevocationList {
	t.Helper()
	l, err := r.CRL(0, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestRootRevokes takes a station back: openssl refuses what it issued, and so
// does the station.
func TestRootRevokes(t *testing.T) {
	r, dir := createRoot(t)
	s := softStation(t)
	a, err := r.Sign(s.request(t), authority.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	empty := crl(t, r)
	installed := s.install(t, append(a.PEM, authority.EncodeCRL(empty)...))
	if err := installed.Fit(time.Now()); err != nil || len(installed.CRLs) != 1 {
		t.Fatalf("before: %v, %d lists", err, len(installed.CRLs))
	}
	serial := a.Intermediate.SerialNumber.Text(16)
	for _, c := range []struct {
		want string
		v    authority.Revocation
	}{
		{"is not a reason", authority.Revocation{Serial: serial, Reason: "boredom"}},
		{"allowed: hex", authority.Revocation{Serial: "zz", Reason: "superseded"}},
		{"signed no certificate", authority.Revocation{Serial: "1234", Reason: "superseded"}},
		{"cannot revoke itself", authority.Revocation{Serial: r.Certificate().SerialNumber.Text(16), Reason: "superseded"}},
	} {
		if _, err := r.Revoke(c.v); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.v, err, c.want)
		}
	}
	v := authority.Revocation{Serial: strings.ToUpper(serial), Reason: "keyCompromise", Operator: "eve", Approver: "bob"}
	if _, err := r.Revoke(v); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Revoke(v); !errors.Is(err, authority.ErrRevoked) {
		t.Errorf("a second time: %v, want ErrRevoked", err)
	}
	list := crl(t, r)
	if list.Number.Int64() != 2 || list.NextUpdate.Sub(list.ThisUpdate) != 180*24*time.Hour || len(list.RevokedCertificateEntries) != 1 {
		t.Errorf("list %d, due %v, %d revoked", list.Number, list.NextUpdate, len(list.RevokedCertificateEntries))
	}
	log, err := authority.RootLog(dir)
	if last := log[len(log)-2]; err != nil || last.Kind != "revoked" || last.Operator != "eve" || last.Approver != "bob" || log[len(log)-1].CRL == nil {
		t.Errorf("record: %+v, %v", log, err)
	}
	seenByOpenSSL(t, a, r.Certificate(), list)

	if installed, err = authority.InstallLists(s.dir, authority.EncodeCRL(list)); err != nil {
		t.Fatal(err)
	}
	for _, i := range []*authority.Installed{installed, load(t, s)} {
		if err := i.Fit(time.Now()); !errors.Is(err, authority.ErrRevoked) || !strings.Contains(err.Error(), "keyCompromise") {
			t.Errorf("after: %v, want ErrRevoked and the reason", err)
		}
	}
	if st, err := authority.ReadStatus(s.dir, time.Hour, time.Now()); err != nil || !strings.Contains(st.Remarks[0], "revoked") {
		t.Errorf("status: %+v, %v", st, err)
	}
	if _, err := authority.InstallLists(s.dir, authority.EncodeCRL(empty)); err == nil || !strings.Contains(err.Error(), "is older") {
		t.Errorf("the list before: %v", err)
	}
}

func load(t *testing.T, s *station) *authority.Installed {
	t.Helper()
	i, err := authority.Load(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// seenByOpenSSL shows openssl the list: it reads it and refuses the intermediate.
func seenByOpenSSL(t *testing.T, a *authority.Signed, root *x509.Certificate, list *x509.RevocationList) {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "root.pem"), pemOf(root))
	writeFile(t, filepath.Join(dir, "i.pem"), pemOf(a.Intermediate))
	writeFile(t, filepath.Join(dir, "c.pem"), pemOf(a.Checkpoint))
	writeFile(t, filepath.Join(dir, "crl.pem"), authority.EncodeCRL(list))
	if text := openssl(t, dir, "crl", "-in", "crl.pem", "-CAfile", "root.pem", "-noout", "-text"); !strings.Contains(text, "verify OK") ||
		!strings.Contains(text, "X509v3 CRL Number: \n                2") || !strings.Contains(text, "Key Compromise") ||
		!strings.Contains(text, "X509v3 Authority Key Identifier") {
		t.Errorf("openssl reads the list as\n%s", text)
	}
	verify := []string{"verify", "-x509_strict", "-crl_check", "-CAfile", "root.pem", "-CRLfile", "crl.pem"}
	openssl(t, dir, append(verify, "c.pem")...)
	c := exec.Command("openssl", append(verify, "i.pem")...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), "certificate revoked") {
		t.Errorf("openssl on the revoked intermediate: %v\n%s", err, out)
	}
}

// TestListsRefused: only the newest list of an issuer above counts.
func TestListsRefused(t *testing.T) {
	r, _ := newRoot(t)
	other, _ := newRoot(t)
	s := softStation(t)
	a, err := r.Sign(s.request(t), authority.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authority.InstallLists(s.dir, authority.EncodeCRL(crl(t, r))); !errors.Is(err, authority.ErrNotInstalled) {
		t.Errorf("before anything is installed: %v", err)
	}
	s.install(t, a.PEM)
	if _, err := authority.InstallLists(s.dir, authority.EncodeCRL(crl(t, other))); err == nil || !strings.Contains(err.Error(), "not signed by an issuer") {
		t.Errorf("another root's: %v", err)
	}
	if len(load(t, s).CRLs) != 0 {
		t.Error("it was taken")
	}
	forged := crl(t, r)
	forged.Raw[len(forged.Raw)-1] ^= 1
	text := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: forged.Raw})
	if _, err := authority.InstallLists(s.dir, text); err == nil {
		t.Error("a forged list was taken")
	}
	stale, err := r.CRL(24*time.Hour, time.Now().AddDate(0, 0, -3))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authority.InstallLists(s.dir, authority.EncodeCRL(stale)); err != nil {
		t.Fatal(err)
	}
	st, err := authority.ReadStatus(s.dir, time.Hour, time.Now())
	if err != nil || !strings.Contains(strings.Join(st.Remarks, "\n"), "bring a new one") {
		t.Errorf("an old list goes unnoticed: %+v, %v", st, err)
	}
	if err := st.Installed.Fit(time.Now()); err != nil {
		t.Errorf("an old list that names nobody stops the station: %v", err)
	}
	if _, err := r.CRL(time.Hour, time.Time{}); err == nil {
		t.Error("a list for an hour was signed")
	}
}

// TestWindow: the time to issue ends before the certificate does, and says so.
func TestWindow(t *testing.T) {
	r, _ := newRoot(t)
	s := softStation(t)
	const day = 24 * time.Hour
	now := time.Now().Truncate(time.Second)
	a, err := r.Sign(s.request(t), authority.Terms{Window: 30 * day, Longest: 365 * day, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	i := s.install(t, a.PEM)
	until := now.Add(30 * day).UTC()
	if !a.Intermediate.NotAfter.Equal(now.Add(395*day - time.Second)) {
		t.Errorf("intermediate until %v, want window and longest profile", a.Intermediate.NotAfter)
	}
	// A shorter profile does not make the window longer, a longer one makes it shorter.
	for longest, want := range map[time.Duration]time.Time{day: until, 365 * day: until, 385 * day: until.Add(-20 * day)} {
		if got, err := i.IssuesUntil(longest); err != nil || !got.Equal(want) {
			t.Errorf("longest profile %v: issues until %v, %v; want %v", longest, got, err, want)
		}
	}
	if err := i.Fit(until); err != nil {
		t.Errorf("in the last second: %v", err)
	}
	if err := i.Fit(until.Add(time.Second)); !errors.Is(err, authority.ErrWindow) {
		t.Errorf("a second later: %v, want ErrWindow", err)
	}
}

// TestConstraints: names outside of what the root permits are refused by Go
// and by openssl alike.
func TestConstraints(t *testing.T) {
	r, _ := newRoot(t)
	s := newStation(t, newKey(t, elliptic.P384()), newKey(t, elliptic.P256()))
	a, err := r.Sign(s.request(t), authority.Terms{Constraints: authority.Constraints{
		PermitDNS: []string{"devices.example.com"}, ExcludeDNS: []string{"lab.devices.example.com"}, PermitIP: []string{"10.1.0.0/16"},
		PermitURI: []string{".example.com"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "i.pem"), pemOf(a.Intermediate))
	writeFile(t, filepath.Join(dir, "root.pem"), pemOf(r.Certificate()))
	text := openssl(t, dir, "x509", "-in", "i.pem", "-noout", "-text")
	for _, want := range []string{"X509v3 Name Constraints: critical", "DNS:devices.example.com", "IP:10.1.0.0/255.255.0.0", "Excluded:", "DNS:lab.devices.example.com"} {
		if !strings.Contains(text, want) {
			t.Errorf("openssl does not show %q:\n%s", want, text)
		}
	}
	by := &foreignRoot{cert: a.Intermediate, key: s.ca}
	for name, ok := range map[string]bool{"a.devices.example.com": true, "a.lab.devices.example.com": false, "example.org": false} {
		leaf := by.certify(t, &x509.Certificate{
			SerialNumber: big.NewInt(77), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}, newKey(t, elliptic.P256()).Public())
		roots, between := x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(r.Certificate())
		between.AddCert(a.Intermediate)
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		writeFile(t, filepath.Join(dir, "leaf.pem"), pemOf(leaf))
		c := exec.Command("openssl", "verify", "-CAfile", "root.pem", "-untrusted", "i.pem", "leaf.pem")
		c.Dir = dir
		out, opensslErr := c.CombinedOutput()
		if (err == nil) != ok || (opensslErr == nil) != ok {
			t.Errorf("%s: Go says %v, openssl %s", name, err, out)
		}
	}
	for _, bad := range []authority.Constraints{
		{PermitDNS: []string{"*.example.com"}},
		{PermitDNS: []string{""}},
		{ExcludeDNS: []string{"a..b"}},
		{PermitURI: []string{"https://x"}},
		{PermitIP: []string{"10.1.0.1/16"}},
		{ExcludeIP: []string{"ten"}},
	} {
		if _, err := r.Sign(s.request(t), authority.Terms{Constraints: bad}); err == nil || !strings.Contains(err.Error(), "name constraint") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestForever: identities without an end need authorities without one.
func TestForever(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root")
	r, err := authority.CreateRoot(dir, authority.RootConfig{Subject: pkix.Name{CommonName: "Endless"}, Forever: true}, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, r)
	s := softStation(t)
	a, err := r.Sign(s.request(t), authority.Terms{Forever: true})
	if err != nil {
		t.Fatal(err)
	}
	if a.Intermediate.NotAfter.Year() != 9999 {
		t.Errorf("until %v", a.Intermediate.NotAfter)
	}
	verifyWithOpenSSL(t, s, s.install(t, a.PEM))
	limited, _ := newRoot(t)
	if _, err := limited.Sign(s.request(t), authority.Terms{Forever: true}); err == nil || !strings.Contains(err.Error(), "its root ends") {
		t.Errorf("under a root that ends: %v", err)
	}
}

// TestRequestReplaced keeps the old request under another name.
func TestRequestReplaced(t *testing.T) {
	s := softStation(t)
	s.request(t)
	was := readFile(t, authority.RequestPath(s.dir))
	s.config.CA, s.config.Replace = newKey(t, elliptic.P256()), true
	s.request(t)
	s.request(t) // the same again changes nothing
	kept, err := filepath.Glob(filepath.Join(s.dir, "retired-request-*.pem"))
	if err != nil || len(kept) != 1 || string(readFile(t, kept[0])) != string(was) {
		t.Errorf("kept %v, %v", kept, err)
	}
	if now, err := authority.ReadRequest(s.dir); err != nil || now.SPKI() == [32]byte{} || string(readFile(t, authority.RequestPath(s.dir))) == string(was) {
		t.Errorf("the new request: %v", err)
	}
	noTemporaries(t, s.dir)
}
