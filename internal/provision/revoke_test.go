// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/virtual"
)

func (w *world) desk() provision.Desk {
	return provision.Desk{Ledger: w.ledger, Operator: "os:test", Software: "station test"}
}

var worn = provision.Why{Reason: "cessationOfOperation", Note: "burnt", Approver: "qa-2"}

func named(serial string) provision.UnitName { return provision.UnitName{Serial: serial} }

// wantRefused checks that nothing was recorded, and why.
func wantRefused(t *testing.T, err error, want string) {
	t.Helper()
	if !errors.Is(err, provision.ErrRefused) || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want refused: %s", err, want)
	}
}

// TestScrap: the certificate is revoked with it, the board refused, its serial
// number free, its key taken for good.
func TestScrap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t)
		defer w.close()
		wantOutcome(t, w.run()[1], record.Passed, "")
		_, err := w.desk().Scrap(t.Context(), named("nobody"), worn)
		wantRefused(t, err, "knows no unit")
		_, err = w.desk().Scrap(t.Context(), named(uid1), provision.Why{Reason: "certificateHold", Approver: "qa-2"})
		wantRefused(t, err, "not a reason to revoke")
		got, err := w.desk().Scrap(t.Context(), named(uid1), worn)
		if err != nil {
			t.Fatal(err)
		}
		revoked, scrap := w.entries(uid1, record.KindRevoked), w.entries(uid1, record.KindScrap)
		issued := w.entries(uid1, record.KindIssued)[0]
		if len(revoked) != 1 || len(scrap) != 1 || revoked[0].Cert != issued.Cert || revoked[0].IssuerKey != issued.IssuerKey ||
			revoked[0].Reason != worn.Reason || scrap[0].Approver != "qa-2" || scrap[0].Detail != "burnt" ||
			!slices.Equal(got.Certificates, []string{issued.CertSerial}) {
			t.Errorf("revoked %+v, scrap %+v, told %+v", revoked, scrap, got)
		}
		for kind, held := range map[string]bool{record.ClaimSerial: false, record.ClaimUID: false, record.ClaimSPKI: true} {
			_, err := w.reader.Held(t.Context(), record.Claim{Kind: kind, Value: issued.Says(kind)})
			if (err == nil) != held {
				t.Errorf("claim %s: %v", kind, err)
			}
		}
		_, err = w.desk().Scrap(t.Context(), named(uid1), worn)
		wantRefused(t, err, "scrapped already")
		_, err = w.desk().RevokeUnit(t.Context(), named(uid1), worn)
		wantRefused(t, err, "no certificate that could be revoked")
		w.open()
		wantOutcome(t, w.run()[1], record.Failed, "F-CONNECT-14")
	})
}

// TestScrapWithoutCertificate: a board that failed before it got one can be
// scrapped; a unit in the middle of a run cannot.
func TestScrapWithoutCertificate(t *testing.T) {
	bubble(t, "failed", func(t *testing.T) {
		w := one(t)
		defer w.close()
		w.product.Model = "another"
		w.open()
		if r := w.run()[1]; r.Outcome != record.Failed {
			t.Fatalf("%+v", r)
		}
		if _, err := w.desk().Scrap(t.Context(), provision.UnitName{UID: uid1}, worn); err != nil {
			t.Error(err)
		}
	})
	bubble(t, "open", func(t *testing.T) {
		w := one(t)
		defer w.close()
		stopAt(w, "issued")
		w.run()
		w.append(record.Body{
			Kind: record.KindBegun, Run: strings.Repeat("ab", 16), Serial: uid1, Model: w.product.Model, UID: uid1,
			Operator: "os:test", Software: "test",
		})
		_, err := w.desk().Scrap(t.Context(), named(uid1), worn)
		wantRefused(t, err, "open run "+strings.Repeat("ab", 16))
		w.open()
		if _, err := w.desk().Scrap(t.Context(), named(uid1), worn); err != nil {
			t.Errorf("after the start that ends it: %v", err)
		}
	})
}

// TestRevokedBoard: no other certificate for a key whose certificate was revoked.
func TestRevokedBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t)
		defer w.close()
		stopAt(w, "issued")
		w.run()
		serial := w.entries(uid1, record.KindIssued)[0].CertSerial
		stolen := provision.Why{Reason: "keyCompromise", Approver: "qa-2"}
		_, err := w.desk().RevokeCertificate(t.Context(), "00ff", stolen)
		wantRefused(t, err, "no certificate with serial")
		if _, err := w.desk().RevokeCertificate(t.Context(), strings.ToUpper(serial), stolen); err != nil {
			t.Fatal(err)
		}
		_, err = w.desk().RevokeCertificate(t.Context(), serial, stolen)
		wantRefused(t, err, "revoked already")
		w.open()
		wantOutcome(t, w.run()[1], record.Failed, "F-CONNECT-17")
		if n := len(w.entries(uid1, record.KindIssued)); n != 1 {
			t.Errorf("%d certificates", n)
		}
	})
}

// TestSerialOfScrapped goes to another board, and names that one from then on.
func TestSerialOfScrapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1), portName(2): board(t, 2)}, func(w *world) {
			w.product.Serial = provision.SerialScan
		})
		defer w.close()
		scan := func(slot int) provision.Result {
			t.Helper()
			w.forget()
			if _, err := w.station.Scan("SN-1"); err != nil {
				t.Fatal(err)
			}
			w.station.Provision()
			return w.finish()[slot]
		}
		wantOutcome(t, scan(1), record.Passed, "")
		if _, err := w.desk().Scrap(t.Context(), named("SN-1"), worn); err != nil {
			t.Fatal(err)
		}
		w.open()
		w.station.Detach(portName(1))
		wantOutcome(t, scan(2), record.Passed, "")
		_, err := w.desk().Scrap(t.Context(), provision.UnitName{Serial: "SN-1", UID: uid1}, worn)
		wantRefused(t, err, "scrapped already")
		got, err := w.desk().RevokeUnit(t.Context(), named("SN-1"), worn)
		if err != nil || got.UID != "b0a4d002" {
			t.Errorf("revoked %+v, %v", got, err)
		}
	})
}

// rotate puts another intermediate of the same root in the place of the one
// that issues, each on record as a station's would be.
func (w *world) rotate() {
	w.t.Helper()
	w.recordIssuer()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	w.signer = key
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		w.t.Fatal(err)
	}
	root, now := w.issuer.Root(), time.Now()
	cert := w.sign(&x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "second intermediate"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(4, 0, 0), BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		SubjectKeyId: issuer.KeyIdentifier(spki), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}, root, &key.PublicKey, w.rootKey)
	if w.issuer, err = issuer.New(issuer.Config{Chain: []*x509.Certificate{cert, root}, Signer: key}); err != nil {
		w.t.Fatal(err)
	}
	w.recordIssuer()
}

func (w *world) recordIssuer() {
	w.t.Helper()
	cert := w.issuer.Certificate()
	b := record.Body{
		Kind: record.KindCA, Action: "installed", Operator: "os:test", Software: "test",
		Cert: digestHex(cert.Raw), IssuerKey: w.issuer.KeyID(),
	}
	if _, err := w.ledger.Append(w.t.Context(), ledger.Batch{Bodies: []record.Body{b}, Blobs: [][]byte{cert.Raw}}); err != nil {
		w.t.Fatal(err)
	}
}

// TestRetiredIssuer: a unit whose certificate is from an intermediate that was
// retired meanwhile is finished with the chain of that one, from every point
// at which its run can have been cut off.
func TestRetiredIssuer(t *testing.T) {
	for _, point := range []string{"issued", "installed", "proven", "locked"} {
		bubble(t, point, func(t *testing.T) {
			w := one(t)
			defer w.close()
			w.recordIssuer()
			stopAt(w, point)
			w.run()
			old := w.issuer
			w.rotate()
			w.open()
			wantOutcome(t, w.run()[1], record.Passed, "")
			issued, ends := w.entries(uid1, record.KindIssued), w.entries(uid1, record.KindEnd)
			leaf, err := w.reader.Blob(t.Context(), issued[0].Cert)
			if err != nil {
				t.Fatal(err)
			}
			chain := slices.Concat(old.Chain(leaf)...)
			if end := ends[len(ends)-1]; len(issued) != 1 || end.ChainReadBack != digestHex(chain) || end.Receipt.Chain != digestHex(chain) {
				t.Errorf("%d certificates, ended with %+v", len(issued), end)
			}
		})
	}
}

func digestHex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
