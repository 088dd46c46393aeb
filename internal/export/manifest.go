// SPDX-License-Identifier: Apache-2.0

package export

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/record"
)

// ManifestKey signs manifests and nothing else.
type ManifestKey struct {
	// Signer is a P-256 key. If it has a method SignContext(ctx, digest, opts) as
	// well, that one is called.
	Signer crypto.Signer
	// Chain is the key's certificate first, then its issuers, the root left out.
	Chain        []*x509.Certificate
	Organization string // that provisions; "": none is named
}

// signContext is a signer that can be told to stop.
type signContext interface {
	SignContext(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

// signedUnit is one element of a manifest: a JWS in flattened JSON (RFC 7515
// 7.2.2), in the shape of Microchip's manifests. uniqueId stands outside of the
// signature, to find a unit by; the one inside counts.
type signedUnit struct {
	Payload   string         `json:"payload"`
	Protected string         `json:"protected"`
	Header    manifestHeader `json:"header"`
	Signature string         `json:"signature"`
}

type manifestHeader struct {
	UniqueID string `json:"uniqueId"`
}

// protectedHeader is signed along with the payload (RFC 7515 4.1).
type protectedHeader struct {
	Alg    string   `json:"alg"`
	Type   string   `json:"typ"`
	KeyID  string   `json:"kid"`      // subjectKeyIdentifier, base64url
	Digest string   `json:"x5t#S256"` // of the certificate
	Chain  []string `json:"x5c"`      // base64 of the DER, as RFC 7515 4.1.6 wants it
}

// manifestUnit is what is said of a unit.
type manifestUnit struct {
	Version        int            `json:"version"` // 1
	Model          string         `json:"model"`
	UniqueID       string         `json:"uniqueId"`
	SerialNumber   string         `json:"serialNumber"`
	Provisioner    entityName     `json:"provisioner"`
	GroupID        string         `json:"groupId,omitempty"`
	Timestamp      string         `json:"provisioningTimestamp"`
	PublicKeySet   keySet         `json:"publicKeySet"`
	Evidence       manifestSource `json:"ledgerEntry"`
	SimulatedTPM   bool           `json:"simulatedTpm,omitempty"`
	ProvisionedBy  string         `json:"software"`
	FirmwareDigest string         `json:"firmwareSha256,omitempty"`
}

type entityName struct {
	Organization string `json:"organizationName,omitempty"`
	Unit         string `json:"organizationalUnitName"`
}

// manifestSource is where the ledger says so.
type manifestSource struct {
	Epoch int    `json:"epoch"`
	Seq   int64  `json:"seq"`
	Leaf  string `json:"leafHash"` // of the Merkle tree, hex
}

type keySet struct {
	Keys []publicJWK `json:"keys"`
}

// publicJWK is a public key (RFC 7517, RFC 7518 6, RFC 8037 2) and its chain.
type publicJWK struct {
	KeyID    string   `json:"kid"`
	Type     string   `json:"kty"`
	Curve    string   `json:"crv,omitempty"`
	X        string   `json:"x,omitempty"`
	Y        string   `json:"y,omitempty"`
	Modulus  string   `json:"n,omitempty"`
	Exponent string   `json:"e,omitempty"`
	Chain    []string `json:"x5c"`
}

var b64 = base64.RawURLEncoding

func x5c(chain ...*x509.Certificate) []string {
	out := make([]string, len(chain))
	for i, c := range chain {
		out[i] = base64.StdEncoding.EncodeToString(c.Raw)
	}
	return out
}

// writeManifest writes a manifest: a JSON array of signed units, one a line.
func writeManifest(ctx context.Context, path string, w *units, o *PackOptions) (Result, error) {
	protected, err := o.Manifest.protected()
	if err != nil {
		return Result{}, fmt.Errorf("export: %w", err)
	}
	return whole(path, nil, func(out *os.File) (Result, error) {
		m := manifest{w: &counter{w: out, hash: sha256.New()}, o: o, protected: protected}
		if err := w.each(ctx, o.Selection, func(u *unit) error { return m.add(ctx, u) }); err != nil {
			return Result{}, fmt.Errorf("export: %w", err)
		}
		return m.end()
	})
}

// protected checks the key's certificate and makes the header all units share.
func (k ManifestKey) protected() (string, error) {
	if k.Signer == nil || len(k.Chain) == 0 {
		return "", errors.New("a manifest needs a key and its certificate")
	}
	public, ok := k.Signer.Public().(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() || !public.Equal(k.Chain[0].PublicKey) {
		return "", errors.New("the manifest key is not the P-256 key that its certificate is for")
	}
	if _, err := issuer.ManifestStation(k.Chain[0]); err != nil {
		return "", err
	}
	digest := sha256.Sum256(k.Chain[0].Raw)
	text, err := json.Marshal(protectedHeader{
		Alg: "ES256", KeyID: b64.EncodeToString(k.Chain[0].SubjectKeyId), Digest: b64.EncodeToString(digest[:]),
		Chain: x5c(k.Chain...), Type: "station-manifest+json",
	})
	return b64.EncodeToString(text), err
}

// manifest is a manifest being written.
type manifest struct {
	w         *counter
	o         *PackOptions
	protected string
	n, seen   int64
}

func (m *manifest) add(ctx context.Context, u *unit) error {
	if m.seen++; m.o.Progress != nil && m.seen%packStep == 0 {
		m.o.Progress(m.seen)
	}
	if u.status != Live {
		return nil
	}
	line, err := m.sign(ctx, u)
	if err != nil {
		return fmt.Errorf("unit %s: %w", u.entry.Body.Serial, err)
	}
	before := ",\n"
	if m.n == 0 {
		before = "[\n"
	}
	m.n++
	_, err = fmt.Fprintf(m.w, "%s%s", before, line)
	return err
}

func (m *manifest) end() (Result, error) {
	text := "\n]\n"
	if m.n == 0 {
		text = "[]\n"
	}
	if _, err := io.WriteString(m.w, text); err != nil {
		return Result{}, fmt.Errorf("export: %w", err)
	}
	return Result{Rows: m.n, Bytes: m.w.n, SHA256: m.w.sum()}, nil
}

// sign makes the JWS of a unit: ES256 over protected "." payload (RFC 7518 3.4).
func (m *manifest) sign(ctx context.Context, u *unit) ([]byte, error) {
	payload, err := m.payload(u)
	if err != nil {
		return nil, err
	}
	text := b64.EncodeToString(payload)
	digest := sha256.Sum256([]byte(m.protected + "." + text))
	signature, err := m.o.Manifest.sign(ctx, digest[:])
	if err != nil {
		return nil, fmt.Errorf("sign its manifest: %w", err)
	}
	return json.Marshal(signedUnit{text, m.protected, manifestHeader{u.entry.Body.UID}, b64.EncodeToString(signature)})
}

func (k ManifestKey) sign(ctx context.Context, digest []byte) ([]byte, error) {
	var der []byte
	var err error
	if s, ok := k.Signer.(signContext); ok {
		der, err = s.SignContext(ctx, digest, crypto.SHA256)
	} else {
		der, err = k.Signer.Sign(rand.Reader, digest, crypto.SHA256)
	}
	if err != nil {
		return nil, err
	}
	return fixedSignature(der)
}

// fixedSignature turns an ASN.1 ECDSA signature on P-256 into the r and s of 32
// bytes each that RFC 7518 3.4 wants.
func fixedSignature(der []byte) ([]byte, error) {
	var r, s big.Int
	var body cryptobyte.String
	in := cryptobyte.String(der)
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !in.Empty() || !body.ReadASN1Integer(&r) || !body.ReadASN1Integer(&s) || !body.Empty() ||
		r.Sign() <= 0 || s.Sign() <= 0 || r.BitLen() > 256 || s.BitLen() > 256 {
		return nil, errors.New("the key returned what is no signature on P-256")
	}
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out, nil
}

func (m *manifest) payload(u *unit) ([]byte, error) {
	b := u.entry.Body
	key, err := jwk(u.leaf.PublicKey)
	if err != nil {
		return nil, err
	}
	key.KeyID, key.Chain = b64.EncodeToString(u.leaf.SubjectKeyId), x5c(u.leaf, u.issuer)
	at, err := record.ParseTime(b.Time)
	if err != nil {
		return nil, err
	}
	return json.Marshal(manifestUnit{
		Version: 1, Model: b.Model, UniqueID: b.UID, SerialNumber: b.Serial,
		Provisioner: entityName{m.o.Manifest.Organization, m.o.Station}, GroupID: b.Order,
		Timestamp: at.Format("2006-01-02T15:04:05.000Z"), PublicKeySet: keySet{[]publicJWK{key}},
		Evidence:     manifestSource{u.entry.Epoch, u.entry.Seq, hex.EncodeToString(u.entry.Leaf[:])},
		SimulatedTPM: b.Simulated || m.o.Simulated, ProvisionedBy: b.Software, FirmwareDigest: b.FirmwareDigest,
	})
}

// jwk writes a public key as RFC 7518 6 and RFC 8037 2 do.
func jwk(public crypto.PublicKey) (publicJWK, error) {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // 04, x, y, both of full length
		if err != nil {
			return publicJWK{}, fmt.Errorf("its key: %w", err)
		}
		half := (len(point) - 1) / 2
		return publicJWK{Type: "EC", Curve: k.Curve.Params().Name, X: b64.EncodeToString(point[1 : 1+half]), Y: b64.EncodeToString(point[1+half:])}, nil
	case *rsa.PublicKey:
		return publicJWK{Type: "RSA", Modulus: b64.EncodeToString(k.N.Bytes()), Exponent: b64.EncodeToString(big.NewInt(int64(k.E)).Bytes())}, nil
	case ed25519.PublicKey:
		return publicJWK{Type: "OKP", Curve: "Ed25519", X: b64.EncodeToString(k)}, nil
	}
	return publicJWK{}, fmt.Errorf("its key of type %T has no form as JWK", public)
}
