// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"strings"
	"time"
)

// certFacts is a certificate in words. Times are those of now's zone.
func certFacts(c certificate, now time.Time) []fact {
	out := []fact{certState(c, now)}
	if c.x509 == nil {
		return append(out, fact{label: "Certificate", text: c.problem, tone: bad})
	}
	x := c.x509
	sum := sha256.Sum256(x.Raw)
	out = append(out, nameFacts("Subject", x.Subject)...)
	for _, n := range otherNames(x) {
		out = append(out, fact{label: "Also named", text: n})
	}
	out = append(out, nameFacts("Issuer", x.Issuer)...)
	out = append(out,
		fact{label: "Valid from", text: moment(x.NotBefore, now)},
		fact{label: "Valid to", text: validTo(x.NotAfter, now)},
		fact{label: "Key", text: keyWords(x.PublicKey)},
		fact{label: "Signed with", text: x.SignatureAlgorithm.String()},
	)
	for i, u := range usages(x) {
		label := "May be used"
		if i > 0 {
			label = ""
		}
		out = append(out, fact{label: label, text: u}.under())
	}
	out = append(out,
		fact{label: "Serial number", text: colons(x.SerialNumber.Bytes()), style: mono},
		fact{label: "Fingerprint", text: colons(sum[:]), style: mono},
		fact{label: "", text: "SHA-256 of the certificate", tone: soft}.under())
	if c.issued.Body.SPKI != "" {
		out = append(out, fact{label: "Key's digest", text: c.issued.Body.SPKI, style: mono})
	}
	return out
}

// under puts a fact without a label under the value before it.
func (f fact) under() fact {
	if f.label == "" {
		f.label = " "
	}
	return f
}

// certState tells whether a certificate counts.
func certState(c certificate, now time.Time) fact {
	f := fact{label: "State", text: "live", tone: good, icon: ""}
	switch {
	case c.revoked != nil:
		f.text, f.tone = fmt.Sprintf("revoked %s: %s, by %s", localTime(c.revoked.Body.Time), c.revoked.Body.Reason, c.revoked.Body.Operator), bad
	case c.replaced != nil:
		words, _ := entryWords(c.replaced.Body)
		f.text, f.tone = fmt.Sprintf("no longer live since %s: %s", localTime(c.replaced.Body.Time), words), doubtful
	case c.x509 == nil:
		f.text, f.tone = "not stored here", bad
	case now.After(c.x509.NotAfter):
		f.text, f.tone = "its time is over", bad
	case now.Before(c.x509.NotBefore):
		f.text, f.tone = "its time has not come", doubtful
	}
	return f
}

// moment is a time on the wall, with the zone's name.
func moment(t, now time.Time) string { return t.In(now.Location()).Format("2 Jan 2006, 15:04:05 MST") }

// validTo is the end of a certificate and how far it is. The last second of
// the year 9999 means that there is none (RFC 5280, 4.1.2.5).
func validTo(end, now time.Time) string {
	days := int(end.Sub(now).Hours() / 24)
	switch {
	case end.UTC().Year() == 9999:
		return "without end"
	case days < 0:
		return moment(end, now)
	case days == 1:
		return moment(end, now) + " (1 day)"
	}
	return fmt.Sprintf("%s (%s days)", moment(end, now), grouped(int64(days)))
}

// attributes are the parts of a name (RFC 5280, 4.1.2.4) in words, by OID.
var attributes = map[string]string{
	"2.5.4.3": "common name", "2.5.4.5": "serial number", "2.5.4.6": "country", "2.5.4.7": "locality", "2.5.4.8": "state",
	"2.5.4.10": "organisation", "2.5.4.11": "unit", "0.9.2342.19200300.100.1.25": "domain", "0.9.2342.19200300.100.1.1": "user id",
}

func nameFacts(label string, name pkix.Name) (out []fact) {
	for _, a := range name.Names {
		word := attributes[a.Type.String()]
		if word == "" {
			word = a.Type.String()
		}
		text := fmt.Sprintf("%v", a.Value)
		if word != "common name" {
			text = word + " " + text
		}
		out = append(out, fact{label: label, text: text}.under())
		label = ""
	}
	if len(out) == 0 {
		return []fact{{label: label, text: "without a name"}}
	}
	return out
}

// otherNames are the alternative names.
func otherNames(x *x509.Certificate) (out []string) {
	for _, n := range x.DNSNames {
		out = append(out, "DNS "+n)
	}
	for _, n := range x.URIs {
		out = append(out, "URI "+n.String())
	}
	for _, n := range x.IPAddresses {
		out = append(out, "IP address "+n.String())
	}
	for _, n := range x.EmailAddresses {
		out = append(out, "e-mail "+n)
	}
	return out
}

func keyWords(key any) string {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA on " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA, %d bits", k.N.BitLen())
	}
	return fmt.Sprintf("%T", key)
}

// keyUsages in the order of their bits (RFC 5280, 4.2.1.3).
var keyUsages = []string{
	"to sign", "to sign content", "to encipher keys", "to encipher data", "to agree on keys", "to sign certificates", "to sign revocation lists",
	"only to encipher", "only to decipher",
}

var extUsages = map[x509.ExtKeyUsage]string{
	x509.ExtKeyUsageAny: "for anything", x509.ExtKeyUsageClientAuth: "as a TLS client", x509.ExtKeyUsageServerAuth: "as a TLS server",
	x509.ExtKeyUsageCodeSigning: "to sign code", x509.ExtKeyUsageEmailProtection: "for e-mail", x509.ExtKeyUsageTimeStamping: "to stamp times",
	x509.ExtKeyUsageOCSPSigning: "to sign OCSP answers",
}

// usages are what a certificate may be used for.
func usages(x *x509.Certificate) (out []string) {
	for i, word := range keyUsages {
		if x.KeyUsage&(1<<i) != 0 {
			out = append(out, word)
		}
	}
	for _, u := range x.ExtKeyUsage {
		if word := extUsages[u]; word != "" {
			out = append(out, word)
		} else {
			out = append(out, fmt.Sprintf("for the usage no. %d", int(u)))
		}
	}
	for _, u := range x.UnknownExtKeyUsage {
		out = append(out, "for "+u.String())
	}
	if x.IsCA {
		out = append(out, "as a certificate authority")
	}
	if len(out) == 0 {
		return []string{"for anything: it does not say"}
	}
	return out
}

// colons writes bytes as fingerprints are written.
func colons(b []byte) string {
	parts := make([]string, len(b))
	for i, v := range b {
		parts[i] = fmt.Sprintf("%02x", v)
	}
	return strings.Join(parts, ":")
}
