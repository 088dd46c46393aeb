// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

// manifestAuthPath is where the secret of the manifest key lies.
func (h *home) manifestAuthPath() string {
	return h.path("tpm", fmt.Sprintf("manifest-%d.auth", h.cfg.Epoch))
}

// manifestKey opens the key that signs manifests, with a certificate by the
// intermediate that issues now. The first time the key is made, and certified;
// only that needs the CA's PIN.
func (b *bench) manifestKey(ctx context.Context, g *globals, in *authority.Installed) (export.ManifestKey, error) {
	auth, err := makeAuth(b.home.manifestAuthPath())
	if err != nil {
		return export.ManifestKey{}, err
	}
	if err := b.makeManifestKey(ctx, auth); err != nil {
		return export.ManifestKey{}, err
	}
	key, err := b.tpm.Key(ctx, *b.home.cfg.Keys.Manifest, func() ([]byte, error) { return auth, nil })
	if err != nil {
		return export.ManifestKey{}, unfit(fmt.Errorf("the manifest key: %w", err), "is this the TPM the home was made with? see: station doctor")
	}
	cert, err := b.manifestCertificate(ctx, key, in)
	if err == nil && cert == nil {
		cert, err = b.certifyManifestKey(ctx, g, key, in)
	}
	if err != nil {
		return export.ManifestKey{}, err
	}
	m := export.ManifestKey{Signer: key, Chain: append([]*x509.Certificate{cert}, in.Chain[:len(in.Chain)-1]...)}
	if o := in.Intermediate().Subject.Organization; len(o) > 0 {
		m.Organization = o[0]
	}
	return m, nil
}

// makeManifestKey makes the key if the home names none. station.toml is written
// last: after a crash before that, a key is left in the TPM that nothing refers to.
func (b *bench) makeManifestKey(ctx context.Context, auth []byte) error {
	k := &b.home.cfg.Keys
	if k.Manifest != nil {
		return nil
	}
	ref, creation, err := b.tpm.CreateKey(ctx, tpm.Manifest, elliptic.P256(), auth)
	if err != nil {
		return unfit(fmt.Errorf("make the %s key in the TPM: %w", tpm.Manifest, err), "is the TPM free? see: station doctor")
	}
	k.Manifest, k.ManifestCreation = &ref, &creation
	return b.home.save()
}

// manifestCertificate finds the key's certificate in the ledger; nil where there
// is none by the intermediate that issues now, or it has run out.
func (b *bench) manifestCertificate(ctx context.Context, key *tpm.Key, in *authority.Installed) (*x509.Certificate, error) {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode the manifest key: %w", err)
	}
	entries, err := b.reader.EntriesOf(ctx, reader.Query{SPKI: digestOf(spki), Kinds: []string{record.KindCA}})
	if err != nil {
		return nil, unfit(err, "see: station ledger verify")
	}
	for _, e := range entries {
		if e.Body.Action != "certified" {
			continue
		}
		der, err := b.reader.Blob(ctx, e.Body.Cert)
		if err != nil {
			return nil, unfit(err, "see: station ledger verify")
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, unfit(fmt.Errorf("the manifest key's certificate: %w", err), "see: station ledger verify")
		}
		if cert.CheckSignatureFrom(in.Intermediate()) == nil && time.Now().Before(cert.NotAfter) {
			return cert, nil
		}
	}
	return nil, nil
}

// certifyManifestKey has the intermediate certify the key. The certificate is
// recorded before it is used; after a crash in between it is found there.
func (b *bench) certifyManifestKey(ctx context.Context, g *globals, key *tpm.Key, in *authority.Installed) (*x509.Certificate, error) {
	pin, err := g.pin.read("PIN of the CA key, to certify the key that signs manifests")
	if err != nil {
		return nil, err
	}
	if err := b.openIssuer(ctx, in.Chain, pin); err != nil {
		return nil, err
	}
	cert, err := b.issuer.ManifestKey(ctx, b.home.cfg.Name, key.Public())
	if err != nil {
		return nil, unfit(err, "see: station ca status")
	}
	body := certificateEntry(record.KindCA, b.issuer, cert)
	body.Action, body.Detail = "certified", "the key that signs manifests"
	return cert.Parsed, b.note(ctx, body, cert.DER, cert.Parsed.RawTBSCertificate)
}

// installedCA is the installed authority, for what is of no use without it.
func (b *bench) installedCA() (*authority.Installed, error) {
	in, err := authority.Load(b.home.path("ca"))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, authority.ErrNotInstalled) {
		return nil, unfit(err, "install one: station ca request, station root sign, station ca install")
	}
	if err != nil {
		return nil, unfit(err, "see: station ca status")
	}
	return in, nil
}
