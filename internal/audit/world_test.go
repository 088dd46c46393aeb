// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

const origin = "ulm/st-07/1"

var began = time.Date(2026, 11, 22, 7, 31, 0, 0, time.UTC)

// world is a station with a root, an issuer, a checkpoint key and a ledger, all real.
type world struct {
	t          testing.TB
	config     ledger.Config
	root       *x509.Certificate
	issuer     *x509.Certificate
	rootKey    *ecdsa.PrivateKey
	issuerKey  *ecdsa.PrivateKey
	checkpoint *x509.Certificate
	serial     int64
	ledger     *ledger.Ledger // open until the file is forged
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func certify(t testing.TB, template, parent *x509.Certificate, pub *ecdsa.PublicKey, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func ca(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(name)) << 40), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: began, NotAfter: began.AddDate(20, 0, 0),
	}
}

// newWorld makes an empty ledger.
func newWorld(t testing.TB) *world {
	t.Helper()
	rootKey, checkpointKey := newKey(t), newKey(t)
	w := &world{t: t, rootKey: rootKey, issuerKey: newKey(t), serial: 1 << 60}
	w.root = certify(t, ca("root"), ca("root"), &rootKey.PublicKey, rootKey)
	w.issuer = certify(t, ca("station"), w.root, &w.issuerKey.PublicKey, rootKey)
	w.checkpoint = certify(t, &x509.Certificate{
		SerialNumber: big.NewInt(1 << 50), Subject: pkix.Name{CommonName: origin}, URIs: []*url.URL{{Scheme: "ledger", Opaque: origin}},
		KeyUsage: x509.KeyUsageDigitalSignature, NotBefore: began, NotAfter: began.AddDate(20, 0, 0),
	}, w.root, &checkpointKey.PublicKey, rootKey)
	w.config = ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Origin: origin, Signer: checkpointKey}
	if err := ledger.Create(t.Context(), w.config); err != nil {
		t.Fatal(err)
	}
	w.record(false, nil, []record.Body{{Kind: record.KindCA, Action: "installed", Cert: digest(w.issuer.Raw)}}, w.issuer.Raw)
	return w
}

// record appends one batch; change may spoil its entries first. With cover a checkpoint is made.
func (w *world) record(cover bool, change func(*record.Body), bodies []record.Body, blobs ...[]byte) {
	w.t.Helper()
	w.open()
	for i := range bodies {
		bodies[i].Operator, bodies[i].Software = "op-17", "test"
		if change != nil {
			change(&bodies[i])
		}
	}
	seqs, err := w.ledger.Append(w.t.Context(), ledger.Batch{Bodies: bodies, Blobs: blobs})
	if err != nil {
		w.t.Fatal(err)
	}
	if cover {
		if err := w.ledger.Cover(w.t.Context(), seqs[len(seqs)-1]); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) open() {
	w.t.Helper()
	if w.ledger != nil {
		return
	}
	l, err := ledger.Open(w.t.Context(), w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.ledger = l
	w.t.Cleanup(w.shut)
}

func (w *world) shut() {
	w.t.Helper()
	if w.ledger == nil {
		return
	}
	if err := w.ledger.Close(); err != nil {
		w.t.Error(err)
	}
	w.ledger = nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// made is a unit with its key and certificate.
type made struct {
	body  record.Body // what its entries have in common
	key   *ecdsa.PrivateKey
	cert  *x509.Certificate
	csr   []byte
	chain string
}

func (w *world) make(n int, key *ecdsa.PrivateKey) made {
	w.t.Helper()
	w.serial++
	m := made{key: key}
	m.cert = certify(w.t, &x509.Certificate{
		SerialNumber: big.NewInt(w.serial), Subject: pkix.Name{CommonName: fmt.Sprintf("SN-%04d", n)},
		NotBefore: began, NotAfter: began.AddDate(1, 0, 0), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, w.issuer, &key.PublicKey, w.issuerKey)
	m.csr = w.request(key, m.cert.Subject.CommonName)
	m.chain = digest(append(append([]byte{}, m.cert.Raw...), w.issuer.Raw...))
	m.body = record.Body{
		Run: digest(fmt.Append(nil, "run", w.serial))[:32], Serial: fmt.Sprintf("SN-%04d", n), Model: "gw-2",
		UID: digest(fmt.Append(nil, "uid", n))[:24], SPKI: digest(m.cert.RawSubjectPublicKeyInfo), Alg: "ES256", Attempt: 1,
	}
	return m
}

// request is a certification request with the nonce of every test.
func (w *world) request(key crypto.Signer, cn string) []byte {
	w.t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: cn, OrganizationalUnit: []string{answer}},
	}, key)
	if err != nil {
		w.t.Fatal(err)
	}
	return der
}

// answer is what a board makes of a nonce.
var answer = base64.RawURLEncoding.EncodeToString(make([]byte, 32))

func (m made) as(kind string) record.Body {
	b := m.body
	b.Kind = kind
	return b
}

func (m made) certified(kind string) record.Body {
	b := m.as(kind)
	b.TBS, b.CertSerial, b.IssuerKey = digest(m.cert.RawTBSCertificate), hex.EncodeToString(m.cert.SerialNumber.Bytes()), hex.EncodeToString(m.cert.AuthorityKeyId)
	b.NotBefore, b.NotAfter = record.Timestamp(m.cert.NotBefore), record.Timestamp(m.cert.NotAfter)
	if kind == record.KindIssuing {
		b.CSR, b.Profile = digest(m.csr), "mtls"
	} else {
		b.Cert = digest(m.cert.Raw)
	}
	return b
}

func (m made) passed(t testing.TB) record.Body {
	t.Helper()
	b := m.certified(record.KindEnd)
	b.Outcome, b.ChainReadBack, b.Rehearsal = record.Passed, m.chain, digest([]byte("handshake"))
	b.Anchors = digest([]byte("anchors"))
	r := &record.Receipt{Alg: "ES256", Nonce: digest([]byte(b.Run)), Chain: m.chain, Anchors: b.Anchors, Prot: 3, State: 3, UID: b.UID, Sig: "00"}
	message, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, m.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	r.Sig = hex.EncodeToString(sig)
	b.Receipt = r
	return b
}

// provision records the whole life of one unit; change may spoil entries on the way.
func (w *world) provision(m made, change func(*record.Body)) {
	w.t.Helper()
	key := m.as(record.KindKey)
	key.Claims = []record.Claim{
		{Kind: record.ClaimSerial, Value: key.Serial},
		{Kind: record.ClaimUID, Value: key.Unit()},
		{Kind: record.ClaimSPKI, Value: key.SPKI},
	}
	w.record(false, change, []record.Body{m.as(record.KindBegun), key, m.certified(record.KindIssuing)}, m.cert.RawTBSCertificate, m.csr)
	w.record(false, change, []record.Body{m.certified(record.KindIssued)}, m.cert.Raw)
	w.record(true, change, []record.Body{m.passed(w.t)})
}

func (w *world) reader() *reader.Reader {
	w.t.Helper()
	r, err := reader.Open(w.t.Context(), w.config.Path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := r.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return r
}

func (w *world) anchors() audit.Anchors {
	return audit.Anchors{Root: w.root, Certificates: []*x509.Certificate{w.checkpoint}}
}

func (w *world) verify(anchors audit.Anchors) *audit.Report {
	w.t.Helper()
	snapshot, err := w.reader().Snapshot(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	defer snapshot.Close() //nolint:errcheck // test
	report, err := audit.Verify(w.t.Context(), snapshot, anchors)
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

// forge runs SQL as somebody with the file does: triggers taken away first, and put back so that the schema looks untouched.
func (w *world) forge(statements ...string) {
	w.t.Helper()
	w.shut()
	db, err := sql.Open("sqlite3", reader.DSN(w.config.Path, "mode=rw"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // test
	db.SetMaxOpenConns(1)
	var names, triggers []string
	rows, err := db.Query(`SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`)
	if err != nil {
		w.t.Fatal(err)
	}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			w.t.Fatal(err)
		}
		names, triggers = append(names, "DROP TRIGGER "+name), append(triggers, text)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	for _, s := range append(append(names, statements...), triggers...) {
		if _, err := db.Exec(s); err != nil {
			w.t.Fatalf("%s: %v", strings.SplitN(s, "\n", 2)[0], err)
		}
	}
}
