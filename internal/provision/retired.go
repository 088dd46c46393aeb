// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// chainOf is the chain of a certificate on record, leaf first, the root left
// out: with the intermediate that was installed when the certificate was
// issued, whichever issues now. Its board was given exactly that chain, or may
// have been.
//
// at is the place of the certificate's entry. The intermediate comes from the
// ledger; what stands between it and the root is looked for in the chain that
// is installed. A certificate whose chain does not hold, or that ends at
// another root than the station's, gives F-ISSUE-09.
func chainOf(ctx context.Context, r *reader.Reader, now *issuer.Issuer, leaf []byte, issuerKey string, at int64) ([][]byte, error) {
	by, err := intermediate(ctx, r, issuerKey, at)
	if err != nil {
		return nil, err
	}
	if by == nil && issuerKey == now.KeyID() || by != nil && by.Equal(now.Certificate()) {
		return now.Chain(leaf), nil
	}
	if by == nil {
		return nil, &fault{"F-ISSUE-09", fmt.Errorf("the certificate is from issuer %.16s, of which the ledger holds no certificate; this station's is %.16s", issuerKey, now.KeyID())}
	}
	chain, err := completed(leaf, by, now)
	if err != nil {
		return nil, &fault{"F-ISSUE-09", fmt.Errorf("the chain of retired issuer %q: %w", by.Subject, err)}
	}
	return chain, nil
}

// intermediate is the certificate for an issuer's key that was installed last
// before a place in the ledger; nil when none was put on record there.
func intermediate(ctx context.Context, r *reader.Reader, issuerKey string, at int64) (*x509.Certificate, error) {
	entries, err := r.EntriesOf(ctx, reader.Query{Kinds: []string{record.KindCA}})
	if err != nil {
		return nil, &fault{"F-RECORD-04", fmt.Errorf("look for issuer %.16s: %w", issuerKey, err)}
	}
	digest := ""
	for _, e := range entries {
		if e.Body.Action == "installed" && e.Body.IssuerKey == issuerKey && reader.ID(e.Epoch, e.Seq) < at {
			digest = e.Body.Cert
		}
	}
	if digest == "" {
		return nil, nil
	}
	der, err := r.Blob(ctx, digest)
	if err != nil {
		return nil, &fault{"F-RECORD-04", fmt.Errorf("read issuer %.16s: %w", issuerKey, err)}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, &fault{"F-RECORD-04", fmt.Errorf("read issuer %.16s: %w", issuerKey, err)}
	}
	return cert, nil
}

// completed puts a leaf, its intermediate and the issuers up to the installed
// root, that one left out, together. Every link is checked.
func completed(leaf []byte, by *x509.Certificate, now *issuer.Issuer) ([][]byte, error) {
	cert, err := x509.ParseCertificate(leaf)
	if err != nil {
		return nil, err
	}
	if err := cert.CheckSignatureFrom(by); err != nil {
		return nil, err
	}
	above := now.Chain(nil)[2:] // leaf and intermediate left out
	chain := [][]byte{leaf, by.Raw}
	for last := by; last.CheckSignatureFrom(now.Root()) != nil; {
		next, err := signerOf(last, above)
		if err != nil {
			return nil, err
		}
		if chain = append(chain, next.Raw); len(chain) > issuer.MaxChain {
			return nil, fmt.Errorf("more than %d certificates", issuer.MaxChain)
		}
		last = next
	}
	return chain, nil
}

// signerOf finds who signed a certificate.
func signerOf(cert *x509.Certificate, among [][]byte) (*x509.Certificate, error) {
	for _, der := range among {
		c, err := x509.ParseCertificate(der)
		if err == nil && !c.Equal(cert) && cert.CheckSignatureFrom(c) == nil {
			return c, nil
		}
	}
	return nil, errors.New("it does not end at this station's root")
}
