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
	"crypto/tls"
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
	password := append([]byte{asn1.TagUTF8String, byte(len(challenge))}, challenge...)
	switch {
	case sha256.Sum256(csr.RawSubjectPublicKeyInfo) != spki:
		return nil, fmt.Errorf("%w: another key", errRequest)
	case csr.SignatureAlgorithm.String() != map[string]string{"ES256": "ECDSA-SHA256", "ES384": "ECDSA-SHA384", "EdDSA": "Ed25519"}[alg]:
		return nil, fmt.Errorf("%w: signed with %v", errRequest, csr.SignatureAlgorithm)
	case csr.Subject.String() != "CN="+cn:
		return nil, fmt.Errorf("%w: subject %s", errRequest, csr.Subject)
	case !bytes.Contains(csr.RawTBSCertificateRequest, password):
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

// A run is one pass over one board, as a procedure makes it.
type run struct {
	*bench
	info                     enroll.Info
	token, nonce, spki       [32]byte
	chain                    [][]byte
	pub                      crypto.PublicKey
	flat, anchors, reworkKey []byte
}

// enrolment runs the whole conversation the way a procedure does. Each part may
// be repeated over a new connection when the link is lost, up to three times.
func (b *bench) enrolment(ctx context.Context) error {
	reworkKey, err := x509.MarshalPKIXPublicKey(newKey(b.t).Public())
	if err != nil {
		return err
	}
	r := &run{bench: b, anchors: b.ca.root.Raw, reworkKey: reworkKey}
	rand.Read(r.token[:])
	steps := []func(context.Context) error{r.connect, r.key, r.request, r.install, r.check, r.rehearse, r.lock, r.receipt}
	for i, step := range steps {
		err := step(ctx)
		var lost *smp.LinkError
		for tries := 0; errors.As(err, &lost) && tries < 3; tries++ {
			b.plug()
			if err = r.resume(ctx, i); err == nil {
				err = step(ctx)
			}
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

// resume makes sure that behind a new connection there is still this board.
func (r *run) resume(ctx context.Context, step int) error {
	if step == 0 {
		return nil
	}
	key := &r.spki
	if step == 1 {
		key = nil // it is not known whether the board has made it
	}
	r.session.Expect(r.info.UID, key)
	_, err := r.session.WaitInfo(ctx)
	return err
}

func (r *run) connect(ctx context.Context) (err error) {
	r.info, err = r.session.WaitInfo(ctx)
	if err == nil && r.info.Proto != 1 {
		return fmt.Errorf("%w: protocol %d", errStep, r.info.Proto)
	}
	r.session.Expect(r.info.UID, nil)
	return err
}

func (r *run) key(ctx context.Context) (err error) {
	var isNew bool
	r.spki, isNew, err = r.session.Keygen(ctx, r.alg, r.token, r.info.State != enroll.Blank)
	if err == nil && !isNew {
		return fmt.Errorf("%w: an old key", errStep)
	}
	return err
}

func (r *run) request(ctx context.Context) error {
	rand.Read(r.nonce[:])
	der, err := r.session.CSR(ctx, "unit 1", "", r.nonce)
	if err != nil {
		return err
	}
	csr, err := checkRequest(der, r.alg, "unit 1", r.nonce, r.spki)
	if err != nil {
		return err
	}
	r.pub = csr.PublicKey
	r.chain = r.ca.leaf(r.t, "unit 1", r.pub)
	r.flat = bytes.Join(r.chain, nil)
	return nil
}

func (r *run) objects() map[string][]byte {
	return map[string][]byte{"chain": r.flat, "anchors": r.anchors, "rework": r.reworkKey}
}

func (r *run) install(ctx context.Context) error {
	now, err := r.session.Info(ctx)
	if err != nil || now.State == enroll.Installed {
		return err
	}
	for name, data := range r.objects() {
		if err := r.session.Put(ctx, name, data); err != nil {
			return err
		}
	}
	anchors, rework := sha256.Sum256(r.anchors), sha256.Sum256(r.reworkKey)
	return r.session.Commit(ctx, sha256.Sum256(r.flat), &anchors, &rework)
}

func (r *run) check(ctx context.Context) error {
	for name, data := range r.objects() {
		back, err := r.session.Get(ctx, name)
		if err != nil {
			return err
		}
		if !bytes.Equal(back, data) {
			return fmt.Errorf("%w: %s", enroll.ErrReadBack, name)
		}
	}
	return r.prove(ctx, enroll.Installed)
}

func (r *run) prove(ctx context.Context, state enroll.State) error {
	p := enroll.Proof{
		Chain: sha256.Sum256(r.flat), Anchors: sha256.Sum256(r.anchors), Rework: sha256.Sum256(r.reworkKey),
		Root: sha256.Sum256(r.ca.root.Raw), Prot: r.info.Prot, State: state, UID: r.info.UID,
	}
	rand.Read(p.Nonce[:])
	sig, err := r.session.Prove(ctx, p.Nonce)
	if err != nil {
		return err
	}
	return p.Verify(r.pub, r.alg, sig)
}

func (r *run) rehearse(ctx context.Context) error {
	t, err := r.session.Rehearse(ctx, r.rehearsal(r.chain))
	if err == nil && (t.Version != tls.VersionTLS13 || t.Hash == [32]byte{}) {
		return fmt.Errorf("%w: transcript %v", errStep, t)
	}
	return err
}

func (r *run) lock(ctx context.Context) error {
	if err := r.session.Lock(ctx, sha256.Sum256(r.flat)); err != nil {
		return err
	}
	info, err := r.session.Info(ctx)
	if err == nil && info.State != enroll.Locked {
		return fmt.Errorf("%w: not locked", errStep)
	}
	return err
}

func (r *run) receipt(ctx context.Context) error {
	info, err := r.session.Reset(ctx)
	switch {
	case err != nil:
		return err
	case info.State != enroll.Locked:
		return fmt.Errorf("%w: no longer locked", errStep)
	}
	return r.prove(ctx, enroll.Locked)
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
