// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"slices"
)

// clientRules hold for every profile of a TLS client.
var clientRules = []rule{
	{"extendedKeyUsage clientAuth alone", "RFC 5280 4.2.1.12, RFC 8446 4.4.2.4", func(l *linted) bool {
		return slices.Equal(l.ExtKeyUsage, clientAuth) && l.extension(2, 5, 29, 37) == notCritical
	}},
	{"an end", "house rule", func(l *linted) bool { return l.NotAfter.Before(noExpiry) }},
}

// idevidRules are those of IEEE 802.1AR-2018 8 for an IDevID.
var idevidRules = []rule{
	{"a subject with serialNumber", "IEEE 802.1AR 8.6", func(l *linted) bool { return l.Subject.SerialNumber != "" }},
	{"notAfter 99991231235959Z", "IEEE 802.1AR 8.7", func(l *linted) bool { return l.NotAfter.Equal(noExpiry) }},
	{"no extendedKeyUsage that narrows what the identity is for", "IEEE 802.1AR 8.10", func(l *linted) bool {
		return l.extension(2, 5, 29, 37) == absent
	}},
	{"subjectAltName, where there is one, not critical beside a subject", "RFC 5280 4.2.1.6", func(l *linted) bool {
		return l.extension(2, 5, 29, 17) != critical
	}},
	{"an issuer that can be found by its key", "IEEE 802.1AR 8.10.1", func(l *linted) bool { return len(l.AuthorityKeyId) > 0 }},
}

// awsRules are what AWS IoT Core takes, and what its JITP templates read.
var awsRules = []rule{
	{"a subject with CN and serialNumber, which JITP templates read", "AWS IoT: provisioning templates", func(l *linted) bool {
		return l.Subject.SerialNumber != "" && l.Subject.CommonName != ""
	}},
	{"a common name that can be a thing's", "AWS IoT: CreateThing", func(l *linted) bool {
		return thingName.check(l.Subject.CommonName) == nil
	}},
	{"a key that AWS IoT takes: RSA from 2048 bits, P-256 or P-384", "AWS IoT: X.509 client certificates", (*linted).cloudKey},
	{"a signature with SHA-256 or SHA-384", "AWS IoT: X.509 client certificates", (*linted).sha2Signature},
	{"at most 65536 bytes of PEM", "AWS IoT: RegisterCertificate", func(l *linted) bool {
		return len(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.Raw})) <= 65536
	}},
}

// azureRules are what the Device Provisioning Service of Azure takes.
var azureRules = []rule{
	{"a common name that is a registration ID", "Azure DPS: registration ID", func(l *linted) bool {
		return l.Subject.CommonName != "" && checkRegistrationID(l.Subject.CommonName) == nil
	}},
	{"a key that Azure takes: RSA from 2048 bits, P-256 or P-384", "Azure DPS: X.509 certificate attestation", (*linted).cloudKey},
	{"a signature with SHA-256 or SHA-384", "Azure DPS: X.509 certificate attestation", (*linted).sha2Signature},
}

func (l *linted) cloudKey() bool {
	switch k := l.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384()
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSA
	case ed25519.PublicKey:
	}
	return false
}

func (l *linted) sha2Signature() bool {
	return l.SignatureAlgorithm == x509.ECDSAWithSHA256 || l.SignatureAlgorithm == x509.ECDSAWithSHA384
}
