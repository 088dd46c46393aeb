// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
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
	if err := b.forgetManifestKey(ctx); err != nil {
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
// is none by the intermediate that issues now, or it has run out or was revoked.
func (b *bench) manifestCertificate(ctx context.Context, key *tpm.Key, in *authority.Installed) (*x509.Certificate, error) {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode the manifest key: %w", err)
	}
	all, err := manifestCertificates(ctx, b.reader, digestOf(spki))
	if err != nil {
		return nil, unfit(err, "see: station ledger verify")
	}
	for _, m := range all {
		if m.revoked == "" && m.cert.CheckSignatureFrom(in.Intermediate()) == nil && time.Now().Before(m.cert.NotAfter) {
			return m.cert, nil
		}
	}
	return nil, nil
}

// manifestCert is a certificate of a key that signs manifests, as the ledger has
// it.
type manifestCert struct {
	cert    *x509.Certificate
	spki    string // SHA-256 of the key
	revoked string // the reason, "" where it was not
}

// manifestCertificates are those of a key, or of all of them where spki is "",
// in the order they were made.
func manifestCertificates(ctx context.Context, r *reader.Reader, spki string) (all []manifestCert, err error) {
	for at, more := (reader.Cursor{}), true; more; {
		page, next, older, err := r.Page(ctx, reader.Filter{Kinds: []string{record.KindCA}}, at, reader.MaxPage)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			if e.Body.Action != "certified" || spki != "" && e.Body.SPKI != spki {
				continue
			}
			der, err := r.Blob(ctx, e.Body.Cert)
			if err != nil {
				return nil, err
			}
			m := manifestCert{spki: e.Body.SPKI}
			if m.cert, err = x509.ParseCertificate(der); err != nil {
				return nil, fmt.Errorf("the manifest key's certificate: %w", err)
			}
			taken, err := r.EntriesOf(ctx, reader.Query{Cert: e.Body.Cert, Kinds: []string{record.KindRevoked}})
			if err != nil {
				return nil, err
			}
			if len(taken) > 0 {
				m.revoked = taken[0].Body.Reason
			}
			all = append(all, m)
		}
		at, more = next, older
	}
	slices.Reverse(all)
	return all, nil
}

// forgetManifestKey has another key made in the place of one that somebody else
// may have: no certificate makes that one good again.
func (b *bench) forgetManifestKey(ctx context.Context) error {
	k := &b.home.cfg.Keys
	if k.Manifest == nil {
		return nil
	}
	key, err := b.tpm.Key(ctx, *k.Manifest, noPIN)
	if err != nil {
		return unfit(fmt.Errorf("the manifest key: %w", err), "is this the TPM the home was made with? see: station doctor")
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encode the manifest key: %w", err)
	}
	all, err := manifestCertificates(ctx, b.reader, digestOf(spki))
	if err != nil {
		return unfit(err, "see: station ledger verify")
	}
	if !slices.ContainsFunc(all, func(m manifestCert) bool { return m.revoked == "keyCompromise" }) {
		return nil
	}
	k.Manifest, k.ManifestCreation = nil, nil
	return b.home.save()
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
