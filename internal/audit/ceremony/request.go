// SPDX-License-Identifier: Apache-2.0

package ceremony

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"provisioning.example/station/internal/attest"
	"provisioning.example/station/internal/record"
)

// SimulatedMark ends the common name of every authority whose key is in no
// real TPM.
const SimulatedMark = " (SIMULATED TPM)"

// Purposes are the keys that a station's TPM vouches for, in the order in which
// they stand in files. A station without a rework key locks boards for good.
var purposes = [...]string{"ca", "checkpoint", "rework"}

// maxEndorsements bounds the certificates of the endorsement key and above it.
const maxEndorsements = 8

// Request is a request that was read: its parts are signed by the keys they
// carry, name one station, and agree with each other.
type Request struct {
	ca, checkpoint       *x509.CertificateRequest
	origin               record.Origin
	spki, checkpointSPKI [32]byte
	evidence             *Evidence
}

// Evidence is what a station's TPM says of itself and its keys. By itself it
// proves nothing: it is what a [Challenge] is made for.
type Evidence struct {
	// Certificates are those of the endorsement key: its own first, then what
	// stands above it. A simulator has none.
	Certificates []*x509.Certificate
	EK, AK       *attest.Public
	// Keys by purpose: ca, checkpoint and perhaps rework.
	Keys map[string]*attest.Public
	// Counter is the Name of the NV index that the ledger is sealed with; nil
	// if there is none.
	Counter []byte
}

// RawRequest is what a request is put together from, in DER or as the TPM wrote it.
type RawRequest struct {
	CSR, CheckpointCSR []byte // CheckpointCSR may be missing; then so must what follows
	EK, AK             []byte // TPMT_PUBLIC
	Keys               map[string][]byte
	Counter            []byte
	Certificates       [][]byte
}

// Encode writes the blocks of a request. [ParseRequest] tells whether they are one.
func (r RawRequest) Encode() []byte {
	text := appendPEM(nil, labelCSR, r.CSR)
	if r.CheckpointCSR != nil {
		text = appendPEM(text, labelCheckpoint, r.CheckpointCSR)
	}
	if r.EK == nil {
		return text
	}
	counter := "-"
	if r.Counter != nil {
		counter = hex.EncodeToString(r.Counter)
	}
	text = appendPEM(text, labelEvidence, writeFields([]field{{"version", "1"}, {"counter", counter}}))
	text = appendPEM(appendPEM(text, labelEK, r.EK), labelAK, r.AK)
	for _, p := range purposes {
		if key := r.Keys[p]; key != nil {
			text = appendPEM(text, labelKey(p), key)
		}
	}
	for _, c := range r.Certificates {
		text = appendPEM(text, labelCertificate, c)
	}
	return text
}

func labelKey(purpose string) string { return "TPM " + strings.ToUpper(purpose) + " KEY" }

// ParseRequest reads a station's request. Its first block is the intermediate's
// certification request, which any CA can sign; one for the checkpoint key and
// then the TPM's evidence may follow.
func ParseRequest(text []byte) (*Request, error) {
	found, err := Blocks(text)
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	q := &queue{found}
	r := &Request{}
	der, err := q.must(labelCSR)
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	if r.ca, r.spki, err = parseCSR(der); err != nil {
		return nil, fmt.Errorf("read request for the intermediate: %w", err)
	}
	if len(r.ca.Extensions) > 0 || r.ca.Subject.CommonName == "" {
		return nil, errors.New("read request for the intermediate: it must have a common name and ask for no extensions")
	}
	if der, ok := q.take(labelCheckpoint); ok {
		if r.checkpoint, r.checkpointSPKI, err = parseCSR(der); err == nil {
			err = r.readOrigin()
		}
		if err != nil {
			return nil, fmt.Errorf("read request for the checkpoint key: %w", err)
		}
		if err := r.readEvidence(q); err != nil {
			return nil, fmt.Errorf("read the request's TPM evidence: %w", err)
		}
	}
	if err := q.end(); err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	return r, nil
}

// parseCSR reads one certification request and checks that its key signed it.
func parseCSR(der []byte) (csr *x509.CertificateRequest, spki [32]byte, err error) {
	if csr, err = x509.ParseCertificateRequest(der); err != nil {
		return nil, spki, err
	}
	if err = checkName(csr.Subject); err != nil {
		return nil, spki, err
	}
	if err = CheckCurve(csr.PublicKey); err != nil {
		return nil, spki, err
	}
	if err = csr.CheckSignature(); err != nil {
		return nil, spki, fmt.Errorf("it is not signed by its own key: %w", err)
	}
	spki, err = SPKI(csr.PublicKey)
	return csr, spki, err
}

// maxParts bounds a name.
const maxParts = 8

// checkName bounds a name that somebody asks for: it is shown to the root's
// officer and written above PEM blocks, where it may not look like anything but
// a name. Upper bounds are those of RFC 5280 A.1.
func checkName(n pkix.Name) error {
	if len(n.Names) > maxParts {
		return fmt.Errorf("a name of %d parts; allowed: up to %d", len(n.Names), maxParts)
	}
	for _, part := range n.Names {
		text, _ := part.Value.(string)
		if err := checkPart(text); err != nil {
			return err
		}
	}
	return nil
}

func checkPart(text string) error {
	switch {
	case text == "" || len(text) > 64:
		return fmt.Errorf("a name with a part of %d bytes; allowed: text of 1 to 64", len(text))
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("the name %q has a control character", text)
	}
	return nil
}

// CheckOrganization says whether a text can stand in a request as organization;
// an empty one is left out.
func CheckOrganization(text string) error {
	if text == "" {
		return nil
	}
	return checkPart(text)
}

// readOrigin takes the ledger's origin out of the checkpoint key's request and
// checks that both requests come from one station.
func (r *Request) readOrigin() error {
	c := r.checkpoint
	if len(c.Extensions) != 1 || len(c.URIs) != 1 || len(c.DNSNames)+len(c.EmailAddresses)+len(c.IPAddresses) > 0 {
		return errors.New("it must ask for one URI that names the ledger, and for nothing else")
	}
	origin, err := record.ParseOrigin(strings.TrimPrefix(c.URIs[0].String(), "ledger:"))
	if err != nil {
		return err
	}
	if err := CheckStation(origin.Station); err != nil {
		return err
	}
	if r.spki == r.checkpointSPKI {
		return errors.New("checkpoint key and intermediate's key are the same")
	}
	mark := ""
	if r.Simulated() {
		mark = SimulatedMark
	}
	if !strings.HasPrefix(r.ca.Subject.CommonName, origin.Station+" CA ") || c.Subject.CommonName != origin.String()+mark ||
		!c.Extensions[0].Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
		return fmt.Errorf("it is for %q, the intermediate for %q: not one station", c.Subject, r.ca.Subject)
	}
	r.origin = origin
	return nil
}

// readEvidence reads what the TPM says, if the request has it.
func (r *Request) readEvidence(q *queue) error {
	text, ok := q.take(labelEvidence)
	if !ok {
		return nil
	}
	e := &Evidence{Keys: map[string]*attest.Public{}}
	fields, err := readFields(text, "counter")
	if err != nil {
		return err
	}
	if fields["counter"] != "-" {
		var name [34]byte
		if err := unhex(name[:], "counter", fields["counter"]); err != nil {
			return err
		}
		e.Counter = name[:]
	}
	if e.EK, err = takePublic(q, labelEK); err != nil {
		return err
	}
	if e.AK, err = takePublic(q, labelAK); err != nil {
		return err
	}
	for _, p := range purposes {
		if p == "rework" && (len(q.rest) == 0 || q.rest[0].Type != labelKey(p)) {
			continue
		}
		if e.Keys[p], err = takePublic(q, labelKey(p)); err != nil {
			return err
		}
	}
	var set [][]byte
	for der, more := q.take(labelCertificate); more; der, more = q.take(labelCertificate) {
		set = append(set, der)
	}
	if len(set) > maxEndorsements {
		return fmt.Errorf("%d endorsement certificates; allowed: up to %d", len(set), maxEndorsements)
	}
	if len(set) > 0 {
		own, above, err := attest.ParseCertificates(set)
		if err != nil {
			return err
		}
		e.Certificates = append([]*x509.Certificate{own}, above...)
	}
	r.evidence = e
	return r.compareKeys()
}

func takePublic(q *queue, label string) (*attest.Public, error) {
	b, err := q.must(label)
	if err != nil {
		return nil, err
	}
	p, err := attest.ParsePublic(b)
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", label, err)
	}
	return p, nil
}

// compareKeys holds the TPM's keys against those that signed the requests, so
// that evidence for one key is not shown beside another.
func (r *Request) compareKeys() error {
	for _, c := range []struct {
		purpose string
		signed  [32]byte
	}{{"ca", r.spki}, {"checkpoint", r.checkpointSPKI}} {
		if pin := r.evidence.Keys[c.purpose].Pin(); pin != c.signed {
			return fmt.Errorf("the %s key in the TPM is %x, the request is signed by %x: another key", c.purpose, pin, c.signed)
		}
	}
	return nil
}

// Subject is the name the intermediate will have.
func (r *Request) Subject() pkix.Name { return r.ca.Subject }

// CSR is the certification request of the intermediate.
func (r *Request) CSR() *x509.CertificateRequest { return r.ca }

// CheckpointCSR is that of the checkpoint key; nil if there is none.
func (r *Request) CheckpointCSR() *x509.CertificateRequest { return r.checkpoint }

// SPKI is the SHA-256 of the intermediate's DER SubjectPublicKeyInfo: what is
// compared over the telephone.
func (r *Request) SPKI() [32]byte { return r.spki }

// Origin is the ledger whose checkpoint key is to be certified; ok is false
// when the request has no such key.
func (r *Request) Origin() (origin record.Origin, ok bool) { return r.origin, r.checkpoint != nil }

// CheckpointSPKI is the SHA-256 of the checkpoint key, zero if there is none.
func (r *Request) CheckpointSPKI() [32]byte { return r.checkpointSPKI }

// Simulated says whether the station calls its TPM simulated.
func (r *Request) Simulated() bool { return strings.HasSuffix(r.ca.Subject.CommonName, SimulatedMark) }

// Evidence is what the TPM said; nil if the request has none.
func (r *Request) Evidence() *Evidence { return r.evidence }

// Encode writes the blocks again, in the one form they have.
func (r *Request) Encode() []byte {
	raw := RawRequest{CSR: r.ca.Raw}
	if r.checkpoint != nil {
		raw.CheckpointCSR = r.checkpoint.Raw
	}
	if e := r.evidence; e != nil {
		raw.EK, raw.AK, raw.Counter, raw.Keys = e.EK.Bytes(), e.AK.Bytes(), e.Counter, map[string][]byte{}
		for p, key := range e.Keys {
			raw.Keys[p] = key.Bytes()
		}
		for _, c := range e.Certificates {
			raw.Certificates = append(raw.Certificates, c.Raw)
		}
	}
	return raw.Encode()
}

// Digest names the request: a hash of its blocks, whatever text stands between them.
func (r *Request) Digest() [32]byte { return tagged("request", r.Encode()) }

// Same says whether two requests ask for the same keys under the same names,
// with the same evidence; signatures differ each time.
func (r *Request) Same(o *Request) bool {
	return bytes.Equal(r.ca.RawSubject, o.ca.RawSubject) && r.spki == o.spki && r.origin == o.origin &&
		r.checkpointSPKI == o.checkpointSPKI && r.evidence.same(o.evidence)
}

func (e *Evidence) same(o *Evidence) bool {
	if e == nil || o == nil {
		return e == o
	}
	for _, p := range purposes {
		x, y := e.Keys[p], o.Keys[p]
		if (x == nil) != (y == nil) || x != nil && x.Name() != y.Name() {
			return false
		}
	}
	return e.EK.Name() == o.EK.Name() && e.AK.Name() == o.AK.Name() && bytes.Equal(e.Counter, o.Counter) &&
		slices.EqualFunc(e.Certificates, o.Certificates, (*x509.Certificate).Equal)
}
