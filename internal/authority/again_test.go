// SPDX-License-Identifier: Apache-2.0

package authority_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/authority"
)

func sign(t *testing.T, r *authority.Root, s *station) *authority.Signed {
	t.Helper()
	a, err := r.Sign(s.request(t), authority.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func revoke(t *testing.T, r *authority.Root, c *x509.Certificate, reason string) {
	t.Helper()
	if _, err := r.Revoke(authority.Revocation{Serial: c.SerialNumber.Text(16), Reason: reason, Operator: "ada", Approver: "bob"}); err != nil {
		t.Fatal(err)
	}
}

// TestSignTakenBack: what was taken back is not signed again under the same
// key, neither as the intermediate's nor as the checkpoint key.
func TestSignTakenBack(t *testing.T) {
	r, dir := newRoot(t)
	for reason, again := range map[string]bool{"superseded": true, "keyCompromise": false, "cessationOfOperation": false} {
		for _, which := range []string{"intermediate", "checkpoint"} {
			s := softStation(t)
			a := sign(t, r, s)
			cert := a.Intermediate
			if which == "checkpoint" {
				cert = a.Checkpoint
			}
			revoke(t, r, cert, reason)
			before, err := authority.RootLog(dir)
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.Sign(s.request(t), authority.Terms{})
			if again && err != nil || !again && (!errors.Is(err, authority.ErrTakenBack) || !strings.Contains(err.Error(), reason)) {
				t.Errorf("%s, revoked for %s, signed again: %v", which, reason, err)
			}
			if after, err := authority.RootLog(dir); err != nil || !again && len(after) != len(before) {
				t.Errorf("%s: %d entries, then %d (%v)", reason, len(before), len(after), err)
			}
		}
	}
}

// TestRevokeKey: a key that others may have is not good in any certificate.
func TestRevokeKey(t *testing.T) {
	r, _ := newRoot(t)
	s := softStation(t)
	first, second := sign(t, r, s), sign(t, r, s)
	revoke(t, r, first.Intermediate, "keyCompromise")
	list := crl(t, r)
	for name, c := range map[string]struct {
		cert *x509.Certificate
		want bool
	}{
		"the one": {first.Intermediate, true}, "another of its key": {second.Intermediate, true}, "of another key": {second.Checkpoint, false},
	} {
		found := false
		for _, e := range list.RevokedCertificateEntries {
			found = found || e.SerialNumber.Cmp(c.cert.SerialNumber) == 0
		}
		if found != c.want {
			t.Errorf("%s is in the list: %v", name, found)
		}
	}
	left, err := r.Remaining(first.Intermediate)
	if err != nil || len(left) != 2 || !left[0].Equal(first.Checkpoint) || !left[1].Equal(second.Checkpoint) {
		t.Errorf("left of the station are %d certificates, %v; want both of the checkpoint key", len(left), err)
	}
	other := sign(t, r, softStation(t))
	revoke(t, r, other.Intermediate, "superseded")
	if _, err := r.Revoke(authority.Revocation{Serial: second.Intermediate.SerialNumber.Text(16), Reason: "superseded"}); !errors.Is(err, authority.ErrRevoked) {
		t.Errorf("revoked with the other: %v", err)
	}
}

// TestCheckpointIsNoClient: the root's own signature stands under the
// checkpoint key's certificate; it must not open what devices open.
func TestCheckpointIsNoClient(t *testing.T) {
	r, _ := newRoot(t)
	c := sign(t, r, softStation(t)).Checkpoint
	roots := x509.NewCertPool()
	roots.AddCert(r.Certificate())
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageCodeSigning} {
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}}); err == nil {
			t.Errorf("the checkpoint key's certificate serves for %s", usage)
		}
	}
}

// TestNameOfRoot: a station may not be called as its root is.
func TestNameOfRoot(t *testing.T) {
	r, _ := newRoot(t)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: r.Certificate().Subject}, newKey(t, elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	q, err := ceremony.ParseRequest(ceremony.RawRequest{CSR: der}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Sign(q, authority.Terms{}); err == nil || !strings.Contains(err.Error(), "the root's own name") {
		t.Errorf("signed: %v", err)
	}
}

// TestPartialLists: a list that says that it does not tell everything must not
// take the place of one that does (RFC 5280 5.2.4, 5.2.5).
func TestPartialLists(t *testing.T) {
	r, dir := newRoot(t)
	s := softStation(t)
	a := sign(t, r, s)
	s.install(t, a.PEM)
	revoke(t, r, a.Intermediate, "keyCompromise")
	full := crl(t, r)
	if _, err := authority.InstallLists(s.dir, authority.EncodeCRL(full)); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(readFile(t, filepath.Join(dir, "plain.key")))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]pkix.Extension{
		"of changes only": {Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}},
		// onlyContainsUserCerts [1] TRUE
		"of devices only": {Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 3, 0x81, 1, 0xff}},
	} {
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(9), ThisUpdate: full.ThisUpdate, NextUpdate: full.NextUpdate, ExtraExtensions: []pkix.Extension{e},
		}, r.Certificate(), key.(crypto.Signer))
		if err != nil {
			t.Fatal(err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
		if _, err := authority.InstallLists(s.dir, text); err == nil || !strings.Contains(err.Error(), "not a complete list") {
			t.Errorf("a list %s: %v", name, err)
		}
		if err := load(t, s).Fit(time.Now()); !errors.Is(err, authority.ErrRevoked) {
			t.Errorf("after a list %s: %v, want ErrRevoked", name, err)
		}
	}
}

// TestListNumberOfOld: the lists of a root that another program kept go on.
func TestListNumberOfOld(t *testing.T) {
	r, _ := newRoot(t)
	for _, c := range []struct{ least, want int64 }{{0, 1}, {7, 7}, {3, 8}, {0, 9}} {
		l, err := r.CRLFrom(c.least, 0, time.Time{})
		if err != nil || l.Number.Int64() != c.want {
			t.Errorf("from %d: list %v, %v; want %d", c.least, l, err, c.want)
		}
	}
}
