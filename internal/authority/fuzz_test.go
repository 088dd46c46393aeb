// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

// seeds adds every file of a folder of testdata; a corpus that is not there
// fails the test.
func seeds(f *testing.F, pattern string) {
	f.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no seeds in testdata/%s: %v", pattern, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// FuzzCertificates: what is accepted holds together or is refused, and nothing
// makes the search for a chain panic.
func FuzzCertificates(f *testing.F) {
	seeds(f, "*.pem")
	f.Fuzz(func(t *testing.T, text []byte) {
		certs, err := parseCertificates(text)
		if err != nil {
			return
		}
		first := certs[0]
		if checkIntermediate(first) != nil {
			return
		}
		chain, err := chainOf(first, certs, first.NotBefore)
		if err != nil {
			return
		}
		for n, c := range chain[:len(chain)-1] {
			if c.CheckSignatureFrom(chain[n+1]) != nil {
				t.Errorf("link %d does not hold", n)
			}
		}
		if !isRoot(chain[len(chain)-1]) {
			t.Error("the chain ends at no root")
		}
	})
}

// FuzzKeyFile: a key file that is accepted is written again as it was.
func FuzzKeyFile(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join("testdata", "*.key"))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		block, _ := pem.Decode(data)
		f.Add(block.Bytes)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		s, err := parseSealedKey(&pem.Block{Bytes: der})
		if err != nil {
			return
		}
		again, err := s.encode()
		if err != nil || !bytes.Equal(again, der) {
			t.Errorf("%x is written again as %x: %v", der, again, err)
		}
		if s.rounds > maxRounds || len(s.ciphertext) > maxKeyCipher {
			t.Error("accepted beyond its bounds")
		}
	})
}

// FuzzRecord: a record that is accepted is a chain of lines in their one form.
func FuzzRecord(f *testing.F) {
	seeds(f, "*.jsonl")
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, err := parseRecord(text)
		if err != nil {
			return
		}
		n := 0
		for line := range bytes.Lines(text) {
			var l recordLine
			if err := json.Unmarshal(line, &l); err != nil || !bytes.Equal(l.Cert, entries[n].Certificate.Raw) {
				t.Errorf("line %d is not entry %d: %v", n+1, n+1, err)
			}
			n++
		}
		if n != len(entries) {
			t.Errorf("%d lines, %d entries", n, len(entries))
		}
	})
}

// TestKeyFileBounds: a key file cannot ask for hours of work.
func TestKeyFileBounds(t *testing.T) {
	good := sealedKey{salt: make([]byte, 8), iv: make([]byte, 16), ciphertext: make([]byte, 32), rounds: minRounds}
	for _, c := range []struct {
		name   string
		change func(s *sealedKey)
		ok     bool
	}{
		{"smallest", func(*sealedKey) {}, true},
		{"most rounds", func(s *sealedKey) { s.rounds = maxRounds }, true},
		{"more rounds", func(s *sealedKey) { s.rounds = maxRounds + 1 }, false},
		{"fewer rounds", func(s *sealedKey) { s.rounds = minRounds - 1 }, false},
		{"no rounds", func(s *sealedKey) { s.rounds = 0 }, false},
		{"short salt", func(s *sealedKey) { s.salt = s.salt[:7] }, false},
		{"long salt", func(s *sealedKey) { s.salt = make([]byte, 65) }, false},
		{"short vector", func(s *sealedKey) { s.iv = s.iv[:15] }, false},
		{"no key", func(s *sealedKey) { s.ciphertext = nil }, false},
		{"half a block", func(s *sealedKey) { s.ciphertext = s.ciphertext[:24] }, false},
		{"huge key", func(s *sealedKey) { s.ciphertext = make([]byte, maxKeyCipher+16) }, false},
	} {
		s := good
		c.change(&s)
		der, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseSealedKey(&pem.Block{Bytes: der}); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
