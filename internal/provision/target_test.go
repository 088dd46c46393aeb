// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/virtual"
)

// A target is a product's own TLS server: a real one, on a local port. It
// demands client certificates that chain to a root, and TLS 1.3.
type target struct {
	address string
	root    string // PEM file with the root of its own certificate
	stop    func()

	mu      sync.Mutex // guards clients
	clients []string   // certificates it accepted, SHA-256 in hex
}

func newTarget(t *testing.T, clients *x509.Certificate) *target {
	t.Helper()
	s := &target{root: filepath.Join(t.TempDir(), "server.pem")}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(clients)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	var work sync.WaitGroup
	s.stop = sync.OnceFunc(func() { listener.Close(); work.Wait() })
	t.Cleanup(s.stop)
	work.Go(func() { s.serve(listener) })
	return s
}

// serve takes one client after the other until the listener is closed.
func (s *target) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = conn.Read(make([]byte, 1)) // until the client is done, or refused: that is the client's to see
		if seen := conn.(*tls.Conn).ConnectionState(); len(seen.VerifiedChains) > 0 {
			leaf := sha256.Sum256(seen.PeerCertificates[0].Raw)
			s.mu.Lock()
			s.clients = append(s.clients, hex.EncodeToString(leaf[:]))
			s.mu.Unlock()
		}
		conn.Close()
	}
}

// TestRehearseTarget rehearses with the TLS server that the product names
// instead of the station's own.
func TestRehearseTarget(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"": "", "trusts another root": "F-REHEARSE-01", "unreachable": "F-REHEARSE-02"} {
		t.Run("server "+name, func(t *testing.T) {
			t.Parallel()
			var server *target
			w := newWorld(t, map[string]*virtual.Board{portName(1): board(t, 1)}, func(w *world) {
				clients := w.issuer.Root()
				if want == "F-REHEARSE-01" {
					other := &world{t: t}
					other.makeAuthority()
					clients = other.issuer.Root()
				}
				server = newTarget(t, clients)
				if want == "F-REHEARSE-02" {
					server.stop() // the port is free now, and nobody listens
				}
				w.product.Rehearse, w.product.RehearseRoot = server.address, server.root
			})
			defer w.close()
			r := w.run()[1]
			server.stop()
			if code(r.Fault) != want {
				t.Fatalf("ended with %v, want %q", r.Fault, want)
			}
			accepted := 0
			if want == "" {
				accepted = 1
			}
			if n := len(server.clients); n != accepted || n > 0 && server.clients[0] != r.CertSHA256 {
				t.Errorf("the server accepted %v, the board's certificate is %s", server.clients, r.CertSHA256)
			}
			w.checkRecord(t, r)
			if end := w.entries(r.UID, record.KindEnd)[0]; (end.Rehearsal != "") != (want == "") {
				t.Errorf("the ledger has the rehearsal %q", end.Rehearsal)
			}
		})
	}
}
