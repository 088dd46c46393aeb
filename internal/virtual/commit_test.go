// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/vector"
)

// readVectors returns the cases of one shared file.
func readVectors(t testing.TB, name string) []vector.Case {
	t.Helper()
	cases, err := vector.Read(filepath.Join(vectorDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// TestCheckObjects runs the vectors of commit whose outcome does not depend on
// how the objects were staged through the bare checks.
func TestCheckObjects(t *testing.T) {
	ran := 0
	for _, c := range readVectors(t, "commit.txt") {
		rc := int(c.Fields["rc"][0])
		if rc == rcWrongState || rc == rcOffset || rc == rcDigest {
			continue // staging decides: see TestCommitVectors
		}
		ran++
		objects := map[string][]byte{}
		for _, o := range []string{"chain", "anchors", "rework"} {
			if c.Has(o + "_sha") {
				objects[o] = c.Fields[o]
			}
		}
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), c.Fields["d"])
		if err != nil {
			t.Fatal(err)
		}
		var root *x509.Certificate
		if c.Has("root") {
			if root, err = x509.ParseCertificate(c.Fields["root"]); err != nil {
				t.Fatal(err)
			}
		}
		for name, o := range objects {
			if len(o) > 2048 {
				t.Errorf("%s: %s has %d bytes; every board must take it, so 2048 at most", c.Name, name, len(o))
			}
		}
		if got := checkObjects(objects, mustSPKI(t, key.Public()), root, strings.Split(c.Text("verify_text"), ",")); got != rc {
			t.Errorf("%s: rc %d, want %d", c.Name, got, rc)
		}
	}
	if ran < 40 {
		t.Errorf("only %d cases checked", ran)
	}
}
