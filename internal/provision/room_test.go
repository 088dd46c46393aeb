// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/virtual"
)

// anchorsOf makes a PEM file with one root of at least so many bytes.
func anchorsOf(t *testing.T, w *world, size int) (path string, length int) {
	t.Helper()
	form := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "server root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
		OCSPServer: []string{"http://example.com/" + strings.Repeat("a", size)},
	}
	root := w.sign(form, form, &w.rootKey.PublicKey, w.rootKey)
	path = filepath.Join(t.TempDir(), "anchors.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, len(root.Raw)
}

// TestRoomForAnchors: a board that cannot hold the product's anchors is told
// from one that can before it makes a key.
func TestRoomForAnchors(t *testing.T) {
	for name, c := range map[string]struct {
		spare int // bytes that the board has for more than the anchors
		want  string
	}{
		"just enough": {0, ""},
		"a byte less": {-1, "F-CONNECT-22"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				boards := map[string]*virtual.Board{}
				w := newWorld(t, boards, func(w *world) {
					path, length := anchorsOf(t, w, 3000)
					w.product.Anchors = []string{path}
					boards[portName(1)] = board(t, 1, func(v *virtual.Config) { v.Max = length + c.spare })
					w.ports = []string{portName(1)}
				})
				defer w.close()
				r := w.run()[1]
				if code(r.Fault) != c.want {
					t.Errorf("ended with %v, want %s", r.Fault, c.want)
				}
				if c.want != "" && (w.boards[portName(1)].State() != 0 || len(w.entries(uid1, record.KindKey)) > 0) {
					t.Error("the board made a key")
				}
			})
		})
	}
}
