// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/record"
)

// TestStandardToolsAgree runs the commands that docs/ledger.md prints, word for word, on a real ledger.
func TestStandardToolsAgree(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "ledger.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(doc), "```sh\n")
	script, _, closed := strings.Cut(rest, "```\n")
	if !found || !closed {
		t.Fatal("docs/ledger.md prints no commands")
	}
	c := create(t)
	l := open(t, c)
	var many []record.Body
	for i := range 20 {
		many = append(many, stop(fmt.Sprintf("entry „%d“", i)))
	}
	appendTo(t, l, bodies(many...))
	if err := l.Cover(t.Context(), 20); err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(l.Verifier().PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	key := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	if err := os.WriteFile(filepath.Join(dir, "checkpoint-key.pem"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(c.Path, filepath.Join(dir, "ledger.db")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-e", "-o", "pipefail", "-c", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	e, err := l.Reader().Entry(t.Context(), 1, 17)
	if err != nil {
		t.Fatal(err)
	}
	leaf := hex.EncodeToString(e.Leaf[:])
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 23 || !strings.HasPrefix(lines[0], "20|") || lines[20] != leaf || lines[21] != leaf+"  -" || lines[22] != "Verified OK" {
		t.Errorf("entry 17 has leaf %s, the tools say\n%s", leaf, out)
	}
}
