// SPDX-License-Identifier: Apache-2.0

package lot

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/settings"
	"provisioning.example/station/internal/tpm"
)

// home is a station's home with its TPM.
type home struct {
	ledger  string
	origin  record.Origin
	chip    *tpm.TPM
	signer  crypto.Signer // of checkpoints
	counter *tpm.Counter
}

// homeFile is station.toml as a demo has it.
type homeFile struct {
	Name    string            `toml:"name"`
	Epoch   int               `toml:"epoch"`
	TPM     string            `toml:"tpm"`
	Product string            `toml:"product"`
	Slots   int               `toml:"slots"`
	MinFree int               `toml:"min_free_mib"`
	Keys    map[string]string `toml:"keys"`
}

func openHome(ctx context.Context, dir string) (_ *home, err error) {
	path := filepath.Join(dir, "station.toml")
	text, err := settings.Read(path)
	if err != nil {
		return nil, err
	}
	var f homeFile
	if err := settings.Decode(path, text, &f); err != nil {
		return nil, err
	}
	state, simulated := strings.CutPrefix(f.TPM, "sim:")
	if !simulated {
		return nil, fmt.Errorf("%s: the TPM is %s; a lot has a simulated one", path, f.TPM)
	}
	auth, err := os.ReadFile(filepath.Join(dir, "tpm", "checkpoint.auth"))
	if err != nil {
		return nil, err
	}
	h := &home{ledger: filepath.Join(dir, "ledger", "ledger.db"), origin: record.Origin{Station: f.Name, Epoch: f.Epoch}}
	if h.chip, err = tpm.Open(ctx, tpm.Config{Spec: "sim:" + filepath.Join(dir, state)}); err != nil {
		return nil, err
	}
	if err := h.openKeys(ctx, f.Keys, auth); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (h *home) openKeys(ctx context.Context, keys map[string]string, auth []byte) error {
	var key tpm.KeyRef
	var counter tpm.CounterRef
	if err := errors.Join(key.UnmarshalText([]byte(keys["checkpoint"])), counter.UnmarshalText([]byte(keys["counter"]))); err != nil {
		return err
	}
	secret := func() ([]byte, error) { return auth, nil }
	signer, err := h.chip.Key(ctx, key, secret)
	if err != nil {
		return err
	}
	h.signer = signer
	h.counter, err = h.chip.Counter(ctx, counter, secret)
	return err
}

func (h *home) Close() error { return h.chip.Close() }

// authorityOf is an intermediate whose key is in memory.
type authorityOf struct {
	cert, root *x509.Certificate
	key        *ecdsa.PrivateKey
}

// newAuthority has the demo's root certify a key.
func newAuthority(dir string, origin record.Origin, checkpoint crypto.Signer) (*authorityOf, error) {
	passphrase, err := os.ReadFile(filepath.Join(dir, "root.passphrase"))
	if err != nil {
		return nil, err
	}
	root, err := authority.OpenRoot(filepath.Join(dir, "root"), bytes.TrimSpace(passphrase))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp(dir, "request-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	q, err := authority.Request(temp, authority.RequestConfig{Origin: origin, Organization: "DEMO", Simulated: true, CA: key, Checkpoint: checkpoint})
	if err != nil {
		return nil, err
	}
	signed, err := root.Sign(q, authority.Terms{})
	if err != nil {
		return nil, err
	}
	return &authorityOf{signed.Intermediate, root.Certificate(), key}, nil
}

// sample is what the demo's ledger says of the one unit that passed, and of the intermediate.
type sample struct {
	last      record.Entry // of the ledger
	installed record.Body
	seal      record.Body
	unit      map[string]record.Body // by kind
	cert      *x509.Certificate
}

func readSample(ctx context.Context, path string) (*sample, error) {
	r, err := reader.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	s := &sample{unit: map[string]record.Body{}}
	err = r.Scan(ctx, 1, 1, func(e record.Entry) error {
		b := e.Body
		switch {
		case b.Kind == record.KindCA && b.Action == "installed":
			s.installed = b
		case b.Kind == record.KindSeal && b.Attest == "":
			s.seal = b
		case b.Run != "":
			s.unit[b.Kind] = b
		}
		s.last = e
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, kind := range lifeOf {
		if s.unit[kind].Kind == "" {
			return nil, fmt.Errorf("%s has no %s entry to go by", path, kind)
		}
	}
	end := s.unit[record.KindEnd]
	if end.Outcome != record.Passed || s.seal.NV == 0 || s.installed.Cert == "" {
		return nil, fmt.Errorf("%s is not of a demo that ended well", path)
	}
	der, err := r.Blob(ctx, end.Cert)
	if err != nil {
		return nil, err
	}
	s.cert, err = x509.ParseCertificate(der)
	return s, err
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
