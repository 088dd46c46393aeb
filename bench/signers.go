// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/tpmkms"
	steptpm "go.step.sm/crypto/tpm"
	"go.step.sm/crypto/tpm/storage"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/tpm"
	"provisioning.example/station/internal/virtual"
)

// maker turns a board's request into a certificate with a key in the TPM. It
// checks the request's signature, as any CA must.
type maker struct {
	issue func(ctx context.Context) error
	sign  func() error // the bare signature; nil: it cannot be had alone
	close func() error
}

// csr is a request and what it must say.
type csr struct {
	der  []byte
	want issuer.Expect
	unit issuer.Unit
}

// newCSR has a virtual board make a key and a request.
func newCSR(ctx context.Context, p *issuer.Profile) (csr, error) {
	board, err := virtual.New(virtual.Config{UID: []byte{0, 0xC0, 0xFF, 0xEE}})
	if err != nil {
		return csr{}, err
	}
	defer board.Close()
	client := smp.NewClient(smp.ClientConfig{Stream: board.Dial()})
	defer client.Close()
	s := enroll.New(enroll.Config{Client: client})
	info, err := s.WaitInfo(ctx)
	if err != nil {
		return csr{}, err
	}
	c := csr{unit: issuer.Unit{Serial: "SN-1", UID: fmt.Sprintf("%x", info.UID), Model: info.Model}}
	c.want.Alg = "ES256"
	rand.Read(c.want.Nonce[:])
	if c.want.CN, err = p.SubjectCN(c.unit); err != nil {
		return csr{}, err
	}
	if c.want.SN, err = p.SubjectSN(c.unit); err != nil {
		return csr{}, err
	}
	if c.want.SPKI, _, err = s.Keygen(ctx, c.want.Alg, c.want.Nonce, false); err != nil {
		return csr{}, err
	}
	c.der, err = s.CSR(ctx, c.want.CN, c.want.SN, c.want.Nonce)
	return c, err
}

// openKey opens the station's CA key over a socket, as the station does.
func openKey(ctx context.Context, socket string, ref tpm.KeyRef) (*tpm.TPM, *tpm.Key, error) {
	t, err := tpm.Open(ctx, tpm.Config{Spec: "unix:" + socket})
	if err != nil {
		return nil, nil, err
	}
	k, err := t.Key(ctx, ref, func() ([]byte, error) { return []byte(pin), nil })
	if err != nil {
		return nil, nil, errors.Join(err, t.Close())
	}
	return t, k, nil
}

// ourMaker is the station's issuer: request parsed strictly, contents built
// from the profile, linted before and after, the result verified.
func ourMaker(ctx context.Context, p *plant, socket string, c csr, profile *issuer.Profile) (*maker, error) {
	chain, ref, err := p.ca()
	if err != nil {
		return nil, err
	}
	t, key, err := openKey(ctx, socket, ref)
	if err != nil {
		return nil, err
	}
	i, err := issuer.New(issuer.Config{Chain: chain, Signer: key})
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return &maker{func(ctx context.Context) error {
		r, err := issuer.ParseRequest(c.der, c.want)
		if err != nil {
			return err
		}
		d, err := i.Prepare(profile, r, c.unit)
		if err != nil {
			return err
		}
		_, err = i.Sign(ctx, d.TBS(), d.SPKI())
		return err
	}, bareSignature(key), t.Close}, nil
}

// bareSignature signs a digest and nothing more.
func bareSignature(key crypto.Signer) func() error {
	digest := sha256.Sum256([]byte("a digest like any other"))
	return func() error {
		_, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
		return err
	}
}

// kept is a connection to a TPM as go-attestation takes one. It outlives the
// Close after each signature.
type kept struct{ io.ReadWriter }

func (kept) Close() error                    { return nil }
func (kept) MeasurementLog() ([]byte, error) { return nil, nil }

// stepSigner is smallstep's TPM KMS with its key "ca", on the socket that its
// URI names; to it the KMS connects for each command.
func stepSigner(ctx context.Context, dir, socket string) (crypto.Signer, error) {
	kms, err := tpmkms.New(ctx, apiv1.Options{URI: "tpmkms:device=" + socket + ";storage-directory=" + dir})
	if err != nil {
		return nil, err
	}
	_, err = kms.CreateKey(&apiv1.CreateKeyRequest{Name: "tpmkms:name=ca", SignatureAlgorithm: apiv1.ECDSAWithSHA256})
	var exists apiv1.AlreadyExistsError
	if err != nil && !errors.As(err, &exists) {
		return nil, err
	}
	return kms.CreateSigner(&apiv1.CreateSignerRequest{SigningKey: "tpmkms:name=ca"})
}

// stepKeptSigner is the same with a connection that stays, as an open device
// would: the best that this signer can have here.
func stepKeptSigner(ctx context.Context, dir string, conn net.Conn) (crypto.Signer, error) {
	t, err := steptpm.New(steptpm.WithCommandChannel(kept{conn}), steptpm.WithStore(storage.NewDirstore(dir)))
	if err != nil {
		return nil, err
	}
	kms, err := tpmkms.NewWithTPM(ctx, t)
	if err != nil {
		return nil, err
	}
	return kms.CreateSigner(&apiv1.CreateSignerRequest{SigningKey: "tpmkms:name=ca"})
}

// stepMaker is the least that a program around smallstep's signer does: parse
// and check the request, sign a certificate of a fixed form.
func stepMaker(ctx context.Context, p *plant, name, socket string, c csr) (*maker, error) {
	hangUp := func() error { return nil }
	key, err := stepSigner(ctx, p.path("step"), socket)
	if err == nil && name == stepKept {
		var conn net.Conn
		if conn, err = net.Dial("unix", socket); err == nil {
			hangUp = conn.Close
			key, err = stepKeptSigner(ctx, p.path("step"), conn)
		}
	}
	if err != nil {
		return nil, errors.Join(err, hangUp())
	}
	ca, err := intermediate(key.Public())
	if err != nil {
		return nil, errors.Join(err, hangUp())
	}
	return &maker{func(context.Context) error { return plainIssue(c.der, ca, key) }, bareSignature(key), hangUp}, nil
}

// plainIssue makes a client certificate with nothing but crypto/x509.
func plainIssue(der []byte, ca *x509.Certificate, key crypto.Signer) error {
	r, err := x509.ParseCertificateRequest(der)
	if err == nil {
		err = r.CheckSignature()
	}
	if err != nil {
		return err
	}
	var serial [16]byte
	rand.Read(serial[:])
	now := time.Now()
	_, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:]), Subject: r.Subject,
		NotBefore: now, NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca, r.PublicKey, key)
	return err
}

// intermediate is a CA certificate for a key, by a root that is thrown away.
func intermediate(public crypto.PublicKey) (*x509.Certificate, error) {
	root, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	form := func(cn string) *x509.Certificate {
		sum := sha256.Sum256([]byte(cn))
		return &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cn}, SubjectKeyId: sum[:20],
			NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, form("Bench CA"), form("Bench root"), public, root)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// opensslMaker is one process of openssl for each certificate, with the TPM's
// provider and the very key of the station.
func opensslMaker(p *plant, socket, key, caFile string, c csr) (*maker, error) {
	request := p.path("unit.csr")
	if err := os.WriteFile(request, c.der, 0o600); err != nil {
		return nil, err
	}
	return &maker{func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, "openssl", "x509", "-req", "-provider", "tpm2", "-provider", "default",
			"-inform", "DER", "-in", request, "-CA", caFile, "-CAkey", key, "-passin", "pass:"+pin,
			"-set_serial", "0x4D2", "-days", "365", "-out", os.DevNull)
		cmd.Env = append(os.Environ(), "TPM2OPENSSL_TCTI=swtpm:path="+socket, "TSS2_LOG=all+NONE")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("openssl x509: %w\n%s", err, out)
		}
		return nil
	}, nil, func() error { return nil }}, nil
}

// opensslFile makes a key of openssl's own in the TPM, kept as a file, and its
// certificate; it returns both paths.
func opensslFile(ctx context.Context, p *plant, socket string) (key, ca string, err error) {
	key, ca = p.path("openssl.key"), p.path("openssl.pem")
	run := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, "openssl", args...)
		cmd.Env = append(os.Environ(), "TPM2OPENSSL_TCTI=swtpm:path="+socket, "TSS2_LOG=all+NONE")
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("openssl %s: %w", args[0], err)
		}
		return out, nil
	}
	if _, err = run("genpkey", "-provider", "tpm2", "-algorithm", "EC", "-pkeyopt", "group:P-256", "-out", key); err != nil {
		return "", "", err
	}
	text, err := run("pkey", "-provider", "tpm2", "-provider", "default", "-in", key, "-pubout")
	if err != nil {
		return "", "", err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return "", "", errors.New("openssl pkey: no public key")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return "", "", err
	}
	cert, err := intermediate(public)
	if err != nil {
		return "", "", err
	}
	return key, ca, writePEM(ca, cert)
}

func writePEM(path string, cert *x509.Certificate) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600)
}

// makers are all who are compared on one socket, ready to be opened in turn: a
// TPM on a socket serves one client.
type makers struct {
	p        *plant
	socket   string
	csr      csr
	profile  *issuer.Profile
	handle   string // the station's key for openssl
	handleCA string
	file     string // openssl's own key
	fileCA   string
}

func newMakers(ctx context.Context, p *plant, socket string) (*makers, error) {
	m := &makers{p: p, socket: socket}
	var err error
	if m.profile, err = issuer.BuiltinProfile("mtls"); err != nil {
		return nil, err
	}
	if m.csr, err = newCSR(ctx, m.profile); err != nil {
		return nil, err
	}
	chain, ref, err := p.ca()
	if err != nil {
		return nil, err
	}
	m.handle, m.handleCA = fmt.Sprintf("handle:%#x?pass", ref.Handle), filepath.Join(p.dir, "station.pem")
	if err := writePEM(m.handleCA, chain[0]); err != nil {
		return nil, err
	}
	m.file, m.fileCA, err = opensslFile(ctx, p, socket)
	return m, err
}

// The makers by name.
const (
	ours       = "ours"
	stepKept   = "tpmkms, connection kept"
	stepURI    = "tpmkms, as its URI says"
	opensslKey = "openssl, persistent key"
	opensslTSS = "openssl, key file"
)

func (m *makers) open(ctx context.Context, name string) (*maker, error) {
	switch name {
	case ours:
		return ourMaker(ctx, m.p, m.socket, m.csr, m.profile)
	case stepKept, stepURI:
		return stepMaker(ctx, m.p, name, m.socket, m.csr)
	case opensslKey:
		return opensslMaker(m.p, m.socket, m.handle, m.handleCA, m.csr)
	case opensslTSS:
		return opensslMaker(m.p, m.socket, m.file, m.fileCA, m.csr)
	}
	return nil, fmt.Errorf("nobody is called %q", name)
}
