// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/issuer"
)

// liar is a key that is not trusted: sign gives what it answers for a digest.
type liar struct {
	*ecdsa.PrivateKey
	sign func(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

func (l *liar) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return l.sign(r, digest, opts)
}

// TestNothingUnverifiedLeaves: whatever the key answers, no certificate leaves
// whose signature is not the chain's key's over the recorded bytes.
func TestNothingUnverifiedLeaves(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	draft := prepare(t, w, newDevice(t, "sensor-001", ""))
	other := newKey(t, elliptic.P256())
	before, err := w.issuer.Sign(t.Context(), draft.TBS(), draft.SPKI())
	if err != nil {
		t.Fatal(err)
	}
	next := prepare(t, w, newDevice(t, "sensor-002", ""))
	for name, answer := range map[string]func(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error){
		"one bit off": func(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
			sig, err := w.key.Sign(r, digest, opts)
			sig[len(sig)-1] ^= 1
			return sig, err
		},
		"of other bytes": func(r io.Reader, _ []byte, opts crypto.SignerOpts) ([]byte, error) {
			digest := sha256.Sum256(draft.TBS())
			return w.key.Sign(r, digest[:], opts)
		},
		"of an earlier certificate": func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
			return before.Parsed.Signature, nil
		},
		"by another key": func(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
			return other.Sign(r, digest, opts)
		},
		"none": func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, nil },
		"something behind it": func(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
			sig, err := w.key.Sign(r, digest, opts)
			return append(sig, 0), err
		},
	} {
		config := w.config()
		config.Signer = &liar{w.key, answer}
		i, err := issuer.New(config)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := i.Sign(t.Context(), next.TBS(), next.SPKI())
		if err == nil || cert != nil || !strings.Contains(err.Error(), "does not verify") {
			t.Errorf("signature %s: got %v, want that it does not verify", name, err)
		}
	}
}

// TestOnlyTheRecordedBytesLeave: a certificate for the same key, signed by the
// same issuer, is not the one on record.
func TestOnlyTheRecordedBytesLeave(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	d := newDevice(t, "sensor-001", "")
	recorded, another := prepare(t, w, d), prepare(t, w, d)
	cert, err := w.issuer.Sign(t.Context(), another.TBS(), another.SPKI())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.issuer.Check(cert.DER, another.TBS(), another.SPKI()); err != nil {
		t.Error(err)
	}
	if c, err := w.issuer.Check(cert.DER, recorded.TBS(), recorded.SPKI()); err == nil || c != nil || !strings.Contains(err.Error(), "were to be signed") {
		t.Errorf("got %v, want that it does not hold the recorded bytes", err)
	}
}

// leafOf is a device's certificate as a key signs it that nobody watches.
func leafOf(t *testing.T, w *world, key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: new(big.Int).Lsh(big.NewInt(1), 100), Subject: pkix.Name{CommonName: "sensor-001"},
		NotBefore: w.now.AddDate(-10, 0, 0), NotAfter: w.now.AddDate(100, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	change(c)
	return sign(t, c, &x509.Certificate{
		RawSubject: w.intermediate.RawSubject, SubjectKeyId: w.intermediate.SubjectKeyId, PublicKey: key.Public(),
	}, newKey(t, elliptic.P256()).Public(), key)
}

// TestVerify moves the clock past each date of the chain, and breaks the one
// link that is not the chain's own.
func TestVerify(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	same := func(*x509.Certificate) {}
	good := leafOf(t, w, w.key, same)
	altered := func() *x509.Certificate {
		der := []byte(strings.Replace(string(good.Raw), "sensor-001", "sensor-666", 1))
		c, err := x509.ParseCertificate(der)
		if err != nil || c.Subject.CommonName != "sensor-666" {
			t.Fatal(err)
		}
		return c
	}
	for _, c := range []struct {
		name, want string
		leaf       *x509.Certificate
		now        time.Time
		window     bool
	}{
		{"as it should be", "", good, w.now, false},
		{"last second of the intermediate", "", good, w.intermediate.NotAfter, false},
		{"intermediate expired", "Test Intermediate", good, w.intermediate.NotAfter.Add(time.Second), true},
		{"intermediate not yet valid", "Test Intermediate", good, w.intermediate.NotBefore.Add(-time.Second), true},
		{"root expired", "Test Root", good, w.root.NotAfter.Add(time.Second), true},
		{"root not yet valid", "Test Root", good, w.root.NotBefore.Add(-time.Second), true},
		{"leaf expired", "expired", leafOf(t, w, w.key, func(c *x509.Certificate) { c.NotAfter = w.now.Add(-time.Second) }), w.now, false},
		{"leaf not yet valid", "not yet valid", leafOf(t, w, w.key, func(c *x509.Certificate) { c.NotBefore = w.now.Add(time.Second) }), w.now, false},
		{"other bytes under the signature", "does not verify", altered(), w.now, false},
		{"an issuer of the same name", "does not verify", leafOf(t, w, newKey(t, elliptic.P256()), same), w.now, false},
	} {
		config := w.config()
		config.Now = func() time.Time { return c.now }
		// The intermediate outlives the root here, and begins before it: each
		// date is seen by itself.
		if strings.HasPrefix(c.name, "root") {
			config.Chain = []*x509.Certificate{w.certify(t, &x509.Certificate{
				Subject: pkix.Name{CommonName: "Test Intermediate"}, SerialNumber: big.NewInt(2),
				NotBefore: w.now.AddDate(-9, 0, 0), NotAfter: w.now.AddDate(90, 0, 0),
				KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
			}, w.key.Public()), w.root}
		}
		i, err := issuer.New(config)
		if err != nil {
			t.Fatal(err)
		}
		err = i.Verify(c.leaf)
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) || errors.Is(err, issuer.ErrWindow) != c.window {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// TestLinksOfTheChain: a chain of which one signature is wrong makes no issuer.
func TestLinksOfTheChain(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	spoiled := func(c *x509.Certificate) *x509.Certificate {
		der := append([]byte(nil), c.Raw...)
		der[len(der)-1] ^= 1
		out, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	strange := w.certify(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "I"}, SerialNumber: big.NewInt(3), NotBefore: w.now, NotAfter: w.now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
		ExtraExtensions: []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}},
	}, w.key.Public())
	other, usurper := newKey(t, elliptic.P384()), *w.root
	usurper.PublicKey = other.Public()
	for _, c := range []struct {
		name, want string
		chain      []*x509.Certificate
	}{
		{"intermediate's signature", "was not issued by", []*x509.Certificate{spoiled(w.intermediate), w.root}},
		{"root's signature", "was not issued by", []*x509.Certificate{w.intermediate, spoiled(w.root)}},
		{"a root of the same name", "was not issued by", []*x509.Certificate{w.intermediate, sign(t, w.root, &usurper, other.Public(), other)}},
		{"critical extension", "critical extension", []*x509.Certificate{strange, w.root}},
	} {
		_, err := issuer.New(issuer.Config{Chain: c.chain, Signer: w.key})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error about %q", c.name, err, c.want)
		}
	}
}

// TestRestrictions: what an issuer at any height restricts binds the devices,
// though its own signature was verified long ago.
func TestRestrictions(t *testing.T) {
	const names, policies = "name constraints", "policy constraints"
	for _, c := range []struct {
		name     string
		at       int // whose restriction, counted from the issuer
		restrict string
		uri      string
		ok       bool
	}{
		{"nobody restricts", 0, "", "urn://pumps.example/1", true},
		{"issuer, inside", 0, names, "urn://pumps.example/1", true},
		{"issuer, outside", 0, names, "urn://valves.example/1", false},
		{"issuer above, inside", 1, names, "urn://pumps.example/1", true},
		{"issuer above, outside", 1, names, "urn://valves.example/1", false},
		{"root, inside", 2, names, "urn://pumps.example/1", true},
		{"root, outside", 2, names, "urn://valves.example/1", false},
		{"issuer wants a policy", 0, policies, "urn://pumps.example/1", false},
		{"issuer above wants a policy", 1, policies, "urn://pumps.example/1", false},
	} {
		w := newWorld(t, elliptic.P256())
		keys := []*ecdsa.PrivateKey{w.key, newKey(t, elliptic.P256()), w.rootKey}
		chain := make([]*x509.Certificate, 3)
		for n := 2; n >= 0; n-- {
			form := &x509.Certificate{
				Subject: pkix.Name{CommonName: "Issuer " + string(rune('0'+n))}, SerialNumber: big.NewInt(int64(n + 1)),
				NotBefore: w.now.AddDate(-1, 0, 0), NotAfter: w.now.AddDate(5, 0, 0),
				KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
			}
			switch {
			case n == c.at && c.restrict == names:
				form.PermittedURIDomains, form.PermittedDNSDomainsCritical = []string{"pumps.example"}, true
			case n == c.at && c.restrict == policies: // requireExplicitPolicy 0 (RFC 5280 4.2.1.11)
				form.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 36}, Critical: true, Value: []byte{0x30, 3, 0x80, 1, 0}}}
			}
			parent, key := form, keys[2]
			if n < 2 {
				parent, key = chain[n+1], keys[n+1]
			}
			chain[n] = sign(t, form, parent, keys[n].Public(), key)
		}
		i, err := issuer.New(issuer.Config{Chain: chain, Signer: w.key, Now: func() time.Time { return w.now }})
		if err != nil {
			t.Fatal(err)
		}
		w.intermediate = chain[0]
		u, err := url.Parse(c.uri)
		if err != nil {
			t.Fatal(err)
		}
		leaf := leafOf(t, w, w.key, func(c *x509.Certificate) { c.URIs = []*url.URL{u} })
		if err := i.Verify(leaf); (err == nil) != c.ok {
			t.Errorf("%s: got %v, want it to pass: %v", c.name, err, c.ok)
		}
	}
}
