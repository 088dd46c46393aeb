// SPDX-License-Identifier: Apache-2.0

package enroll_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

// An authority is a throw-away root with one intermediate.
type authority struct {
	root, inter       *x509.Certificate
	rootKey, interKey *ecdsa.PrivateKey
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func certify(t testing.TB, template, parent *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(1000*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newAuthority(t testing.TB) *authority {
	a := &authority{rootKey: newKey(t), interKey: newKey(t)}
	ca := func(cn string) *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{CommonName: cn}, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
	}
	a.root = certify(t, ca("Root"), ca("Root"), a.rootKey.Public(), a.rootKey)
	a.inter = certify(t, ca("Issuing"), a.root, a.interKey.Public(), a.rootKey)
	return a
}

// leaf issues a client certificate and returns it with its chain.
func (a *authority) leaf(t testing.TB, cn string, pub crypto.PublicKey) [][]byte {
	t.Helper()
	c := certify(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: cn}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.inter, pub, a.interKey)
	return [][]byte{c.Raw, a.inter.Raw}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.root)
	return p
}

// A bench is one board, the station's session with it, and what a procedure
// remembers of it.
type bench struct {
	t       testing.TB
	board   *virtual.Board
	ca      *authority
	client  *smp.Client
	session *enroll.Session
	alg     string
	dials   int
}

func newBench(t testing.TB, cfg virtual.Config) *bench {
	t.Helper()
	ca := newAuthority(t)
	if cfg.UID == nil {
		cfg.UID = []byte("board-000001")
	}
	if cfg.Root == nil {
		cfg.Root = ca.root
	}
	board, err := virtual.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, board: board, ca: ca, alg: "ES256"}
	b.plug()
	return b
}

// plug opens a new connection to the same board.
func (b *bench) plug() {
	if b.client != nil {
		b.client.Close()
	}
	b.client = smp.NewClient(smp.ClientConfig{Stream: b.board.Dial()})
	b.session = enroll.New(enroll.Config{Client: b.client})
	b.dials++
}

func (b *bench) close() {
	b.client.Close()
	b.board.Close()
}

// errRequest: the CSR is not what was asked. The issuer's own checks are finer.
var errRequest = errors.New("the request is not what was asked")

// checkRequest is the issuer's part, in short.
func checkRequest(der []byte, alg, cn string, nonce, spki [32]byte) (*x509.CertificateRequest, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	challenge := base64.RawURLEncoding.EncodeToString(nonce[:])
	switch {
	case sha256.Sum256(csr.RawSubjectPublicKeyInfo) != spki:
		return nil, fmt.Errorf("%w: another key", errRequest)
	case csr.SignatureAlgorithm.String() != map[string]string{"ES256": "ECDSA-SHA256", "ES384": "ECDSA-SHA384", "EdDSA": "Ed25519"}[alg]:
		return nil, fmt.Errorf("%w: signed with %v", errRequest, csr.SignatureAlgorithm)
	case csr.Subject.String() != "CN="+cn:
		return nil, fmt.Errorf("%w: subject %s", errRequest, csr.Subject)
	case !bytes.Contains(csr.RawTBSCertificateRequest, []byte(challenge)):
		return nil, fmt.Errorf("%w: stale", errRequest)
	}
	var info struct {
		Version    int
		Subject    asn1.RawValue
		PublicKey  asn1.RawValue
		Attributes []asn1.RawValue `asn1:"set,tag:0"`
	}
	if _, err := asn1.Unmarshal(csr.RawTBSCertificateRequest, &info); err != nil || len(info.Attributes) != 1 {
		return nil, fmt.Errorf("%w: %d attributes (%v)", errRequest, len(info.Attributes), err)
	}
	return csr, nil
}

// errStep says that a board's word about itself does not fit what was done.
var errStep = errors.New("the board is not what it should be by now")

// enrolment runs the whole conversation the way a procedure does. Each part may
// be repeated over a new connection when the link is lost, up to three times.
func (b *bench) enrolment(ctx context.Context) error {
	var (
		info              enroll.Info
		token, nonce      [32]byte
		spki              [32]byte
		chain             [][]byte
		pub               crypto.PublicKey
		flat, anchors, rw []byte
	)
	rand.Read(token[:])
	reworkKey, err := x509.MarshalPKIXPublicKey(newKey(b.t).Public())
	if err != nil {
		return err
	}
	prove := func(ctx context.Context, state enroll.State) error {
		p := enroll.Proof{
			Chain: sha256.Sum256(flat), Anchors: sha256.Sum256(anchors), Rework: sha256.Sum256(rw),
			Root: sha256.Sum256(b.ca.root.Raw), Prot: info.Prot, State: state, UID: info.UID,
		}
		rand.Read(p.Nonce[:])
		sig, err := b.session.Prove(ctx, p.Nonce)
		if err != nil {
			return err
		}
		return p.Verify(pub, b.alg, sig)
	}
	steps := []func(context.Context) error{
		func(ctx context.Context) (err error) {
			info, err = b.session.WaitInfo(ctx)
			if err == nil && info.Proto != 1 {
				return fmt.Errorf("%w: protocol %d", errStep, info.Proto)
			}
			b.session.Expect(info.UID, nil)
			return err
		},
		func(ctx context.Context) (err error) {
			var isNew bool
			spki, isNew, err = b.session.Keygen(ctx, b.alg, token, info.State != enroll.Blank)
			if err == nil && !isNew {
				return fmt.Errorf("%w: an old key", errStep)
			}
			return err
		},
		func(ctx context.Context) error {
			rand.Read(nonce[:])
			der, err := b.session.CSR(ctx, "unit 1", "", nonce)
			if err != nil {
				return err
			}
			csr, err := checkRequest(der, b.alg, "unit 1", nonce, spki)
			if err != nil {
				return err
			}
			pub = csr.PublicKey
			chain = b.ca.leaf(b.t, "unit 1", pub)
			flat, anchors, rw = bytes.Join(chain, nil), b.ca.root.Raw, reworkKey
			return nil
		},
		func(ctx context.Context) error {
			now, err := b.session.Info(ctx)
			if err != nil {
				return err
			}
			if now.State == enroll.Installed {
				return nil
			}
			for name, data := range map[string][]byte{"chain": flat, "anchors": anchors, "rework": rw} {
				if err := b.session.Put(ctx, name, data); err != nil {
					return err
				}
			}
			a, r := sha256.Sum256(anchors), sha256.Sum256(rw)
			return b.session.Commit(ctx, sha256.Sum256(flat), &a, &r)
		},
		func(ctx context.Context) error {
			for name, data := range map[string][]byte{"chain": flat, "anchors": anchors, "rework": rw} {
				back, err := b.session.Get(ctx, name)
				if err != nil {
					return err
				}
				if !bytes.Equal(back, data) {
					return fmt.Errorf("%w: %s", enroll.ErrReadBack, name)
				}
			}
			return prove(ctx, enroll.Installed)
		},
		func(ctx context.Context) error {
			t, err := b.session.Rehearse(ctx, enroll.Rehearsal{Chain: chain, Roots: b.ca.pool(), Alg: b.alg})
			if err == nil && (t.Version != 0x0304 || t.Hash == [32]byte{}) {
				return fmt.Errorf("%w: transcript %v", errStep, t)
			}
			return err
		},
		func(ctx context.Context) error {
			if err := b.session.Lock(ctx, sha256.Sum256(flat)); err != nil {
				return err
			}
			info, err := b.session.Info(ctx)
			if err == nil && info.State != enroll.Locked {
				return fmt.Errorf("%w: not locked", errStep)
			}
			return err
		},
		func(ctx context.Context) error {
			info, err := b.session.Reset(ctx)
			if err == nil && info.State != enroll.Locked {
				return fmt.Errorf("%w: no longer locked", errStep)
			}
			if err != nil {
				return err
			}
			return prove(ctx, enroll.Locked)
		},
	}
	for i, step := range steps {
		err := step(ctx)
		var lost *smp.LinkError
		for tries := 0; errors.As(err, &lost) && tries < 3; tries++ {
			b.plug()
			if i > 0 {
				key := &spki
				if i == 1 {
					key = nil
				}
				b.session.Expect(info.UID, key)
				if _, err = b.session.WaitInfo(ctx); err != nil {
					break
				}
			}
			err = step(ctx)
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

// inBubble runs f with a board in a bubble of fake time.
func inBubble(t *testing.T, cfg virtual.Config, f func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cfg)
		defer b.close()
		f(t, b)
	})
}

func TestEnrolment(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			inBubble(t, virtual.Config{Prot: 0x0f, Compute: 300 * time.Millisecond}, func(t *testing.T, b *bench) {
				b.alg = alg
				if err := b.enrolment(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := b.client.Retries(); n != 0 {
					t.Errorf("%d requests were repeated to a sound board", n)
				}
			})
		})
	}
}
