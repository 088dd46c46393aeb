// SPDX-License-Identifier: Apache-2.0

package authority_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/record"
)

func TestCreateRootOnce(t *testing.T) {
	r, dir := createRoot(t)
	config := authority.RootConfig{Subject: pkix.Name{CommonName: "Another"}}
	if _, err := authority.CreateRoot(dir, config, passphrase); !errors.Is(err, authority.ErrExists) {
		t.Fatalf("second root in one folder: %v, want ErrExists", err)
	}
	if _, err := authority.OpenRoot(dir, passphrase); !errors.Is(err, authority.ErrInUse) {
		t.Errorf("opened twice: %v, want ErrInUse", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := authority.OpenRoot(dir, passphrase)
	if err != nil || !again.Certificate().Equal(r.Certificate()) {
		t.Fatalf("open: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := authority.OpenRoot(dir, []byte("correct horse batterz")); !errors.Is(err, authority.ErrPassphrase) {
		t.Errorf("wrong passphrase: %v, want ErrPassphrase", err)
	}
	noTemporaries(t, filepath.Dir(dir))
	noTemporaries(t, dir)
	info, err := os.Stat(filepath.Join(dir, "root.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info.Mode(), err)
	}
	empty := t.TempDir()
	other, err := authority.CreateRoot(empty, config, passphrase)
	if err != nil {
		t.Fatalf("in an empty folder: %v", err)
	}
	closing(t, other)
}

func TestCreateRootRefuses(t *testing.T) {
	good := authority.RootConfig{Subject: pkix.Name{CommonName: "Root"}}
	for _, c := range []struct {
		name, want string
		change     func(c *authority.RootConfig)
		passphrase string
	}{
		{"short passphrase", "allowed: 12 to 1024", func(*authority.RootConfig) {}, "short"},
		{"no name", "common name", func(c *authority.RootConfig) { c.Subject.CommonName = "" }, string(passphrase)},
		{"too many years", "allowed: 1 to 50", func(c *authority.RootConfig) { c.Years = 51 }, string(passphrase)},
		{"odd curve", "allowed: ECDSA P-256 and P-384", func(c *authority.RootConfig) { c.Curve = elliptic.P521() }, string(passphrase)},
	} {
		dir := filepath.Join(t.TempDir(), "root")
		config := good
		c.change(&config)
		if _, err := authority.CreateRoot(dir, config, []byte(c.passphrase)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a folder was left behind", c.name)
		}
	}
}

// TestKeyFileOpenSSL opens our key file with openssl, and openssl's with ours.
func TestKeyFileOpenSSL(t *testing.T) {
	r, dir := createRoot(t)
	text := openssl(t, dir, "pkey", "-in", "root.key", "-passin", "pass:"+string(passphrase), "-pubout")
	block, _ := pem.Decode([]byte(text))
	if block == nil || !bytes.Equal(block.Bytes, r.Certificate().RawSubjectPublicKeyInfo) {
		t.Errorf("openssl finds another key in the key file:\n%s", text)
	}
	if text := openssl(t, dir, "x509", "-in", "root.pem", "-noout", "-text"); !strings.Contains(text, "CA:TRUE\n") ||
		!strings.Contains(text, "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n") {
		t.Errorf("openssl reads the root as\n%s", text)
	}

	theirs := t.TempDir()
	openssl(t, theirs, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-days", "3650", "-keyout", "plain.key",
		"-nodes", "-out", "root.pem", "-subj", "/CN=Made by openssl", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
	openssl(t, theirs, "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", "plain.key", "-out", "root.key", "-passout", "pass:secret")
	root, err := authority.OpenRoot(theirs, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	closing(t, root)
	s := softStation(t)
	a, err := root.Sign(s.request(t), authority.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	verifyWithOpenSSL(t, s, s.install(t, a.PEM))
}

func TestOpenRootRefuses(t *testing.T) {
	_, sound := newRoot(t)
	for _, c := range []struct {
		name, want string
		spoil      func(t *testing.T, dir string)
	}{
		{"no folder", "root.pem", func(t *testing.T, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}},
		{"another root's key", "not the key of", func(t *testing.T, dir string) {
			_, other := newRoot(t)
			writeFile(t, filepath.Join(dir, "root.key"), readFile(t, filepath.Join(other, "root.key")))
		}},
		{"two certificates", "2 certificates", func(t *testing.T, dir string) {
			path := filepath.Join(dir, "root.pem")
			writeFile(t, path, append(readFile(t, path), readFile(t, path)...))
		}},
		{"plain key", "one PEM block ENCRYPTED PRIVATE KEY", func(t *testing.T, dir string) {
			der, err := x509.MarshalPKCS8PrivateKey(newKey(t, elliptic.P256()))
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(dir, "root.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		}},
		{"weak encryption", "PBES2", func(t *testing.T, dir string) {
			openssl(t, dir, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "p.key")
			openssl(t, dir, "pkcs8", "-topk8", "-v2", "des3", "-in", "p.key", "-out", "root.key", "-passout", "pass:x")
		}},
		{"huge file", "longer than 262144 bytes", func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "root.key"), make([]byte, 1<<20))
		}},
		{"a device's certificate", "no root", func(t *testing.T, dir string) {
			own, err := x509.ParseCertificate(certificateIn(t, filepath.Join(dir, "root.pem")))
			if err != nil {
				t.Fatal(err)
			}
			c := newForeignRoot(t, nil).certify(t, &x509.Certificate{
				SerialNumber: own.SerialNumber, NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0),
			}, own.PublicKey)
			writeFile(t, filepath.Join(dir, "root.pem"), pemOf(c))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "root")
			if err := os.CopyFS(dir, os.DirFS(sound)); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, dir)
			if _, err := authority.OpenRoot(dir, passphrase); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error about %q", err, c.want)
			}
		})
	}
}

func certificateIn(t *testing.T, path string) []byte {
	t.Helper()
	b, _ := pem.Decode(readFile(t, path))
	if b == nil {
		t.Fatalf("%s holds no PEM", path)
	}
	return b.Bytes
}

func TestRootLog(t *testing.T) {
	r, dir := createRoot(t)
	s := softStation(t)
	a, err := r.Sign(s.request(t), authority.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := authority.RootLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(log) != 3 || log[0].Kind != "root" || log[1].Kind != "intermediate" || log[2].Kind != "checkpoint" ||
		!log[0].Certificate.Equal(r.Certificate()) || !log[1].Certificate.Equal(a.Intermediate) ||
		!log[2].Certificate.Equal(a.Checkpoint) || log[2].Origin != "ulm/st-07/1" || log[1].TPM != authority.NotProven || log[2].Seq != 3 {
		t.Errorf("record is %+v", log)
	}
	issued := filepath.Join(dir, "issued", a.Intermediate.SerialNumber.Text(16)+".pem")
	if !bytes.Equal(readFile(t, issued), a.PEM) {
		t.Error("the root's folder does not hold the answer")
	}
}

// TestRootLogTornTail cuts the last write short at every byte: what was
// acknowledged before stays, and the root goes on signing.
func TestRootLogTornTail(t *testing.T) {
	r, dir := newRoot(t)
	path := filepath.Join(dir, "record.jsonl")
	s := softStation(t)
	if _, err := r.Sign(s.request(t), authority.Terms{}); err != nil {
		t.Fatal(err)
	}
	before := readFile(t, path)
	if _, err := r.Sign(s.request(t), authority.Terms{}); err != nil {
		t.Fatal(err)
	}
	full := readFile(t, path)
	firstLine := len(before) + bytes.IndexByte(full[len(before):], '\n') + 1
	for n := len(before); n < firstLine; n += 97 {
		writeFile(t, path, full[:n])
		log, err := authority.RootLog(dir)
		if err != nil || len(log) != 2 {
			t.Fatalf("cut at %d: %d entries, %v", n, len(log), err)
		}
		if _, err := r.Sign(s.request(t), authority.Terms{}); err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if log, err = authority.RootLog(dir); err != nil || len(log) != 4 {
			t.Fatalf("cut at %d, signed again: %d entries, %v", n, len(log), err)
		}
	}
}

// TestRootLogTampered changes the record: the root notices and signs no more.
func TestRootLogTampered(t *testing.T) {
	r, dir := newRoot(t)
	s := softStation(t)
	for range 2 {
		if _, err := r.Sign(s.request(t), authority.Terms{}); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "record.jsonl")
	full := readFile(t, path)
	lines := bytes.SplitAfter(full, []byte("\n"))
	for name, text := range map[string][]byte{
		"first line gone":  bytes.Join(lines[1:], nil),
		"middle line gone": bytes.Join([][]byte{lines[0], lines[2], lines[3]}, nil),
		"lines swapped":    bytes.Join([][]byte{lines[0], lines[2], lines[1], lines[3]}, nil),
		"kind changed":     bytes.Replace(full, []byte(`"checkpoint"`), []byte(`"Checkpoint"`), 1),
		"time changed":     bytes.Replace(full, []byte(`"time":"2`), []byte(`"time":"1`), 1),
		"spaces":           bytes.Replace(full, []byte(`,"kind"`), []byte(`, "kind"`), 1),
		"unknown key":      bytes.Replace(full, []byte(`,"kind"`), []byte(`,"x":1,"kind"`), 1),
		"garbage":          append(bytes.Clone(full), "garbage\n"...),
	} {
		writeFile(t, path, text)
		_, err := authority.RootLog(dir)
		_, signErr := r.Sign(s.request(t), authority.Terms{})
		if err == nil || signErr == nil {
			t.Errorf("%s: %v, %v; want it noticed", name, err, signErr)
		}
	}
}

func TestRootSignTerms(t *testing.T) {
	now := time.Now()
	dir := filepath.Join(t.TempDir(), "root")
	r, err := authority.CreateRoot(dir, authority.RootConfig{Subject: pkix.Name{CommonName: "R"}, Years: 2, Now: now}, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, r)
	q := softStation(t).request(t)
	const year = 365 * 24 * time.Hour
	for _, c := range []struct {
		name, want string
		terms      authority.Terms
	}{
		{"fits", "", authority.Terms{Window: year / 2, Longest: year, Now: now}},
		{"outlives the root", "its root ends", authority.Terms{Window: year, Longest: year, Now: now.Add(48 * time.Hour)}},
		{"before the root", "set the clock", authority.Terms{Now: now.AddDate(0, 0, -2)}},
		{"no window", "a day or more", authority.Terms{Window: time.Hour, Now: now}},
	} {
		a, err := r.Sign(q, c.terms)
		if c.want == "" && (err != nil || a.Intermediate.NotAfter.After(r.Certificate().NotAfter)) ||
			c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if log, err := authority.RootLog(dir); err != nil || len(log) != 3 {
		t.Errorf("record has %d entries (%v), want the root and what was signed once", len(log), err)
	}
}

func TestRequestKept(t *testing.T) {
	s := softStation(t)
	s.request(t)
	was := readFile(t, authority.RequestPath(s.dir))
	s.request(t)
	if !bytes.Equal(readFile(t, authority.RequestPath(s.dir)), was) {
		t.Error("the same request was written anew")
	}
	for name, change := range map[string]func(c *authority.RequestConfig){
		"another key":          func(c *authority.RequestConfig) { c.CA = newKey(t, elliptic.P256()) },
		"another checkpoint":   func(c *authority.RequestConfig) { c.Checkpoint = newKey(t, elliptic.P256()) },
		"another epoch":        func(c *authority.RequestConfig) { c.Origin.Epoch++ },
		"another organization": func(c *authority.RequestConfig) { c.Organization = "" },
		"no longer simulated":  func(c *authority.RequestConfig) { c.Simulated = false },
	} {
		config := s.config
		change(&config)
		if _, err := authority.Request(s.dir, config); !errors.Is(err, authority.ErrExists) {
			t.Errorf("%s: %v, want ErrExists", name, err)
		}
	}
	if !bytes.Equal(readFile(t, authority.RequestPath(s.dir)), was) {
		t.Error("the request was overwritten")
	}
	noTemporaries(t, s.dir)
}

func TestCheckStation(t *testing.T) {
	for name, ok := range map[string]bool{
		"ulm/st-07": true, "a/b": true, "A.b_c/9": true, strings.Repeat("p", 17) + "/" + strings.Repeat("s", 18): true,
		"": false, "ulm": false, "/x": false, "x/": false, "a/b/c": false, "ulm/st 7": false, "ülm/st": false, "ulm/st\n": false,
		strings.Repeat("p", 18) + "/" + strings.Repeat("s", 18): false,
	} {
		if err := authority.CheckStation(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	s := softStation(t)
	s.config.Origin = record.Origin{Station: strings.Repeat("p", 17) + "/" + strings.Repeat("s", 18), Epoch: record.MaxEpoch}
	if n := len(s.request(t).Subject().CommonName); n > 64 {
		t.Errorf("the longest name gives a common name of %d bytes", n)
	}
}
