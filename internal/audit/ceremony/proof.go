// SPDX-License-Identifier: Apache-2.0

package ceremony

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// NotProven is what is said of keys nobody has seen evidence for.
const NotProven = "TPM not proven"

// Proof is what a root found out about a station's TPM and says under its
// signature: it stands in the certificate of the checkpoint key, as a URI of
// scheme tpm beside the one that names the ledger.
type Proof struct {
	EK       [32]byte // SHA-256 of the endorsement key's SubjectPublicKeyInfo
	By       string   // who vouches for it: the vendor's name, or [Pinned]
	AK       [34]byte // Name of the attestation key
	CA       [32]byte // SHA-256 of the intermediate's SubjectPublicKeyInfo
	Evidence [32]byte // see [Digest]
}

// Digest names the evidence: SHA-256 of "provisioning.example/station/ceremony/1
// evidence", a zero byte, and the digests of request, challenge and answer.
func Digest(request, challenge, answer [32]byte) [32]byte {
	return tagged("evidence", request[:], challenge[:], answer[:])
}

// NewProof is the proof that judged evidence gives.
func NewProof(r *Request, o Opened, a *Answer, by string) *Proof {
	return &Proof{
		EK: r.evidence.EK.Pin(), By: by, AK: r.evidence.AK.Name(), CA: r.spki,
		Evidence: Digest(o.Request, o.Digest, a.Digest()),
	}
}

// String is the proof in words.
func (p *Proof) String() string {
	if p == nil {
		return NotProven
	}
	if p.By == Pinned {
		return fmt.Sprintf("TPM proven: EK %x, %s", p.EK, Pinned)
	}
	return fmt.Sprintf("TPM proven: EK %x, vendor %s", p.EK, p.By)
}

const proofScheme = "tpm"

// maxBy bounds a vendor's name.
const maxBy = 256

// URI is how a proof stands in a certificate.
func (p *Proof) URI() *url.URL {
	return &url.URL{Scheme: proofScheme, Opaque: fmt.Sprintf("ek=%x&ak=%x&ca=%x&evidence=%x&by=%s",
		p.EK, p.AK, p.CA, p.Evidence, url.QueryEscape(p.By))}
}

// ProofIn reads the proof in the certificate of a checkpoint key; nil if there
// is none. The caller verifies the certificate.
func ProofIn(c *x509.Certificate) (*Proof, error) {
	for _, u := range c.URIs {
		if u.Scheme == proofScheme {
			return parseProof(u)
		}
	}
	return nil, nil
}

func parseProof(u *url.URL) (*Proof, error) {
	p := &Proof{}
	parts := strings.Split(u.Opaque, "&")
	into := []struct {
		name string
		dst  []byte
	}{{"ek", p.EK[:]}, {"ak", p.AK[:]}, {"ca", p.CA[:]}, {"evidence", p.Evidence[:]}}
	if len(parts) != len(into)+1 {
		return nil, fmt.Errorf("TPM proof of %d parts; allowed: %d", len(parts), len(into)+1)
	}
	for i, f := range into {
		value, ok := strings.CutPrefix(parts[i], f.name+"=")
		if !ok {
			return nil, fmt.Errorf("TPM proof: part %d is not %s", i+1, f.name)
		}
		if err := unhex(f.dst, f.name, value); err != nil {
			return nil, fmt.Errorf("TPM proof: %w", err)
		}
	}
	by, err := url.QueryUnescape(strings.TrimPrefix(parts[len(into)], "by="))
	if err != nil || by == "" || len(by) > maxBy {
		return nil, errors.New("TPM proof: nobody vouches for the endorsement key")
	}
	p.By = by
	if p.URI().String() != u.String() {
		return nil, errors.New("TPM proof: written in another way than this program does")
	}
	return p, nil
}

// Check finds out again, from the three files alone, what a root says in a
// proof: nil if all of it holds. trust may be empty: then the root's word for
// the endorsement key is taken, as its signature gives it.
func Check(p *Proof, r *Request, c *Challenge, a *Answer, root *x509.Certificate, trust Trust) error {
	if err := Judge(r, c.Opened(), a); err != nil {
		return err
	}
	e := r.evidence
	name := e.AK.Name()
	switch {
	case Digest(r.Digest(), c.Digest(), a.Digest()) != p.Evidence:
		return errors.New("the root saw other evidence than this")
	case e.EK.Pin() != p.EK || !bytes.Equal(name[:], p.AK[:]):
		return fmt.Errorf("the root saw endorsement key %x, the evidence shows %x", p.EK, e.EK.Pin())
	case r.spki != p.CA:
		return fmt.Errorf("the proof is for the key %s, the evidence for %x", hex.EncodeToString(p.CA[:]), r.spki)
	case root != nil && tagged("root", root.Raw) != c.Root:
		return errors.New("the challenge was made by another root")
	}
	if len(trust.Vendors)+len(trust.Pins) == 0 {
		return nil
	}
	_, err := e.CheckEndorsement(trust, c.Made)
	return err
}
