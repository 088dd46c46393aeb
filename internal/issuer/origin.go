// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"net/url"
	"slices"
	"strings"
)

// ledgerScheme is the scheme of the URI by which the certificate of a
// checkpoint key names the ledger it signs.
const ledgerScheme = "ledger"

// LedgerURI is the subjectAltName of a checkpoint key's certificate:
// ledger:plant/station/epoch.
func LedgerURI(origin string) *url.URL {
	return &url.URL{Scheme: ledgerScheme, Opaque: origin}
}

// LedgerUsage is the extendedKeyUsage of a checkpoint key's certificate. The
// root itself signs it, so that without one every server that trusts the root
// would take it for a client's.
func LedgerUsage() []asn1.ObjectIdentifier { return []asn1.ObjectIdentifier{documentSigning} }

// LedgerOrigin reads the origin, plant/station/epoch, out of the certificate of
// a checkpoint key. That certificate is issued by the root itself and issues
// nothing; no device's certificate is mistaken for one, since devices are not
// issued by roots. The caller verifies the signature.
func LedgerOrigin(c *x509.Certificate) (string, error) {
	// A second URI, of scheme tpm, says what the root found out about the TPM.
	if c.IsCA || len(c.URIs) == 0 || len(c.URIs) > 2 || c.URIs[0].Scheme != ledgerScheme || c.KeyUsage != x509.KeyUsageDigitalSignature ||
		len(c.URIs) == 2 && c.URIs[1].Scheme != "tpm" || len(c.ExtKeyUsage) > 0 ||
		len(c.UnknownExtKeyUsage) > 0 && !slices.EqualFunc(c.UnknownExtKeyUsage, LedgerUsage(), asn1.ObjectIdentifier.Equal) {
		return "", errors.New("this is not the certificate of a checkpoint key")
	}
	origin := strings.TrimPrefix(c.URIs[0].String(), ledgerScheme+":")
	if origin == "" {
		return "", errors.New("the checkpoint key's certificate names no ledger")
	}
	return origin, nil
}
