// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"crypto"
	"crypto/ecdsa"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/tpm"
)

// TestGoldenState powers up a simulator's state from an earlier day. It fails
// when an upgrade of go-tpm-tools changes the layout of the memory: then raise
// simulatorVersion and make a new file by the same steps, see makeGolden.
func TestGoldenState(t *testing.T) {
	golden := filepath.Join("testdata", "simulator-state")
	file := filepath.Join(t.TempDir(), "state")
	if os.Getenv("TPM_MAKE_GOLDEN") != "" {
		makeGolden(t, golden)
	}
	data, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(golden + ".key")
	if err != nil {
		t.Fatal(err)
	}
	var ref tpm.KeyRef
	if err := ref.UnmarshalText([]byte(strings.TrimSpace(string(text)))); err != nil {
		t.Fatal(err)
	}
	m := open(t, tpm.Config{Spec: "sim:" + file})
	k := find(t, m, ref)
	if err := sign(t.Context(), k, crypto.SHA256, "x"); err != nil {
		t.Error(err)
	}
	if _, ok := k.Public().(*ecdsa.PublicKey); !ok {
		t.Errorf("public key is %T", k.Public())
	}
}

// makeGolden writes the files that TestGoldenState reads.
func makeGolden(t *testing.T, golden string) {
	t.Helper()
	m := open(t, tpm.Config{Spec: "sim:" + golden})
	ref := newKey(t, m, tpm.CA).Ref()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(golden + ".lock"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(golden+".key", []byte(ref.String()+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestSimulatorCrash goes on from what was saved when there was no orderly end,
// and refuses a file that is not whole.
func TestSimulatorCrash(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state")
	m := open(t, tpm.Config{Spec: "sim:" + file})
	ref := newKey(t, m, tpm.CA).Ref()
	crashed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, crashed, 0o600); err != nil {
		t.Fatal(err)
	}
	m = open(t, tpm.Config{Spec: "sim:" + file})
	if err := sign(t.Context(), find(t, m, ref), crypto.SHA256, "x"); err != nil {
		t.Error(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte(nil), crashed...)
	flipped[len(flipped)/2] ^= 1
	older := []byte(strings.Replace(string(crashed), "v0.4.11", "v0.4.10", 1))
	for want, bad := range map[string][]byte{
		"the checksum is wrong": flipped, "cut short": crashed[:len(crashed)-1], "v0.4.10": older, "reads": {},
	} {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := tpm.Open(t.Context(), tpm.Config{Spec: "sim:" + file}); err == nil {
			m.Close()
			t.Errorf("opened a file that should say %q", want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestSimulatorUnsaved counts as lost when its state can not be written: what
// was not saved was not done.
func TestSimulatorUnsaved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	m := open(t, tpm.Config{Spec: "sim:" + filepath.Join(dir, "state"), Patience: 1})
	kept := newKey(t, m, tpm.CA)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.CreateKey(t.Context(), tpm.CA, kept.Public().(*ecdsa.PublicKey).Curve, []byte(pin)); err == nil {
		t.Error("made a key that could not be saved")
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if err := sign(t.Context(), kept, crypto.SHA256, "x"); err != nil {
		t.Error(err)
	}
	if k := newKey(t, m, tpm.CA); k.Ref().Handle != kept.Ref().Handle+1 {
		t.Errorf("the next key is at %#x", k.Ref().Handle)
	}
}
