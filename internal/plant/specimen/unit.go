// SPDX-License-Identifier: Apache-2.0

package specimen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"

	"provisioning.example/station/internal/record"
)

// answer is what a board makes of a nonce.
var answer = base64.RawURLEncoding.EncodeToString(make([]byte, 32))

// Unit is one device to be made.
type Unit struct {
	Serial, UID string
	Key         *ecdsa.PrivateKey // nil: a new one
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Provision records the whole life of a unit that passes, in five entries under one checkpoint.
func (l *Ledger) Provision(u Unit) error {
	if u.Key == nil {
		var err error
		if u.Key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return err
		}
	}
	l.units++
	cert, err := certify(&x509.Certificate{
		SerialNumber: big.NewInt(1<<60 + l.units), Subject: pkix.Name{CommonName: u.Serial},
		NotBefore: began, NotAfter: began.AddDate(1, 0, 0), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, l.issuer, &u.Key.PublicKey, l.issuerKey)
	if err != nil {
		return err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: u.Serial, OrganizationalUnit: []string{answer}},
	}, u.Key)
	if err != nil {
		return err
	}
	bodies, err := l.life(u, cert, csr)
	if err != nil {
		return err
	}
	for _, b := range bodies {
		if err := l.Append(b); err != nil {
			return err
		}
	}
	return l.Cover()
}

// life is what is recorded of a unit: begun, key, issuing, issued, end.
func (l *Ledger) life(u Unit, cert *x509.Certificate, csr []byte) ([]record.Body, error) {
	begun := record.Body{
		Kind: record.KindBegun, Run: digest(fmt.Append(nil, "run", l.units, l.Origin))[:32], Serial: u.Serial, Model: "gw-2", UID: u.UID,
		SPKI: digest(cert.RawSubjectPublicKeyInfo), Alg: "ES256", Attempt: 1,
	}
	key := begun
	key.Kind = record.KindKey
	key.Claims = []record.Claim{
		{Kind: record.ClaimSerial, Value: key.Serial}, {Kind: record.ClaimUID, Value: key.Unit()}, {Kind: record.ClaimSPKI, Value: key.SPKI},
	}
	issuing := begun
	issuing.Kind, issuing.Profile, issuing.CSR, issuing.TBS = record.KindIssuing, "mtls", l.keep(csr), l.keep(cert.RawTBSCertificate)
	issuing.CertSerial, issuing.IssuerKey = hex.EncodeToString(cert.SerialNumber.Bytes()), hex.EncodeToString(cert.AuthorityKeyId)
	issuing.NotBefore, issuing.NotAfter = record.Timestamp(cert.NotBefore), record.Timestamp(cert.NotAfter)
	issued := issuing
	issued.Kind, issued.Profile, issued.CSR, issued.Cert = record.KindIssued, "", "", l.keep(cert.Raw)
	end := issued
	end.Kind, end.Outcome, end.Rehearsal, end.Anchors = record.KindEnd, record.Passed, digest([]byte("handshake")), digest([]byte("anchors"))
	end.ChainReadBack = digest(append(append([]byte{}, cert.Raw...), l.issuer.Raw...))
	r := &record.Receipt{Alg: "ES256", Nonce: digest([]byte(end.Run)), Chain: end.ChainReadBack, Anchors: end.Anchors, Prot: 3, State: 3, UID: u.UID, Sig: "00"}
	message, err := r.Message()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, u.Key, sum[:])
	if err != nil {
		return nil, err
	}
	r.Sig, end.Receipt = hex.EncodeToString(sig), r
	return []record.Body{begun, key, issuing, issued, end}, nil
}

// Scrap takes a unit out for good: another station may use its serial and its board.
func (l *Ledger) Scrap(u Unit) error {
	if err := l.revoke(u); err != nil {
		return err
	}
	b := record.Body{Kind: record.KindScrap, Serial: u.Serial, Model: "gw-2", UID: u.UID, Reason: "scrapped", Approver: "qa-1"}
	b.Releases = []record.Claim{{Kind: record.ClaimSerial, Value: b.Serial}, {Kind: record.ClaimUID, Value: b.Unit()}}
	if err := l.Append(b); err != nil {
		return err
	}
	return l.Cover()
}

// revoke revokes a unit's newest certificate.
func (l *Ledger) revoke(u Unit) error {
	for _, raw := range slices.Backward(l.entries) {
		b, err := record.Decode(raw)
		if err != nil {
			return err
		}
		if b.Kind == record.KindIssued && b.UID == u.UID {
			return l.Append(record.Body{
				Kind: record.KindRevoked, CertSerial: b.CertSerial, Cert: b.Cert, Reason: "cessationOfOperation", Serial: b.Serial, Model: b.Model, UID: b.UID,
			})
		}
	}
	return fmt.Errorf("specimen: unit %s has no certificate", u.Serial)
}
