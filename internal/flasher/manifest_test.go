// SPDX-License-Identifier: Apache-2.0

package flasher_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/flasher"
)

// release is a folder as whoever releases firmware hands it over.
type release struct {
	t   *testing.T
	dir string
}

func newRelease(t *testing.T) *release {
	r := &release{t, t.TempDir()}
	img := image(2, 400)
	r.write("fw.bin", string(img))
	r.write("fw.toml", manifest(img, "2.4.7", "PC-200"))
	r.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", r.path("release.key"))
	r.openssl("ec", "-in", r.path("release.key"), "-pubout", "-out", r.path("release.pem"))
	r.sign("release.key")
	return r
}

func manifest(img []byte, version, model string) string {
	return fmt.Sprintf("sha256 = \"%x\"\nversion = %q\nmodel = %q\n", sha256.Sum256(img), version, model)
}

func (r *release) path(name string) string { return filepath.Join(r.dir, name) }

func (r *release) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *release) openssl(args ...string) {
	r.t.Helper()
	if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
		r.t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
}

func (r *release) sign(key string) {
	r.t.Helper()
	r.openssl("dgst", "-sha256", "-sign", r.path(key), "-out", r.path("fw.toml.sig"), r.path("fw.toml"))
}

func (r *release) key() *ecdsa.PublicKey {
	r.t.Helper()
	key, err := flasher.ReadReleaseKey(r.path("release.pem"))
	if err != nil {
		r.t.Fatal(err)
	}
	return key
}

func TestManifest(t *testing.T) {
	r := newRelease(t)
	img, err := flasher.ReadImage(r.path("fw.bin"))
	if err != nil || img.Name() != "fw.bin" {
		t.Fatal(img, err)
	}
	m, err := flasher.ReadManifest(r.path("fw.toml"), r.key())
	if err != nil || !m.Signed() {
		t.Fatal(m, err)
	}
	if err := errors.Join(m.Describes(img), m.Suits("PC-200", "rev-c")); err != nil {
		t.Error(err)
	}
	if err := m.Suits("PC-300", ""); !errors.Is(err, flasher.ErrBoard) {
		t.Errorf("another model: %v", err)
	}
	other, err := flasher.Parse(image(2, 401))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Describes(other); !errors.Is(err, flasher.ErrManifest) || !strings.Contains(err.Error(), "sha256") {
		t.Errorf("another image: %v", err)
	}
	r.write("fw.toml", manifest(image(2, 400), "2.4.8", "PC-200")+"hardware = [\"a\", \"b\"]\n")
	if m, err = flasher.ReadManifest(r.path("fw.toml"), nil); err != nil || m.Signed() {
		t.Fatal(m, err)
	}
	if err := m.Describes(img); !errors.Is(err, flasher.ErrManifest) || !strings.Contains(err.Error(), "2.4.8") {
		t.Errorf("another version: %v", err)
	}
	if a, c := m.Suits("PC-200", "a"), m.Suits("PC-200", "c"); a != nil || !errors.Is(c, flasher.ErrBoard) {
		t.Errorf("revision a: %v, c: %v", a, c)
	}
}

// TestSignature: a manifest counts only under the key the product names.
func TestSignature(t *testing.T) {
	r := newRelease(t)
	key := r.key()
	refused := func(what string) {
		t.Helper()
		if _, err := flasher.ReadManifest(r.path("fw.toml"), key); !errors.Is(err, flasher.ErrSignature) {
			t.Errorf("%s: %v", what, err)
		}
	}
	r.write("fw.toml", manifest(image(2, 400), "2.4.7", "PC-201"))
	refused("a manifest changed after it was signed")
	r.write("fw.toml", "not = even [ TOML")
	refused("the signature comes first")
	r.write("fw.toml", manifest(image(2, 400), "2.4.7", "PC-200"))
	r.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", r.path("other.key"))
	r.sign("other.key")
	refused("another key")
	r.write("fw.toml.sig", strings.Repeat("x", 300))
	refused("a long signature")
	r.write("fw.toml.sig", "")
	refused("an empty signature")
	if err := os.Remove(r.path("fw.toml.sig")); err != nil {
		t.Fatal(err)
	}
	refused("no signature")
}

func TestReleaseKey(t *testing.T) {
	r := newRelease(t)
	r.openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", r.path("p384.key"))
	r.openssl("ec", "-in", r.path("p384.key"), "-pubout", "-out", r.path("p384.pem"))
	r.write("empty.pem", "")
	r.write("broken.pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
	for name, want := range map[string]string{
		"p384.pem": "not on P-256", "release.key": "one PEM block", "empty.pem": "one PEM block", "broken.pem": "broken.pem: ", "none.pem": "no such file",
	} {
		if _, err := flasher.ReadReleaseKey(r.path(name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

func TestManifestRefuses(t *testing.T) {
	r := newRelease(t)
	sha := "sha256 = \"" + strings.Repeat("ab", 32) + "\"\n"
	rest := "version = \"1.2.3\"\nmodel = \"m\"\n"
	for text, want := range map[string]string{
		"":                                         "m.toml:1: sha256",
		"sha256 = \"abc\"\n" + rest:                "m.toml:1: sha256",
		sha + "version = \"1.2\"\n":                "m.toml:2: version",
		sha + "version = \"1.2.3\"\n":              "m.toml:1: model",
		sha + rest + "color = 1\n":                 "m.toml:4: unknown key \"color\"",
		sha + rest + "hardware = [\"\"]\n":         "m.toml:4: hardware",
		sha + rest + "hardware = \"a\"\n":          "m.toml:4: ",
		strings.ReplaceAll(sha, "ab", "AB") + rest: "m.toml:1: sha256",
		sha + rest + "model = \"again\"\n":         "m.toml:4: ",
		"# a comment\n" + sha + "version = 1":      "m.toml:3: ",
	} {
		r.write("m.toml", text)
		if _, err := flasher.ReadManifest(r.path("m.toml"), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestImageFiles: what is no image is told with the file's name.
func TestImageFiles(t *testing.T) {
	r := newRelease(t)
	r.write("cut.bin", string(image(1, 100)[:90]))
	if err := os.Truncate(r.path("fw.bin"), flasher.MaxImage+1); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"cut.bin": flasher.ErrTruncated, "fw.bin": flasher.ErrImage, "none.bin": os.ErrNotExist} {
		if _, err := flasher.ReadImage(r.path(name)); !errors.Is(err, want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := flasher.ReadImage(r.dir); err == nil || !strings.Contains(err.Error(), "not an ordinary file") {
		t.Errorf("a folder: %v", err)
	}
}
