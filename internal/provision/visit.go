// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"log/slog"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/smp"
)

// Line is how a board is reached that is not in a slot's run.
type Line struct {
	Port string // as it stands in the ledger
	Baud int    // for how long an answer may take
	Open func(ctx context.Context) (smp.Stream, error)
	Log  *slog.Logger // nil: no log
}

// visit is a talk with the board of a unit that the ledger knows.
type visit struct {
	desk Desk
	unit *unitOnRecord
	line Line

	client  *smp.Client
	session *enroll.Session
	info    enroll.Info
	receipt *record.Receipt // the fresh proof
}

// meet opens the line and makes sure that the unit's board is there.
func (v *visit) meet(ctx context.Context) error {
	if v.line.Log == nil {
		v.line.Log = slog.New(slog.DiscardHandler)
	}
	stream, err := v.line.Open(ctx)
	if err != nil {
		return fmt.Errorf("open %s: %w", v.line.Port, err)
	}
	v.client = smp.NewClient(smp.ClientConfig{Stream: stream, Baud: v.line.Baud, Log: v.line.Log})
	v.session = enroll.New(enroll.Config{Client: v.client, Log: v.line.Log})
	if v.info, err = v.session.WaitInfo(ctx); err != nil {
		v.leave()
		return err
	}
	if uid := hexOf(v.info.UID); v.info.Model != v.unit.model || uid != v.unit.uid {
		v.leave()
		return refused("the board at %s is %s/%s, unit %s is board %s/%s: connect the unit's own board",
			v.line.Port, record.Plain(v.info.Model, 64), uid, v.unit.serial, v.unit.model, v.unit.uid)
	}
	v.session.Expect(v.info.UID, v.info.SPKI)
	return nil
}

func (v *visit) leave() { v.client.Close() }

// certificate is the last one that the board got, live or not.
func (v *visit) certificate(ctx context.Context) (*x509.Certificate, error) {
	last := v.unit.history.last
	der, err := v.desk.Ledger.Reader().Blob(ctx, last.Cert)
	if err != nil {
		return nil, fmt.Errorf("read certificate %s: %w", last.CertSerial, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read certificate %s: %w", last.CertSerial, err)
	}
	return cert, nil
}

// prove demands a fresh proof under the key of the unit's certificate. What the
// board says that it stores is proven with it.
func (v *visit) prove(ctx context.Context) error {
	cert, err := v.certificate(ctx)
	if err != nil {
		return err
	}
	i := v.info
	p := enroll.Proof{
		Chain: orZero(i.Chain), Anchors: orZero(i.Anchors), Rework: orZero(i.Rework), Root: orZero(i.Root),
		Prot: i.Prot, State: i.State, UID: i.UID,
	}
	rand.Read(p.Nonce[:])
	sig, err := v.session.Prove(ctx, p.Nonce)
	if err != nil {
		return err
	}
	alg := algOf(cert.PublicKey)
	if err := p.Verify(cert.PublicKey, alg, sig); err != nil {
		return refused("the board at %s did not prove that it has the key of unit %s (%v): it is another one; give it to QA", v.line.Port, v.unit.serial, err)
	}
	v.receipt = &record.Receipt{
		Alg: alg, Nonce: hexOf(p.Nonce[:]), Chain: present(p.Chain), Anchors: present(p.Anchors), Rework: present(p.Rework),
		Root: present(p.Root), Prot: int(p.Prot), State: int(p.State), UID: hexOf(p.UID), Sig: hexOf(sig),
	}
	return nil
}

func orZero(d *[32]byte) [32]byte {
	if d == nil {
		return [32]byte{}
	}
	return *d
}

// algOf names the algorithm of a board's key (protocol, algorithms); "" for
// one that no board may have.
func algOf(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return "ES256"
		case elliptic.P384():
			return "ES384"
		}
	case ed25519.PublicKey:
		return "EdDSA"
	case *rsa.PublicKey:
		return "RS256"
	}
	return ""
}
