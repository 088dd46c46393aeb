// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/bundle"
)

// VerifyBundle audits a bundle, and its manifest: the ledger has recorded it under a checkpoint that is not older than
// what the bundle holds.
func VerifyBundle(ctx context.Context, b *bundle.Bundle, anchors Anchors) (*Report, error) {
	a := &auditor{source: b}
	if err := a.prepare(anchors); err != nil {
		return nil, err
	}
	report, err := a.verify(ctx, anchors)
	if err != nil {
		return nil, err
	}
	a.manifest(b)
	return report, nil
}

func (a *auditor) manifest(b *bundle.Bundle) {
	last := len(b.Manifest.Epochs)
	c, err := record.ReadCheckpoint(b.Proof.Checkpoint)
	if err != nil {
		a.wrong(last, 0, "manifest", "was recorded under a %v", err)
		return
	}
	if last > 0 {
		a.report.Included = append(a.report.Included, fmt.Sprintf("the export entry of this bundle, as number %d of %s with %d entries; those after %d are not in the bundle",
			b.Proof.Index+1, c.Origin, c.Size, b.Manifest.Epochs[last-1].Entries))
	}
	if last == 0 || c.Origin.Epoch != last || c.Size <= b.Manifest.Epochs[last-1].Entries || b.Proof.Index < b.Manifest.Epochs[last-1].Entries {
		a.wrong(last, 0, "manifest", "was recorded as entry %d of %s, which is not after what the bundle holds", b.Proof.Index+1, c.Origin)
	}
	if n := len(a.report.Origins); n > 0 && a.report.Origins[n-1] != c.Origin.String() {
		a.wrong(last, 0, "manifest", "was recorded by the ledger of %s, the bundle is that of %s", c.Origin, a.report.Origins[n-1])
	}
	if b.Manifest.Station != c.Origin.Station {
		a.wrong(last, 0, "manifest", "calls itself one of %q, and was recorded by the ledger of %s", b.Manifest.Station, c.Origin)
	}
	v := a.keys[c.Origin]
	if v == nil {
		a.report.Proven = false
		err = b.Proof.Includes(c, b.Entry)
	} else {
		_, err = b.VerifyManifest(v)
	}
	if err != nil {
		a.wrong(last, 0, "manifest", "was not recorded by the ledger of %s: %v", c.Origin, err)
	}
}

// ReadVendors reads a folder of TPM vendors' certificates for [Anchors].Trust.
func ReadVendors(folder string) ([]*x509.Certificate, error) { return ceremony.ReadVendors(folder) }

// SortCertificates takes PEM apart into what [Anchors] wants: issuers and the certificates of checkpoint keys. Only those that
// root issued, directly or by another one here, are of use; the rest is left out: it proves nothing.
func SortCertificates(text []byte, root *x509.Certificate) (Anchors, error) {
	a := Anchors{Root: root}
	for len(text) > 0 {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if l, err := x509.ParseRevocationList(block.Bytes); block.Type == "X509 CRL" && err == nil {
			a.Lists = append(a.Lists, l)
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Anchors{}, fmt.Errorf("audit: a certificate that came with the ledger: %w", err)
		}
		_, err = issuer.LedgerOrigin(c)
		switch {
		case root == nil, c.Equal(root):
		case c.IsCA:
			a.Issuers = append(a.Issuers, c)
		case err == nil && c.CheckSignatureFrom(root) == nil:
			a.Certificates = append(a.Certificates, c)
		}
	}
	return a, nil
}
