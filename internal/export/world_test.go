// SPDX-License-Identifier: Apache-2.0

package export_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

const day = 24 * time.Hour

// world is a root, a station's intermediate and its ledger, all real, with keys
// made of software.
type world struct {
	t                  testing.TB
	now                time.Time
	root, intermediate *x509.Certificate
	rootKey, key       *ecdsa.PrivateKey
	retired            *x509.Certificate // an intermediate before this one
	retiredKey         *ecdsa.PrivateKey
	ledger             *ledger.Ledger
	serial             int64
	units              int
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, now: time.Now().UTC().Truncate(time.Second), rootKey: newKey(t), key: newKey(t), retiredKey: newKey(t), serial: 1 << 62}
	w.root = w.certify(w.authority("Test Root", 20*365*day), nil, w.rootKey.Public(), w.rootKey)
	w.intermediate = w.certify(w.authority("ulm/st-07 CA 2", 730*day), w.root, w.key.Public(), w.rootKey)
	w.retired = w.certify(w.authority("ulm/st-07 CA 1", 730*day), w.root, w.retiredKey.Public(), w.rootKey)
	c := ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Origin: "ulm/st-07/1", Signer: newKey(t)}
	if err := ledger.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.ledger, err = ledger.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, ca := range []*x509.Certificate{w.retired, w.intermediate} {
		w.append([]record.Body{{Kind: record.KindCA, Action: "installed", Cert: digest(ca.Raw), IssuerKey: hex.EncodeToString(ca.SubjectKeyId)}}, ca.Raw)
	}
	return w
}

func (w *world) authority(name string, life time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: w.now.Add(-30 * day), NotAfter: w.now.Add(life),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func (w *world) certify(c, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	w.t.Helper()
	w.serial++
	c.SerialNumber = new(big.Int).Lsh(big.NewInt(w.serial), 64)
	if parent == nil {
		parent = c
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		w.t.Fatal(err)
	}
	c.SubjectKeyId = issuer.KeyIdentifier(spki)
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, key)
	if err != nil {
		w.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		w.t.Fatal(err)
	}
	return cert
}

func (w *world) append(bodies []record.Body, blobs ...[]byte) {
	w.t.Helper()
	for i := range bodies {
		bodies[i].Operator, bodies[i].Software = "op-17", "station test"
	}
	if _, err := w.ledger.Append(w.t.Context(), ledger.Batch{Bodies: bodies, Blobs: blobs}); err != nil {
		w.t.Fatal(err)
	}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// made is a unit as a run leaves it.
type made struct {
	body record.Body // what its entries have in common
	cert *x509.Certificate
}

// terms are what a test wants of a unit.
type terms struct {
	serial, name, uid string // name "": the serial; uid "": a new one
	order, product    string
	claim             bool // the serial is claimed, as the procedure does
	subjectSerial     bool
	retired           bool // of the retired intermediate
	days              int  // of life; 0: 365
	key               crypto.Signer
}

// issue puts a key and certificate of a unit on record.
func (w *world) issue(c terms) made {
	w.t.Helper()
	w.units++
	if c.name == "" {
		c.name = c.serial
	}
	if c.uid == "" {
		c.uid = fmt.Sprintf("00c0ffee%04x", w.units)
	}
	if c.days == 0 {
		c.days = 365
	}
	if c.key == nil {
		c.key = newKey(w.t)
	}
	by, key := w.intermediate, w.key
	if c.retired {
		by, key = w.retired, w.retiredKey
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: c.name}, NotBefore: w.now.Add(-20 * day), NotAfter: w.now.Add(time.Duration(c.days) * day),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if c.subjectSerial {
		template.Subject.SerialNumber = c.serial
	}
	cert := w.certify(template, by, c.key.Public(), key)
	m := made{cert: cert, body: record.Body{
		Run: fmt.Sprintf("%032x", w.units), Serial: c.serial, Model: "gw-2", UID: c.uid, Order: c.order, Product: c.product,
		Alg: "ES256", SPKI: digest(cert.RawSubjectPublicKeyInfo),
	}}
	begun := m.body
	begun.Kind = record.KindBegun
	if c.claim {
		begun.Claims = []record.Claim{{Kind: record.ClaimSerial, Value: c.serial}}
	}
	w.append([]record.Body{begun, m.issued(record.KindIssued)}, cert.Raw, cert.RawTBSCertificate)
	return m
}

// issued is the entry that says the certificate exists.
func (m made) issued(kind string) record.Body {
	b := m.body
	b.Kind, b.Cert, b.CertSerial, b.TBS = kind, digest(m.cert.Raw), hex.EncodeToString(m.cert.SerialNumber.Bytes()), digest(m.cert.RawTBSCertificate)
	b.IssuerKey = hex.EncodeToString(m.cert.AuthorityKeyId)
	b.NotBefore, b.NotAfter = record.Timestamp(m.cert.NotBefore), record.Timestamp(m.cert.NotAfter)
	return b
}

// end ends a unit's run. Its receipt is not looked at here.
func (w *world) end(m made, outcome string) made {
	w.t.Helper()
	b := m.body
	b.Kind, b.Outcome, b.Cert, b.CertSerial = record.KindEnd, outcome, digest(m.cert.Raw), hex.EncodeToString(m.cert.SerialNumber.Bytes())
	if outcome == record.Passed {
		b.Rehearsal, b.ChainReadBack = digest(m.cert.Raw), digest(m.cert.Raw)
		b.Receipt = &record.Receipt{
			Alg: "ES256", Nonce: strings.Repeat("0a", 32), Chain: b.ChainReadBack, Prot: 3, State: 3, UID: b.UID, Sig: "3006020101020101",
		}
	} else {
		b.Fault = "F-PROVE-02"
	}
	w.append([]record.Body{b})
	return m
}

// pass issues and passes a unit.
func (w *world) pass(c terms) made { w.t.Helper(); return w.end(w.issue(c), record.Passed) }

// happens records something about a unit.
func (w *world) happens(m made, kind string) {
	w.t.Helper()
	b := record.Body{Kind: kind, Reason: "keyCompromise", Approver: "qa-2", Model: m.body.Model, UID: m.body.UID, Serial: m.body.Serial}
	if kind == record.KindRevoked {
		b.Cert, b.CertSerial = digest(m.cert.Raw), hex.EncodeToString(m.cert.SerialNumber.Bytes())
	}
	w.append([]record.Body{b})
}

// renew gives a unit another certificate for its key.
func (w *world) renew(m made) made {
	w.t.Helper()
	next := made{body: m.body}
	next.body.Run = ""
	next.cert = w.certify(&x509.Certificate{
		Subject: m.cert.Subject, NotBefore: w.now, NotAfter: w.now.Add(365 * day),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: m.cert.ExtKeyUsage,
	}, w.intermediate, m.cert.PublicKey, w.key)
	b := next.issued(record.KindRenewed)
	b.Predecessor = digest(m.cert.Raw)
	w.append([]record.Body{b}, next.cert.Raw, next.cert.RawTBSCertificate)
	return next
}

func (w *world) options() export.PackOptions {
	return export.PackOptions{Chain: []*x509.Certificate{w.intermediate, w.root}, Station: "ulm/st-07", Now: w.now}
}

func (w *world) reader() *reader.Reader { return w.ledger.Reader() }

// pack writes a pack and returns its folder.
func (w *world) pack(format string, change func(*export.PackOptions)) (string, export.Result) {
	w.t.Helper()
	o := w.options()
	if change != nil {
		change(&o)
	}
	path := filepath.Join(w.t.TempDir(), "pack")
	result, err := export.Pack(w.t.Context(), path, format, w.reader(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return path, result
}

// lines reads a file of JSON objects, one a line, strictly.
func lines[T any](t testing.TB, path string) []T {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []T
	for line := range strings.Lines(string(text)) {
		var v T
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&v); err != nil || !strings.HasSuffix(line, "}\n") {
			t.Fatalf("%s: %v in %q", filepath.Base(path), err, line)
		}
		out = append(out, v)
	}
	return out
}

func read(t testing.TB, parts ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b)
}

// otherKeys are keys of boards that are not P-256.
func otherKeys(t testing.TB) (rsaKey, p384, edwards crypto.Signer) {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, d, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return r, e, d
}
