// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
)

// Bounds of RSA keys in bits: below is breakable, above is only slow.
const (
	minRSA = 2048
	maxRSA = 4096
)

// algorithm is one of the protocol's signature algorithms: a kind of key and a
// hash together, and the only AlgorithmIdentifier (DER) it may be written as.
type algorithm struct {
	name       string
	identifier []byte
	fits       func(crypto.PublicKey) bool
	verify     func(public crypto.PublicKey, message, signature []byte) bool
}

// algorithms is the table of what a board may sign with, the mandatory one first.
var algorithms = []algorithm{
	{
		name:       "ES256", // RFC 5758 3.2: parameters absent
		identifier: []byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02},
		fits:       func(k crypto.PublicKey) bool { return onCurve(k, elliptic.P256()) },
		verify: func(k crypto.PublicKey, m, sig []byte) bool {
			h := sha256.Sum256(m)
			return ecdsa.VerifyASN1(k.(*ecdsa.PublicKey), h[:], sig)
		},
	}, {
		name:       "ES384", // RFC 5758 3.2
		identifier: []byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03},
		fits:       func(k crypto.PublicKey) bool { return onCurve(k, elliptic.P384()) },
		verify: func(k crypto.PublicKey, m, sig []byte) bool {
			h := sha512.Sum384(m)
			return ecdsa.VerifyASN1(k.(*ecdsa.PublicKey), h[:], sig)
		},
	}, {
		name:       "EdDSA", // RFC 8410 3: parameters absent
		identifier: []byte{0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70},
		fits:       func(k crypto.PublicKey) bool { _, ok := k.(ed25519.PublicKey); return ok },
		verify: func(k crypto.PublicKey, m, sig []byte) bool {
			return ed25519.Verify(k.(ed25519.PublicKey), m, sig)
		},
	}, {
		name:       "RS256", // RFC 4055 5: parameters NULL
		identifier: []byte{0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00},
		fits:       func(k crypto.PublicKey) bool { _, ok := k.(*rsa.PublicKey); return ok },
		verify: func(k crypto.PublicKey, m, sig []byte) bool {
			h := sha256.Sum256(m)
			return rsa.VerifyPKCS1v15(k.(*rsa.PublicKey), crypto.SHA256, h[:], sig) == nil
		},
	},
}

func algorithmNamed(name string) *algorithm {
	for i := range algorithms {
		if algorithms[i].name == name {
			return &algorithms[i]
		}
	}
	return nil
}

func algorithmNames() string {
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = a.name
	}
	return strings.Join(names, ", ")
}

func onCurve(k crypto.PublicKey, c elliptic.Curve) bool {
	e, ok := k.(*ecdsa.PublicKey)
	return ok && e.Curve == c
}

func keyKind(k crypto.PublicKey) string {
	switch k := k.(type) {
	case *ecdsa.PublicKey:
		return k.Curve.Params().Name + " key"
	case ed25519.PublicKey:
		return "Ed25519 key"
	case *rsa.PublicKey:
		return fmt.Sprintf("%d-bit RSA key", k.N.BitLen())
	}
	return "key of an unknown kind"
}

// checkStrength refuses RSA keys that are too short, have a public exponent
// outside FIPS 186-5 5.1, or were made by the generator of CVE-2017-15361.
// Elliptic points were found to lie on their curve when they were parsed.
func checkStrength(public crypto.PublicKey) error {
	k, ok := public.(*rsa.PublicKey)
	if !ok {
		return nil
	}
	if n := k.N.BitLen(); n < minRSA || n > maxRSA {
		return refuse(ReasonWeakKey, "RSA key of %d bits; allowed: %d to %d", n, minRSA, maxRSA)
	}
	if k.E < 65537 || k.E%2 == 0 || k.N.Bit(0) == 0 {
		return refuse(ReasonWeakKey, "RSA public exponent %d; allowed: odd, 65537 or more", k.E)
	}
	if rocaSuspect(k.N) {
		return refuse(ReasonWeakKey, "RSA modulus has the fingerprint of a broken key generator (ROCA, CVE-2017-15361)")
	}
	return nil
}

// rocaSuspect says whether a modulus has the form of the generator broken in
// "The Return of Coppersmith's Attack" (CCS 2017): modulo every small prime it
// is a power of 65537. A sound modulus passes for all of them with a chance of
// about 2^-28.
func rocaSuspect(n *big.Int) bool {
	mod := new(big.Int)
	for p := int64(3); p <= 167; p += 2 {
		if !big.NewInt(p).ProbablyPrime(0) {
			continue
		}
		if !powerOf65537(mod.Mod(n, big.NewInt(p)).Int64(), p) {
			return false
		}
	}
	return true
}

// powerOf65537 says whether r is in the group that 65537 generates modulo p.
func powerOf65537(r, p int64) bool {
	g := 65537 % p
	for x, i := int64(1), int64(0); i < p; i++ {
		if x == r {
			return true
		}
		x = x * g % p
	}
	return false
}

// signatureName names the algorithm of a certificate's signature as a board's
// "verify" list does: the issuer's curve and the hash together.
func signatureName(c *x509.Certificate, issuer crypto.PublicKey) string {
	switch {
	case c.SignatureAlgorithm == x509.ECDSAWithSHA256 && onCurve(issuer, elliptic.P256()):
		return "ES256"
	case c.SignatureAlgorithm == x509.ECDSAWithSHA384 && onCurve(issuer, elliptic.P384()):
		return "ES384"
	case c.SignatureAlgorithm == x509.SHA256WithRSA:
		return "RS256"
	case c.SignatureAlgorithm == x509.PureEd25519:
		return "EdDSA"
	}
	return c.SignatureAlgorithm.String() + " by a " + keyKind(issuer)
}
