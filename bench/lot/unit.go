// SPDX-License-Identifier: Apache-2.0

package lot

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"time"

	"provisioning.example/station/internal/record"
)

// lifeOf is what is recorded of a unit that passes, in order.
var lifeOf = []string{record.KindBegun, record.KindKey, record.KindIssuing, record.KindIssued, record.KindProven, record.KindEnd}

// line is an entry that has no place yet.
type line struct {
	raw    []byte
	leaf   [32]byte
	claims []record.Claim
}

func newLine(b record.Body) (line, error) {
	raw, err := b.Encode()
	return line{raw, record.Leaf(raw), b.Claims}, err
}

// made is one unit: its entries and the bytes they name.
type made struct {
	lines []line
	blobs [][]byte
}

// maker makes units, on any number of goroutines.
type maker struct {
	*sample
	authority *authorityOf
	station   string
	began     time.Time // of the first unit
}

// unit makes unit n, counted from 0.
func (m *maker) unit(n int64) (u made, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return u, err
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return u, err
	}
	p := piece{maker: m, n: n, key: key, at: m.began.Add(time.Duration(n) * tact), serial: fmt.Sprintf("SN-%08d", n), spki: digest(spki)}
	rand.Read(p.run[:])
	rand.Read(p.nonce[:])
	rand.Read(p.uid[:])
	if err := p.certify(); err != nil {
		return u, err
	}
	bodies, err := p.bodies()
	if err != nil {
		return u, err
	}
	u.blobs = [][]byte{p.csr, p.cert.RawTBSCertificate, p.cert.Raw}
	for _, b := range bodies {
		l, err := newLine(b)
		if err != nil {
			return u, fmt.Errorf("unit %s: %w", p.serial, err)
		}
		u.lines = append(u.lines, l)
	}
	return u, nil
}

// piece is a unit being made.
type piece struct {
	*maker
	n            int64
	at           time.Time
	serial, spki string
	key          *ecdsa.PrivateKey
	run          [16]byte
	nonce        [32]byte
	uid          [12]byte
	csr          []byte
	csrR         string
	cert         *x509.Certificate
}

// certify makes request and certificate.
func (p *piece) certify() (err error) {
	p.csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		// The nonce has a place of its own in a board's request; this one has the same bytes in another.
		Subject: pkix.Name{CommonName: p.serial, OrganizationalUnit: []string{base64.RawURLEncoding.EncodeToString(p.nonce[:])}},
	}, p.key)
	if err != nil {
		return err
	}
	csr, err := x509.ParseCertificateRequest(p.csr)
	if err != nil {
		return err
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(csr.Signature, &sig); err != nil {
		return err
	}
	p.csrR = hex.EncodeToString(sig.R.FillBytes(make([]byte, 32)))
	t := *p.sample.cert
	t.SerialNumber = newSerial()
	t.Subject.CommonName, t.RawSubject, t.Subject.Names = p.serial, nil, nil
	t.NotBefore, t.NotAfter = p.at.Add(-time.Hour).Truncate(time.Second), p.at.AddDate(1, 0, 0).Truncate(time.Second)
	id := sha256.Sum256([]byte(p.spki))
	t.SubjectKeyId, t.AuthorityKeyId = id[:20], p.authority.cert.SubjectKeyId
	der, err := x509.CreateCertificate(rand.Reader, &t, p.authority.cert, &p.key.PublicKey, p.authority.key)
	if err != nil {
		return err
	}
	p.cert, err = x509.ParseCertificate(der)
	return err
}

// newSerial draws a serial number as the issuer does: 16 bytes, positive.
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

// bodies are the entries of the unit; one in failing has an attempt before that failed.
func (p *piece) bodies() ([]record.Body, error) {
	var out []record.Body
	attempt := 1
	if p.n%failing == failing-1 {
		attempt = 2
		failed := p.body(record.KindBegun, 1)
		rand.Read(p.run[:])
		end := p.body(record.KindEnd, 1)
		end.Run, end.Outcome, end.Fault, end.FaultStep, end.Detail = failed.Run, record.Failed, "F-KEY-01", "KEY", "the board did not answer in time"
		end.Cert, end.CertSerial, end.CN, end.NotBefore, end.NotAfter, end.IssuerKey = "", "", "", "", "", ""
		end.Receipt, end.ChainReadBack, end.Rehearsal, end.SPKI = nil, "", "", ""
		out = append(out, failed, end)
	}
	for _, kind := range lifeOf {
		out = append(out, p.body(kind, attempt))
	}
	for i := range out {
		// Six moments of a run that takes as long as two units are apart.
		out[i].Time = record.Timestamp(p.at.Add(time.Duration(i) * tact / 10))
	}
	return out, p.receipt(out[len(out)-1].Receipt)
}

// body is one entry of the unit.
func (p *piece) body(kind string, attempt int) record.Body {
	b := p.sample.unit[kind]
	b.Station, b.Operator, b.Order = p.station, fmt.Sprintf("op-%02d", p.n/ordered%7+1), fmt.Sprintf("WO-%05d", p.n/ordered+1)
	b.Run, b.Serial, b.UID, b.Attempt = hex.EncodeToString(p.run[:]), p.serial, hex.EncodeToString(p.uid[:]), attempt
	b.Slot = int(p.n%slots) + 1
	b.Port = fmt.Sprintf("virtual:%d", b.Slot)
	set := func(field *string, value string) {
		if *field != "" {
			*field = value
		}
	}
	set(&b.SPKI, p.spki)
	set(&b.Token, digest(p.run[:]))
	set(&b.Nonce, hex.EncodeToString(p.nonce[:]))
	set(&b.CSR, digest(p.csr))
	set(&b.CSRR, p.csrR)
	set(&b.TBS, digest(p.cert.RawTBSCertificate))
	set(&b.CN, p.serial)
	set(&b.CertSerial, hex.EncodeToString(p.cert.SerialNumber.Bytes()))
	set(&b.Cert, digest(p.cert.Raw))
	set(&b.NotBefore, record.Timestamp(p.cert.NotBefore))
	set(&b.NotAfter, record.Timestamp(p.cert.NotAfter))
	set(&b.IssuerKey, hex.EncodeToString(p.cert.AuthorityKeyId))
	set(&b.ChainReadBack, p.chain())
	set(&b.Rehearsal, digest(p.nonce[:]))
	if len(b.Claims) > 0 {
		b.Claims = []record.Claim{
			{Kind: record.ClaimSerial, Value: b.Serial}, {Kind: record.ClaimUID, Value: b.Unit()}, {Kind: record.ClaimSPKI, Value: b.SPKI},
		}
	}
	if b.Receipt != nil {
		r := *b.Receipt
		r.Nonce, r.Chain, r.UID = digest(p.nonce[:]), b.ChainReadBack, b.UID
		b.Receipt = &r
	}
	b.Steps = slices.Clone(b.Steps)
	for i := range b.Steps {
		b.Steps[i].Ms += (p.n*int64(i+7) + 13) % 90
	}
	if b.Duration > 0 {
		b.Duration += p.n * 31 % 900
	}
	return b
}

// chain is the digest of what is on the board: the leaf first, the root left out.
func (p *piece) chain() string {
	sum := sha256.New()
	sum.Write(p.cert.Raw)
	sum.Write(p.authority.cert.Raw)
	return hex.EncodeToString(sum.Sum(nil))
}

// receipt has the board sign.
func (p *piece) receipt(r *record.Receipt) error {
	message, err := r.Message()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, p.key, sum[:])
	r.Sig = hex.EncodeToString(sig)
	return err
}
