// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"crypto/x509"
	"time"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/record"
)

// own checks a certificate that the intermediate signed for the station itself: a cloud's proof of ownership, or the manifest key's.
// Neither may be able to pass for a device's.
func (a *auditor) own(ctx context.Context, e record.Entry) {
	b := e.Body
	if a.life.serials[b.CertSerial] {
		a.wrong(e.Epoch, e.Seq, "life", "is a second certificate with serial number %s", b.CertSerial)
	}
	a.life.serials[b.CertSerial] = true
	tbs := a.blob(ctx, e, "tbs_sha256", b.TBS)
	der := a.blob(ctx, e, "cert_sha256", b.Cert)
	if der == nil {
		return
	}
	a.certificate(e, der, tbs)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return // certificate has said so
	}
	wrong := func(format string, args ...any) { a.wrong(e.Epoch, e.Seq, "certificate", format, args...) }
	if b.Kind == record.KindCA {
		if station, err := issuer.ManifestStation(cert); err != nil || station != b.Station {
			wrong("stores a certificate for the manifest key of %q, not of %s: %v", station, b.Station, err)
		}
		return
	}
	switch {
	case cert.Subject.CommonName != b.Code:
		wrong("stores a proof of ownership for code %q, not %q", cert.Subject.CommonName, b.Code)
	case !issuer.IsVerification(cert):
		wrong("stores a proof of ownership that could serve for something else")
	case cert.NotAfter.Sub(cert.NotBefore) > issuer.MaxVerificationLife+time.Hour: // it is backdated for clocks that are behind
		wrong("stores a proof of ownership that lives longer than %s", issuer.MaxVerificationLife)
	}
}
