// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

// checkChain checks every link and what RFC 5280 4.2.1 demands of issuers. A
// root without keyUsage passes: `openssl req -x509` makes it so, and the boards
// demand keyUsage only of what they are given.
func checkChain(chain []*x509.Certificate) error {
	for n, c := range chain {
		issuer, usage := c, c.KeyUsage // the root issues itself
		if n+1 < len(chain) {
			issuer = chain[n+1]
		} else if usage == 0 {
			usage = x509.KeyUsageCertSign
		}
		switch {
		case !c.BasicConstraintsValid || !c.IsCA || usage&x509.KeyUsageCertSign == 0:
			return fmt.Errorf("%q may not issue certificates: basicConstraints CA:TRUE and keyUsage keyCertSign are needed", c.Subject)
		case c.MaxPathLen >= 0 && (c.MaxPathLen > 0 || c.MaxPathLenZero) && n > c.MaxPathLen:
			return fmt.Errorf("%q allows %d issuers below it, there are %d", c.Subject, c.MaxPathLen, n)
		case n == 0 && len(c.SubjectKeyId) == 0:
			return fmt.Errorf("%q has no subjectKeyIdentifier (RFC 5280 4.2.1.2)", c.Subject)
		case len(c.UnhandledCriticalExtensions) > 0:
			return fmt.Errorf("%q has a critical extension nobody understands: %s (RFC 5280 4.2)", c.Subject, c.UnhandledCriticalExtensions[0])
		case !bytes.Equal(c.RawIssuer, issuer.RawSubject):
			return fmt.Errorf("%q was not issued by %q", c.Subject, issuer.Subject)
		}
		if err := c.CheckSignatureFrom(issuer); err != nil {
			return fmt.Errorf("%q was not issued by %q: %w", c.Subject, issuer.Subject, err)
		}
	}
	return nil
}

// fixed is the part of the chain that [New] verified and that no certificate
// changes: the links above anchor. What a certificate is verified against each
// time ends at anchor.
type fixed struct {
	anchor, between *x509.CertPool
}

// restrictors are extensions by which an issuer restricts what stands more than
// one link below it: name constraints, policy constraints, inhibit any-policy
// (RFC 5280 4.2.1.10, 4.2.1.11, 4.2.1.14).
var restrictors = []asn1.ObjectIdentifier{{2, 5, 29, 30}, {2, 5, 29, 36}, {2, 5, 29, 54}}

// fixedPart splits a chain that holds. The anchor is the issuer of the
// certificates, unless an issuer restricts them: then it is the one above the
// highest that does, since of an anchor not everything is looked at (RFC 5280
// 6.1.1), and the links up to it are verified for each certificate.
func fixedPart(chain []*x509.Certificate) fixed {
	top := 0
	for n, c := range chain {
		if slices.ContainsFunc(restrictors, func(id asn1.ObjectIdentifier) bool { return has(c, id) }) {
			top = min(n+1, len(chain)-1)
		}
	}
	f := fixed{anchor: x509.NewCertPool(), between: x509.NewCertPool()}
	f.anchor.AddCert(chain[top])
	for _, c := range chain[:top] {
		f.between.AddCert(c)
	}
	return f
}

func has(c *x509.Certificate, id asn1.ObjectIdentifier) bool {
	for _, e := range c.Extensions {
		if e.Id.Equal(id) {
			return true
		}
	}
	return false
}

// Verify verifies a device's certificate now: its signature under the issuer's
// key, its dates and those of every issuer up to the root, and whatever an
// issuer restricts. The chain's own signatures were verified by [New].
//
// Errors: [ErrWindow] when it is not the time of an issuer.
func (i *Issuer) Verify(cert *x509.Certificate) error {
	now := i.now()
	for _, c := range i.chain {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			return fmt.Errorf("%w: it is %s, %q is valid from %s to %s", ErrWindow, now.UTC().Format(time.RFC3339),
				c.Subject, c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))
		}
	}
	_, err := cert.Verify(x509.VerifyOptions{
		Roots: i.fixed.anchor, Intermediates: i.fixed.between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		return fmt.Errorf("its signature does not verify under the key of %q: %w", i.chain[0].Subject, err)
	}
	if err != nil {
		return fmt.Errorf("chain does not hold: %w", err)
	}
	return nil
}
