// SPDX-License-Identifier: Apache-2.0

// Package ceremony is what a root and a station say to each other, by file,
// before the root signs the station's intermediate, and what it proves:
//
//	station -> root   [Request]    certification requests, and what the TPM says of itself
//	root -> station   [Challenge]  a secret that only the TPM with that endorsement key can open
//	station -> root   [Answer]     the secret, and the TPM's word that it made the keys itself
//
// Without the second round a request can be signed as well; then nothing is
// known about the TPM. With it, [Proof] is what the root found out; it stands in
// the certificate of the checkpoint key, under the root's signature, and [Check]
// finds it out again from the three files, years later and without a TPM.
//
// The files are PEM (RFC 7468). Only their blocks count; text between them is
// for people.
package ceremony

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Bounds of what is read: the largest file is a request with a long chain of
// endorsement certificates.
const (
	MaxFile   = 256 << 10
	maxBlocks = 24
)

const (
	labelCSR          = "CERTIFICATE REQUEST"
	labelCheckpoint   = "CHECKPOINT KEY REQUEST"
	labelEvidence     = "TPM EVIDENCE"
	labelEK           = "TPM ENDORSEMENT KEY"
	labelAK           = "TPM ATTESTATION KEY"
	labelCertificate  = "CERTIFICATE"
	labelChallenge    = "STATION CHALLENGE"
	labelCredential   = "TPM CREDENTIAL"
	labelSealedSecret = "TPM ENCRYPTED SECRET"
	labelAnswer       = "STATION ANSWER"
)

// Blocks reads the PEM blocks of a file. Text between blocks is allowed,
// headers inside them and anything that begins like a block and is none are
// not. 1 to 24 blocks, 256 KiB.
func Blocks(text []byte) ([]*pem.Block, error) {
	if len(text) > MaxFile {
		return nil, fmt.Errorf("%d bytes; allowed: up to %d", len(text), MaxFile)
	}
	begins := strings.Count(string(text), "-----BEGIN ")
	if begins == 0 || begins > maxBlocks {
		return nil, fmt.Errorf("%d PEM blocks; allowed: 1 to %d", begins, maxBlocks)
	}
	var found []*pem.Block
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		if len(b.Headers) > 0 {
			return nil, fmt.Errorf("PEM block %s has headers, which are not allowed", b.Type)
		}
		found = append(found, b)
	}
	if len(found) != begins {
		return nil, fmt.Errorf("of %d PEM blocks only %d can be read", begins, len(found))
	}
	return found, nil
}

func appendPEM(dst []byte, label string, content []byte) []byte {
	return append(dst, pem.EncodeToMemory(&pem.Block{Type: label, Bytes: content})...)
}

// queue takes blocks from the front, by label.
type queue struct{ rest []*pem.Block }

// take returns the content of the next block if it has this label.
func (q *queue) take(label string) ([]byte, bool) {
	if len(q.rest) == 0 || q.rest[0].Type != label {
		return nil, false
	}
	b := q.rest[0].Bytes
	q.rest = q.rest[1:]
	return b, true
}

// must takes a block that may not be missing.
func (q *queue) must(label string) ([]byte, error) {
	if b, ok := q.take(label); ok {
		return b, nil
	}
	if len(q.rest) == 0 {
		return nil, fmt.Errorf("it ends where block %s must stand", label)
	}
	return nil, fmt.Errorf("block %.40q stands where %s must", q.rest[0].Type, label)
}

func (q *queue) end() error {
	if len(q.rest) > 0 {
		return fmt.Errorf("block %.40q stands where nothing may", q.rest[0].Type)
	}
	return nil
}

// A field is one line of a block that holds text: a name, a space, a value.
type field struct{ name, value string }

func writeFields(fields []field) []byte {
	var b bytes.Buffer
	for _, f := range fields {
		fmt.Fprintf(&b, "%s %s\n", f.name, f.value)
	}
	return b.Bytes()
}

// maxFields bounds a block of text.
const maxFields = 4 << 10

// readFields reads exactly the fields named, in their order, each one line of
// printable ASCII. The first one is the version, which must be 1.
func readFields(text []byte, names ...string) (map[string]string, error) {
	if len(text) > maxFields {
		return nil, fmt.Errorf("%d bytes of fields; allowed: up to %d", len(text), maxFields)
	}
	lines := strings.SplitAfter(string(text), "\n")
	values := map[string]string{}
	if version, _, _ := strings.Cut(lines[0], "\n"); version != "version 1" {
		return nil, fmt.Errorf("it says %.40q; known: version 1; a newer program wrote it", version)
	}
	names = append([]string{"version"}, names...)
	if len(lines) != len(names)+1 || lines[len(names)] != "" {
		return nil, fmt.Errorf("%d lines; allowed: %s", len(lines)-1, strings.Join(names, ", "))
	}
	for i, name := range names {
		value, ok := strings.CutPrefix(strings.TrimSuffix(lines[i], "\n"), name+" ")
		if !ok || value == "" || strings.ContainsFunc(value, func(r rune) bool { return r < '!' || r > '~' }) {
			return nil, fmt.Errorf("line %d is %.80q; allowed: %s and a value", i+1, lines[i], name)
		}
		values[name] = value
	}
	return values, nil
}

// unhex reads lower-case hex of a fixed length into dst.
func unhex(dst []byte, name, text string) error {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(dst) || hex.EncodeToString(b) != text {
		return fmt.Errorf("%s is %.80q; allowed: %d bytes in lower-case hex", name, text, len(dst))
	}
	copy(dst, b)
	return nil
}

func untime(name, text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.UTC().Format(time.RFC3339) != text {
		return t, fmt.Errorf("%s is %.40q; allowed: a time like 2026-11-22T07:31:00Z", name, text)
	}
	return t.UTC(), nil
}

// tagged is the SHA-256 of parts under a name that nothing else is hashed
// under: "provisioning.example/station/ceremony/1 ", the name, a zero byte, then
// the parts one behind the other, of which only the last may vary in length.
func tagged(name string, parts ...[]byte) [32]byte {
	h := sha256.New()
	h.Write([]byte("provisioning.example/station/ceremony/1 " + name + "\x00"))
	for _, p := range parts {
		h.Write(p)
	}
	return [32]byte(h.Sum(nil))
}

// CheckCurve lets through the keys that TPMs and boards have in common.
func CheckCurve(public crypto.PublicKey) error {
	k, ok := public.(*ecdsa.PublicKey)
	if !ok || (k.Curve != elliptic.P256() && k.Curve != elliptic.P384()) {
		return fmt.Errorf("key of type %T; allowed: ECDSA P-256 and P-384", public)
	}
	return nil
}

// SPKI is the SHA-256 of a public key's DER SubjectPublicKeyInfo.
func SPKI(public crypto.PublicKey) ([32]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return [32]byte{}, fmt.Errorf("encode public key: %w", err)
	}
	return sha256.Sum256(der), nil
}

// CheckStation says whether a name, PLANT/STATION, can stand in certificates.
func CheckStation(name string) error {
	plant, station, ok := strings.Cut(name, "/")
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}
	// 36 leaves room in a common name of 64 bytes for key id and mark.
	if !ok || plant == "" || station == "" || len(name) > 36 || strings.ContainsFunc(plant+station, bad) {
		return fmt.Errorf("station name %.64q; allowed: PLANT/STATION of letters, digits, dot, hyphen and underscore, up to 36 characters", name)
	}
	return nil
}

var errNoEvidence = errors.New("the request holds no TPM evidence: the station must make it anew, with: station ca request --replace")
