// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"crypto/x509"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/record"
)

// TestStationCertificates: proofs for clouds and the manifest key's certificate
// are judged as devices' are, and must not be able to pass for one.
func TestStationCertificates(t *testing.T) {
	const code = "3c1f7a"
	for name, try := range map[string]struct {
		lie  func(w *world, proof, manifest *record.Body, other *issuer.Certificate) (more []byte)
		says string
	}{
		"honest": {nil, ""},
		"another code": {func(_ *world, proof, _ *record.Body, _ *issuer.Certificate) []byte {
			proof.Code = "4d2f8b"
			return nil
		}, `for code "3c1f7a", not "4d2f8b"`},
		"a manifest key as proof": {func(_ *world, proof, _ *record.Body, other *issuer.Certificate) []byte {
			*proof = ownEntry(record.KindCAVerify, other)
			proof.Code = "ulm/st-07 manifests"
			return other.DER
		}, "could serve for something else"},
		"a device's as manifest key": {func(w *world, _, manifest *record.Body, _ *issuer.Certificate) []byte {
			m := w.make(7, newKey(w.t))
			*manifest = m.certified(record.KindCA)
			*manifest = record.Body{
				Kind: record.KindCA, Action: "certified", Cert: manifest.Cert, CertSerial: manifest.CertSerial, SPKI: manifest.SPKI,
				NotBefore: manifest.NotBefore, NotAfter: manifest.NotAfter, IssuerKey: manifest.IssuerKey, TBS: manifest.TBS,
			}
			w.record(false, nil, []record.Body{{Kind: record.KindStop}}, m.cert.RawTBSCertificate)
			return m.cert.Raw
		}, "not the certificate of a manifest key"},
		"one serial number twice": {func(_ *world, proof, manifest *record.Body, _ *issuer.Certificate) []byte {
			proof.CertSerial = manifest.CertSerial
			return nil
		}, "is a second certificate with serial number"},
		"no certificate stored": {func(_ *world, proof, _ *record.Body, _ *issuer.Certificate) []byte {
			proof.Cert = digest([]byte("nothing"))
			return nil
		}, "cert_sha256"},
	} {
		w := newWorld(t)
		i, err := issuer.New(issuer.Config{
			Chain: []*x509.Certificate{w.issuer, w.root}, Signer: w.issuerKey, Now: func() time.Time { return began.AddDate(0, 0, 1) },
		})
		if err != nil {
			t.Fatal(err)
		}
		var made []*issuer.Certificate
		for range 2 {
			c, err := i.ManifestKey(t.Context(), "ulm/st-07", newKey(t).Public())
			if err != nil {
				t.Fatal(err)
			}
			made = append(made, c)
		}
		proved, err := i.Verification(t.Context(), code, newKey(t).Public(), 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		proof, manifest := ownEntry(record.KindCAVerify, proved), ownEntry(record.KindCA, made[0])
		proof.Code, manifest.Action = code, "certified"
		blobs := [][]byte{proved.DER, proved.Parsed.RawTBSCertificate, made[0].DER, made[0].Parsed.RawTBSCertificate, made[1].Parsed.RawTBSCertificate}
		if try.lie != nil {
			if more := try.lie(w, &proof, &manifest, made[1]); more != nil {
				blobs = append(blobs, more)
			}
		}
		w.record(true, nil, []record.Body{manifest, proof}, blobs...)
		report := w.verify(w.anchors())
		var found []string
		for _, f := range report.Findings {
			found = append(found, f.String())
		}
		if all := strings.Join(found, "\n"); try.says == "" && !report.OK() || try.says != "" && !strings.Contains(all, try.says) {
			t.Errorf("%s: %s\n%s", name, report.Verdict(), all)
		}
	}
}

// ownEntry is the entry of a certificate of the station itself.
func ownEntry(kind string, c *issuer.Certificate) record.Body {
	return record.Body{
		Kind: kind, Cert: digest(c.DER), CertSerial: c.Serial, TBS: digest(c.Parsed.RawTBSCertificate), SPKI: digest(c.Parsed.RawSubjectPublicKeyInfo),
		IssuerKey: hex.EncodeToString(c.Parsed.AuthorityKeyId),
		NotBefore: record.Timestamp(c.Parsed.NotBefore), NotAfter: record.Timestamp(c.Parsed.NotAfter),
	}
}
