// SPDX-License-Identifier: Apache-2.0

package authority_test

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/issuer"
)

// foreignRoot is a root whose key the test holds, to sign what ours would not.
type foreignRoot struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newForeignRoot(t testing.TB, parent *foreignRoot) *foreignRoot {
	t.Helper()
	r := &foreignRoot{key: newKey(t, elliptic.P256())}
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Foreign"}, SerialNumber: big.NewInt(7), NotBefore: time.Now().AddDate(-1, 0, 0),
		NotAfter: time.Now().AddDate(10, 0, 0), KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	if parent == nil {
		r.cert = c
		parent = r
	} else {
		c.Subject.CommonName = "Foreign sub"
	}
	r.cert = parent.certify(t, c, r.key.Public())
	return r
}

func (r *foreignRoot) certify(t testing.TB, c *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, r.cert, public, r.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// intermediate is what a sound root answers, before a test spoils it.
func intermediate(q *ceremony.Request) *x509.Certificate {
	return &x509.Certificate{
		Subject: q.Subject(), SerialNumber: big.NewInt(8), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(2, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true, SubjectKeyId: []byte{1, 2, 3},
	}
}

func TestInstallRefuses(t *testing.T) {
	type world struct {
		s      *station
		q      *ceremony.Request
		root   *foreignRoot
		answer *authority.Signed
	}
	// spoilt is an intermediate by a foreign root with one thing changed.
	spoilt := func(change func(c *x509.Certificate)) func(*testing.T, *world) []byte {
		return func(t *testing.T, w *world) []byte {
			c := intermediate(w.q)
			change(c)
			return pemOf(w.root.certify(t, c, w.s.ca.Public()), w.root.cert)
		}
	}
	root, _ := newRoot(t)
	for _, c := range []struct {
		name, want string
		give       func(t *testing.T, w *world) []byte
	}{
		{"nothing", "0 PEM blocks", func(*testing.T, *world) []byte { return nil }},
		{"garbage", "0 PEM blocks", func(*testing.T, *world) []byte { return []byte("hello") }},
		{"a block that is cut", "only 2 can be read", func(_ *testing.T, w *world) []byte {
			return w.answer.PEM[:len(w.answer.PEM)-30]
		}},
		{"a key", "allowed: CERTIFICATE, X509 CRL", func(t *testing.T, w *world) []byte { return readFile(t, authority.RequestPath(w.s.dir)) }},
		{"another station's", "no certificate is for this station's key", func(t *testing.T, _ *world) []byte { return answered(t, softStation(t)).PEM }},
		{"another name", "the request", spoilt(func(c *x509.Certificate) { c.Subject.CommonName += "2" })},
		{"another organization", "the request", spoilt(func(c *x509.Certificate) { c.Subject.Organization = nil })},
		{"no issuer", "not an issuer", spoilt(func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero = false, false })},
		{"no path length", "pathlen:0", spoilt(func(c *x509.Certificate) { c.MaxPathLenZero = false })},
		{"longer path", "pathlen:0", spoilt(func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 1, false })},
		{"no CRLs", "cRLSign", spoilt(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })},
		{"expired", "has expired or is not yet valid: current", spoilt(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })},
		{"not yet valid", "is before", spoilt(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })},
		{"not for TLS clients", "incompatible key usage", spoilt(func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
		})},
		{"root missing", "root's certificate is missing", func(_ *testing.T, w *world) []byte { return pemOf(w.answer.Intermediate) }},
		{"another root", "does not chain", func(_ *testing.T, w *world) []byte { return pemOf(w.answer.Intermediate, w.root.cert) }},
		{"two for one key", "two certificates", func(t *testing.T, w *world) []byte {
			return append(pemOf(w.root.certify(t, intermediate(w.q), w.s.ca.Public()), w.root.cert), w.answer.PEM...)
		}},
		{"checkpoint certificate without origin", "not the certificate of a checkpoint key", func(t *testing.T, w *world) []byte {
			c := &x509.Certificate{SerialNumber: big.NewInt(9), NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature}
			return pemOf(w.root.certify(t, intermediate(w.q), w.s.ca.Public()), w.root.certify(t, c, w.s.checkpoint.Public()), w.root.cert)
		}},
		{"checkpoint certificate of another ledger", "for ledger ulm/st-08/1", func(t *testing.T, w *world) []byte {
			c := &x509.Certificate{SerialNumber: big.NewInt(9), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature}
			c.URIs = append(c.URIs, issuer.LedgerURI("ulm/st-08/1"))
			return pemOf(w.root.certify(t, intermediate(w.q), w.s.ca.Public()), w.root.certify(t, c, w.s.checkpoint.Public()), w.root.cert)
		}},
		{"checkpoint certificate by another root", "does not hold", func(_ *testing.T, w *world) []byte {
			return pemOf(w.root.certify(t, intermediate(w.q), w.s.ca.Public()), w.answer.Checkpoint, w.root.cert)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := softStation(t)
			w := &world{s, s.request(t), newForeignRoot(t, nil), nil}
			var err error
			if w.answer, err = root.Sign(w.q, authority.Terms{}); err != nil {
				t.Fatal(err)
			}
			_, err = authority.Install(s.dir, s.installation(c.give(t, w)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error about %q", err, c.want)
			}
			if _, err := authority.Load(s.dir); !errors.Is(err, authority.ErrNotInstalled) {
				t.Errorf("something was installed: %v", err)
			}
		})
	}
	s := softStation(t)
	foreign := newForeignRoot(t, nil)
	s.install(t, pemOf(foreign.certify(t, intermediate(s.request(t)), s.ca.Public()), foreign.cert)) // what they were made from is sound
}

func TestInstallRefusesOtherKeys(t *testing.T) {
	s := softStation(t)
	a := answered(t, s)
	for _, in := range []authority.Installation{
		{Certificates: a.PEM, CA: newKey(t, elliptic.P256()).Public(), Checkpoint: s.checkpoint.Public()},
		{Certificates: a.PEM, CA: s.ca.Public(), Checkpoint: newKey(t, elliptic.P256()).Public()},
	} {
		if _, err := authority.Install(s.dir, in); err == nil || !strings.Contains(err.Error(), "than the TPM's") {
			t.Errorf("got %v, want a complaint about the TPM's key", err)
		}
	}
	if _, err := authority.Install(t.TempDir(), s.installation(a.PEM)); err == nil || !strings.Contains(err.Error(), "make a request first") {
		t.Errorf("without a request: %v", err)
	}
}

// TestInstallDeep installs below a root that has a sub-root.
func TestInstallDeep(t *testing.T) {
	s := softStation(t)
	root := newForeignRoot(t, nil)
	sub := newForeignRoot(t, root)
	i := sub.certify(t, intermediate(s.request(t)), s.ca.Public())
	installed := s.install(t, pemOf(root.cert, i, sub.cert)) // in any order
	if len(installed.Chain) != 3 || !installed.Root().Equal(root.cert) {
		t.Fatalf("chain of %d", len(installed.Chain))
	}
	verifyWithOpenSSL(t, s, installed)
}

func TestInstallOnce(t *testing.T) {
	s := softStation(t)
	first, second := answered(t, s), answered(t, s)
	s.install(t, first.PEM)
	path := filepath.Join(s.dir, "certificates.pem")
	was := readFile(t, path)
	s.install(t, first.PEM)
	if _, err := authority.Install(s.dir, s.installation(second.PEM)); !errors.Is(err, authority.ErrExists) {
		t.Fatalf("second intermediate: %v, want ErrExists", err)
	}
	if !bytes.Equal(readFile(t, path), was) {
		t.Fatal("what was installed has changed")
	}
	in := s.installation(second.PEM)
	in.Replace = true
	if _, err := authority.Install(s.dir, in); err != nil {
		t.Fatal(err)
	}
	loaded, err := authority.Load(s.dir)
	if err != nil || !loaded.Intermediate().Equal(second.Intermediate) {
		t.Errorf("after replacing: %v", err)
	}
	retired := filepath.Join(s.dir, "retired-"+first.Intermediate.SerialNumber.Text(16)+".pem")
	if !bytes.Equal(readFile(t, retired), was) {
		t.Error("the retired intermediate was not kept")
	}
	noTemporaries(t, s.dir)
}

func noTemporaries(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	s := softStation(t)
	a := answered(t, s)
	root := newForeignRoot(t, nil)
	chain := s.install(t, a.PEM).Chain
	stranger := root.certify(t, &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0)}, s.checkpoint.Public())
	for name, text := range map[string][]byte{
		"empty":            nil,
		"root first":       pemOf(chain[1], chain[0]),
		"without its root": pemOf(chain[0]),
		"a stranger":       append(pemOf(chain...), pemOf(stranger)...),
		"two strangers":    append(pemOf(chain...), pemOf(stranger, a.Checkpoint)...),
	} {
		writeFile(t, filepath.Join(s.dir, "certificates.pem"), text)
		if _, err := authority.Load(s.dir); err == nil || !strings.Contains(err.Error(), "certificates.pem") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStatus(t *testing.T) {
	s := softStation(t)
	const year = 365 * 24 * time.Hour
	read := func(now time.Time) *authority.Status {
		t.Helper()
		st, err := authority.ReadStatus(s.dir, year, now)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	if st := read(time.Now()); st.Request != nil || st.Installed != nil || !strings.Contains(st.Remarks[0], "no intermediate is installed") {
		t.Errorf("blank: %+v", st)
	}
	a := answered(t, s)
	if st := read(time.Now()); st.Request == nil || st.Installed != nil {
		t.Errorf("requested: %+v", st)
	}
	s.install(t, a.PEM)
	end := a.Intermediate.NotAfter.Add(time.Second - year)
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{time.Now(), "simulated"},
		{time.Now(), authority.NotProven},
		{end.AddDate(0, 0, -59), "in 59 days: renew"},
		{end.Add(time.Second), "window ended"},
		{a.Intermediate.NotBefore.AddDate(-1, 0, 0), "set the clock"},
	} {
		st := read(c.at)
		if !st.IssuesUntil.Equal(end) || !strings.Contains(strings.Join(st.Remarks, "\n"), c.want) {
			t.Errorf("at %v: %+v, want %q", c.at, st, c.want)
		}
	}
	if st := read(end.AddDate(0, 0, -61)); strings.Contains(strings.Join(st.Remarks, "\n"), "renew") {
		t.Errorf("renewal asked for too early: %v", st.Remarks)
	}
	writeFile(t, authority.RequestPath(s.dir), []byte("spoilt"))
	if _, err := authority.ReadStatus(s.dir, year, time.Now()); err == nil {
		t.Error("a spoilt request went unnoticed")
	}
}
