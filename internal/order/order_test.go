// SPDX-License-Identifier: Apache-2.0

package order_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/order"
)

const good = "order = \"WO-1\"\nproduct = \"pump\"\nquantity = 5\n"

func TestParse(t *testing.T) {
	o, err := order.Parse("WO-1.toml", []byte(good+"serial = \"range\"\nfirst = \"PC-0098\"\nlast = \"PC-0103\"\ndue = \"2026-12-24\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	r := o.Numbers()
	if o.Name() != "WO-1" || o.Product() != "pump" || o.Quantity() != 5 || o.Serial() != order.Counted || o.Due().Day() != 24 || r.Len() != 6 {
		t.Errorf("%+v", o)
	}
	if r.At(2) != "PC-0100" || r.First() != "PC-0098" || r.Last() != "PC-0103" {
		t.Errorf("%s %s %s", r.First(), r.At(2), r.Last())
	}
	for serial, want := range map[string]int64{"PC-0098": 0, "PC-0103": 5, "PC-0097": -1, "PC-0104": -1, "PC-00100": -1, "PX-0100": -1, "PC-+100": -1, "PC-010": -1} {
		if n, ok := r.Index(serial); ok != (want >= 0) || ok && n != want {
			t.Errorf("%s is %d, %v", serial, n, ok)
		}
	}
	scanned, err := order.Parse("WO-1.toml", []byte(good+"serial = \"scanned\"\npattern = 'A[0-9]+|B'\n"))
	if err != nil {
		t.Fatal(err)
	}
	for label, want := range map[string]bool{"A12": true, "B": true, "A12B": false, "xB": false, "": false} {
		if scanned.Accepts(label) != want {
			t.Errorf("label %q accepted: %v", label, !want)
		}
	}
	if !o.Accepts("anything") || o.Same(scanned) || !o.Same(o) {
		t.Error("pattern or digest")
	}
}

// TestParseRefuses: each mistake names its file, its line and what is allowed.
func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"order = \"WO-1\"\nproduct = \"pump\"\n":                                                                         "o.toml:1: quantity: how many",
		"order = \"../x\"\nproduct = \"pump\"\nquantity = 1\n":                                                           "o.toml:1: order: the order's name",
		"order = \"WO-1\"\nproduct = \"a/b\"\nquantity = 1\n":                                                            "o.toml:2: product: ",
		"order = \"WO-1\"\nproduct = \"pump\"\nquantity = 0\n":                                                           "o.toml:3: quantity: ",
		"order = \"WO-1\"\nproduct = \"pump\"\nquantity = 1000001\n":                                                     "o.toml:3: quantity: ",
		"order = \"WO-1\"\nproduct = \"pump\"\nquantity = many\n":                                                        "o.toml:3: ",
		good + "colour = \"red\"\n":                                                                                      "o.toml:4: unknown key \"colour\"",
		good + "serial = \"guessed\"\n":                                                                                  "o.toml:4: serial: where",
		good + "first = \"A1\"\n":                                                                                        "o.toml:4: first: goes with",
		good + "pattern = \"A1\"\n":                                                                                      "o.toml:4: pattern: goes with",
		good + "manifest = \"A1\"\n":                                                                                     "o.toml:4: manifest: goes with",
		good + "serial = \"range\"\nfirst = \"A1\"\n":                                                                    "o.toml:4: serial: a range needs",
		good + "serial = \"range\"\nfirst = \"A1\"\nlast = \"A4\"\n":                                                     "o.toml:6: last: 4 numbers",
		good + "serial = \"range\"\nfirst = \"A9\"\nlast = \"A10\"\n":                                                    "o.toml:6: last: first is",
		good + "serial = \"range\"\nfirst = \"A10\"\nlast = \"B20\"\n":                                                   "o.toml:6: last: first is",
		good + "serial = \"range\"\nfirst = \"A20\"\nlast = \"A10\"\n":                                                   "which comes before",
		good + "serial = \"range\"\nfirst = \"AB\"\nlast = \"AC\"\n":                                                     "ends with the number",
		good + "serial = \"range\"\nfirst = \"=A1\"\nlast = \"=A9\"\n":                                                   "is no serial",
		good + "serial = \"scanned\"\npattern = \"[\"\n":                                                                 "o.toml:5: pattern: a regular expression",
		good + "serial = \"scanned\"\npattern = \"a)|(b\"\n":                                                             "o.toml:5: pattern: a regular expression",
		good + "serial = \"manifest\"\nmanifest = \"m.csv\"\n":                                                           "o.toml:4: serial: a manifest needs",
		good + "serial = \"manifest\"\nmanifest = \"../m.csv\"\nmanifest_sha256 = \"" + strings.Repeat("0", 64) + "\"\n": "o.toml:5: manifest: the name",
		good + "serial = \"manifest\"\nmanifest = \"m.csv\"\nmanifest_sha256 = \"00\"\n":                                 "o.toml:6: manifest_sha256: ",
		good + "due = \"soon\"\n":                                                                                        "o.toml:4: due: the last day",
	} {
		if _, err := order.Parse("o.toml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\n%v, want %q", text, err, want)
		}
	}
}

// TestLoadSigned: openssl signs as an office would; what was changed since, or
// signed by somebody else, is refused.
func TestLoadSigned(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "WO-1.toml")
	write(t, path, good)
	for _, name := range []string{"office", "other"} {
		openssl(t, dir, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", name+".key")
		openssl(t, dir, "ec", "-in", name+".key", "-pubout", "-out", name+".pem")
	}
	key, err := order.ReadKey(filepath.Join(dir, "office.pem"))
	if err != nil {
		t.Fatal(err)
	}
	load := func(want error) {
		t.Helper()
		if o, err := order.Load(path, key); !errors.Is(err, want) || err == nil && !o.Signed() {
			t.Errorf("%v, want %v", err, want)
		}
	}
	load(order.ErrSignature)
	openssl(t, dir, "dgst", "-sha256", "-sign", "office.key", "-out", "WO-1.toml.sig", "WO-1.toml")
	load(nil)
	write(t, path, strings.Replace(good, "5", "6", 1))
	load(order.ErrSignature)
	openssl(t, dir, "dgst", "-sha256", "-sign", "other.key", "-out", "WO-1.toml.sig", "WO-1.toml")
	load(order.ErrSignature)
	write(t, path+".sig", strings.Repeat("x", 1000))
	load(order.ErrSignature)
	if o, err := order.Load(path, nil); err != nil || o.Signed() {
		t.Errorf("without a key: %v", err)
	}
	write(t, filepath.Join(dir, "WO-2.toml"), good)
	if _, err := order.Load(filepath.Join(dir, "WO-2.toml"), nil); err == nil || !strings.Contains(err.Error(), "WO-2.toml:1: order: ") {
		t.Errorf("another name: %v", err)
	}
	for _, name := range []string{"office.key", "WO-1.toml", "none.pem"} {
		if _, err := order.ReadKey(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is taken for a public key", name)
		}
	}
}

func TestHolds(t *testing.T) {
	list := []byte("serial\nA1\n")
	o, err := order.Parse("o.toml", fmt.Appendf(nil, "%sserial = \"manifest\"\nmanifest = \"m.csv\"\nmanifest_sha256 = \"%x\"\n", good, sha256.Sum256(list)))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Holds(list); err != nil {
		t.Error(err)
	}
	if err := o.Holds(append(list, '\n')); err == nil {
		t.Error("another manifest is taken")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func openssl(t *testing.T, dir string, args ...string) {
	t.Helper()
	c := exec.Command("openssl", args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
}

// FuzzParse: an order is refused with its file's name, or can be built.
func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(good + "serial = \"range\"\nfirst = \"A0001\"\nlast = \"A0099\"\n"))
	f.Add([]byte(good + "serial = \"scanned\"\npattern = 'A[0-9]{4}'\n"))
	f.Add([]byte(good + "serial = \"manifest\"\nmanifest = \"m.csv\"\nmanifest_sha256 = \"" + strings.Repeat("0", 64) + "\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := order.Parse("o.toml", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "o.toml") {
				t.Errorf("refused without the file's name: %v", err)
			}
			return
		}
		if order.CheckName(o.Name()) != nil || o.Quantity() < 1 || o.Quantity() > order.MaxQuantity {
			t.Errorf("accepted: %q, %d", o.Name(), o.Quantity())
		}
		o.Accepts("label")
		r := o.Numbers()
		if o.Serial() != order.Counted {
			return
		}
		for _, n := range []int64{0, r.Len() / 2, r.Len() - 1} {
			if i, ok := r.Index(r.At(n)); !ok || i != n || order.CheckSerial(r.At(n)) != nil {
				t.Errorf("number %d is %q, found at %d, %v", n, r.At(n), i, ok)
			}
		}
	})
}

// TestExample: the commented example is what the parser takes.
func TestExample(t *testing.T) {
	o, err := order.Load("../../testdata/order.toml", nil)
	if err != nil || o.Quantity() != 500 || o.Numbers().Len() != 600 {
		t.Errorf("%+v, %v", o, err)
	}
}
