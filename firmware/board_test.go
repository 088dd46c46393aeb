// SPDX-License-Identifier: Apache-2.0

package firmware_test

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/port"
	"provisioning.example/station/internal/smp"
)

// agentPath is the board as a process.
const agentPath = "build/posix-agent"

// patience bounds every wait of these tests, for the slowest machine: none needs
// it, and reaching it is a failure.
const patience = 5 * time.Minute

// A board is a posix agent: its state file outlives its process.
type board struct {
	uid   []byte
	dir   string
	flags []string

	cmd *exec.Cmd
}

// newBoard starts a board of its own, with more flags for the agent.
func newBoard(t *testing.T, flags ...string) *board {
	t.Helper()
	if _, err := os.Stat(agentPath); err != nil {
		t.Fatalf("%v; run make -C firmware", err)
	}
	b := &board{uid: random(t, 12), dir: t.TempDir(), flags: flags}
	b.start(t)
	t.Cleanup(func() { b.stop(t) })
	return b
}

func (b *board) state() string { return filepath.Join(b.dir, "state") }
func (b *board) link() string  { return filepath.Join(b.dir, "tty") }

// flash returns the bytes of the board's flash as they stand.
func (b *board) flash(t *testing.T) []byte {
	t.Helper()
	flash, err := os.ReadFile(b.state())
	if err != nil {
		t.Fatal(err)
	}
	return flash
}

func (b *board) start(t *testing.T) {
	t.Helper()
	args := append([]string{"--state", b.state(), "--link", b.link(), "--uid", hex.EncodeToString(b.uid)}, b.flags...)
	b.cmd = exec.Command(agentPath, args...)
	b.cmd.Stderr = os.Stderr
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = b.cmd.Process.Kill() })
	defer late.Stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if want := "ready " + b.link() + "\n"; line != want {
		t.Fatalf("agent said %q, %v; want %q", line, err, want)
	}
}

// powerCut ends the process at once and starts another one.
func (b *board) powerCut(t *testing.T) {
	t.Helper()
	b.kill(t)
	b.start(t)
}

func (b *board) kill(t *testing.T) {
	t.Helper()
	if err := b.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = b.cmd.Wait() // it says that the process was killed
}

// stop asks the agent to end, which takes its link away.
func (b *board) stop(t *testing.T) {
	if b.cmd.ProcessState != nil {
		return
	}
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := b.cmd.Wait(); err != nil {
		t.Errorf("agent: %v", err)
	}
	if _, err := os.Lstat(b.link()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link is still there: %v", err)
	}
}

// A talk is a connection to a board.
type talk struct {
	*enroll.Session
	client *smp.Client
	info   enroll.Info
}

// connect opens the board's console as a station does.
func connect(t *testing.T, b *board) *talk {
	t.Helper()
	p, err := port.Open(t.Context(), b.link(), port.Options{})
	if err != nil {
		t.Fatal(err)
	}
	client := smp.NewClient(smp.ClientConfig{Stream: p})
	t.Cleanup(func() { _ = client.Close() }) // twice where the test closed it
	c := &talk{Session: enroll.New(enroll.Config{Client: client}), client: client}
	if c.info, err = c.WaitInfo(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *talk) close(t *testing.T) {
	t.Helper()
	if err := c.client.Close(); err != nil {
		t.Fatal(err)
	}
}

// A plant is a root and an intermediate made for one test.
type plant struct {
	root, issuer       *x509.Certificate
	rootKey, issuerKey *ecdsa.PrivateKey
	rework             *ecdsa.PrivateKey
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	p := &plant{rootKey: newKey(t), issuerKey: newKey(t), rework: newKey(t)}
	p.root = authority(t, "Root", p.rootKey, nil, p.rootKey)
	p.issuer = authority(t, "Issuing", p.issuerKey, p.root, p.rootKey)
	return p
}

// pin writes the root where a board's firmware reads it.
func (p *plant) pin(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root.der")
	if err := os.WriteFile(path, p.root.Raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certify returns the chain object for a public key.
func (p *plant) certify(t *testing.T, pub any) []byte {
	t.Helper()
	leaf := certificate(t, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "unit"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, p.issuer, pub, p.issuerKey)
	return append(leaf.Raw, p.issuer.Raw...)
}

// reworkObject returns the object that lets p unlock its boards.
func (p *plant) reworkObject(t *testing.T) []byte {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(p.rework.Public())
	if err != nil {
		t.Fatal(err)
	}
	return spki
}

func authority(t *testing.T, name string, key *ecdsa.PrivateKey, parent *x509.Certificate, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	if parent == nil {
		parent = template
	}
	return certificate(t, template, parent, key.Public(), signer)
}

func certificate(t *testing.T, template, parent *x509.Certificate, pub any, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	template.SerialNumber = new(big.Int).SetBytes(random(t, 8))
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(time.Hour)
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

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func random(t *testing.T, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func token(t *testing.T) [32]byte { return [32]byte(random(t, 32)) }

func digest(b []byte) *[32]byte {
	d := sha256.Sum256(b)
	return &d
}

// wantRC fails the test unless err carries this code of group 64.
func wantRC(t *testing.T, what string, err error, rc int) {
	t.Helper()
	var refused *smp.RCError
	if !errors.As(err, &refused) || refused.Group != 64 || refused.RC != rc {
		t.Fatalf("%s: %v; want group 64 rc %s", what, err, strconv.Itoa(rc))
	}
}

// deadline bounds a whole conversation.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
