// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/provision"
)

// FuzzProduct: a product's file with a certificate file beside it is refused
// with its name, or is a product whose settings can be used.
func FuzzProduct(f *testing.F) {
	f.Add([]byte("name = \"a\"\nmodel = \"b\"\nanchors = [\"server-root.pem\"]\n"), []byte{})
	f.Fuzz(func(t *testing.T, text, roots []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, "product.toml")
		for name, data := range map[string][]byte{path: text, filepath.Join(dir, "server-root.pem"): roots} {
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p, err := provision.LoadProduct(path)
		if err != nil {
			if !strings.HasPrefix(err.Error(), path) {
				t.Errorf("refused without the file's name: %v", err)
			}
			return
		}
		if baud, _, _ := p.Line(); p.Name() == "" || p.Profile() == "" || p.SerialSource() == "" || baud < 9600 {
			t.Errorf("accepted: name %q, profile %q, serial %q, %d baud", p.Name(), p.Profile(), p.SerialSource(), baud)
		}
		p.MatchesUSB("0403", "6015")
	})
}
