// SPDX-License-Identifier: Apache-2.0

package flasher

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"provisioning.example/station/internal/settings"
)

// Why an image may not go onto a board, to be told apart with errors.Is.
var (
	// ErrSignature: the manifest is not signed by the release key.
	ErrSignature = errors.New("the manifest is not signed by the release key")
	// ErrManifest: the manifest speaks of another image.
	ErrManifest = errors.New("the manifest is for another image")
	// ErrBoard: the image is for other boards.
	ErrBoard = errors.New("the image is for another board")
)

// A Manifest says what an image file is and for which boards.
type Manifest struct {
	sha256   [32]byte
	version  string
	model    string
	hardware []string
	signed   bool
}

// manifestFile is a manifest as its file says it, in TOML.
type manifestFile struct {
	SHA256   string   `toml:"sha256"`
	Version  string   `toml:"version"`
	Model    string   `toml:"model"`
	Hardware []string `toml:"hardware"`
}

var (
	digestText  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	versionText = regexp.MustCompile(`^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,5}(\.[0-9]{1,10})?$`)
)

// maxSignature is how much of a signature file is read, in bytes: DER over P-256
// has 72 at most, and what is longer does not verify.
const maxSignature = 256

// ReadManifest reads a manifest. With a key, its signature is checked before
// anything else of it is looked at: the file of the same name and ".sig" holds
// an ECDSA signature, DER, over the SHA-256 of the manifest's bytes, as
// `openssl dgst -sha256 -sign` makes it. Errors start with the file's path.
func ReadManifest(path string, key *ecdsa.PublicKey) (*Manifest, error) {
	text, err := settings.Read(path)
	if err != nil {
		return nil, err
	}
	if key != nil {
		if err := checkSignature(path+".sig", text, key); err != nil {
			return nil, err
		}
	}
	m, err := parseManifest(path, text)
	if err != nil {
		return nil, err
	}
	m.signed = key != nil
	return m, nil
}

func checkSignature(path string, text []byte, key *ecdsa.PublicKey) error {
	sig, err := readFile(path, maxSignature)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	digest := sha256.Sum256(text)
	if !ecdsa.VerifyASN1(key, digest[:], sig) {
		return fmt.Errorf("%s: %w", path, ErrSignature)
	}
	return nil
}

// parseManifest reads a manifest's text; errors start with path:line.
func parseManifest(path string, text []byte) (*Manifest, error) {
	var f manifestFile
	if err := settings.Decode(path, text, &f); err != nil {
		return nil, err
	}
	err := settings.Verify(path, text, []settings.Check{
		{Key: "sha256", OK: digestText.MatchString(f.SHA256), Allowed: "the SHA-256 of the image file, 64 lower-case hex digits"},
		{Key: "version", OK: versionText.MatchString(f.Version), Allowed: "the image's version: 1.2.3, or 1.2.3.4 with a build number"},
		{Key: "model", OK: f.Model != "" && len(f.Model) <= 64, Allowed: "the model that the boards report, 1 to 64 bytes"},
		{Key: "hardware", OK: len(f.Hardware) <= 64 && !slices.Contains(f.Hardware, ""), Allowed: "the revisions that the boards report, up to 64"},
	})
	if err != nil {
		return nil, err
	}
	m := &Manifest{version: f.Version, model: f.Model, hardware: f.Hardware}
	_, err = hex.Decode(m.sha256[:], []byte(f.SHA256))
	return m, err
}

// Model is the model of the boards that the image is for.
func (m *Manifest) Model() string { return m.model }

// Signed tells whether a release key signed the manifest.
func (m *Manifest) Signed() bool { return m.signed }

// Describes compares the manifest with an image. The error is ErrManifest.
func (m *Manifest) Describes(i *Image) error {
	switch {
	case m.sha256 != i.file:
		return fmt.Errorf("%w: its sha256 is %x, that of the image file %x", ErrManifest, m.sha256[:8], i.file[:8])
	case m.version != i.version.String():
		return fmt.Errorf("%w: its version is %s, the image's %s", ErrManifest, m.version, i.version)
	}
	return nil
}

// Suits compares the manifest with what a board says of itself. The error is
// ErrBoard. A manifest without revisions suits all of its model.
func (m *Manifest) Suits(model, hardware string) error {
	switch {
	case m.model != model:
		return fmt.Errorf("%w: it is for model %q, the board is %q", ErrBoard, m.model, model)
	case len(m.hardware) > 0 && !slices.Contains(m.hardware, hardware):
		return fmt.Errorf("%w: it is for revisions %q, the board is %q", ErrBoard, m.hardware, hardware)
	}
	return nil
}

// ReadReleaseKey reads the public key that manifests are signed under: one PEM
// block, SubjectPublicKeyInfo, P-256.
func ReadReleaseKey(path string) (*ecdsa.PublicKey, error) {
	text, err := settings.Read(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" || len(rest) > 0 {
		return nil, fmt.Errorf("%s: one PEM block \"PUBLIC KEY\" is needed, and nothing behind it", path)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	p256, ok := key.(*ecdsa.PublicKey)
	if !ok || p256.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s: the key is not on P-256", path)
	}
	return p256, nil
}
