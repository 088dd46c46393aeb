// SPDX-License-Identifier: Apache-2.0

package ceremony

import (
	"bytes"
	"crypto/x509"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

// seeds adds every file of testdata that matches; a corpus that is not there
// fails the test.
func seeds(f *testing.F, pattern string) {
	f.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no seeds in testdata/%s: %v", pattern, err)
	}
	for _, path := range paths {
		f.Add(read(f, path))
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// FuzzParseRequest: what is accepted is signed by the keys it carries, and
// reads the same when written again.
func FuzzParseRequest(f *testing.F) {
	seeds(f, "request*.pem")
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRequest(text)
		if err != nil {
			return
		}
		o, err := ParseRequest(r.Encode())
		if err != nil || !o.Same(r) || o.Digest() != r.Digest() {
			t.Errorf("written again it is another request: %v", err)
		}
		if r.ca.CheckSignature() != nil || r.Subject().CommonName == "" {
			t.Error("accepted without signature or name")
		}
		if e := r.evidence; e != nil && e.Keys["ca"].Pin() != r.spki {
			t.Error("accepted with evidence for another key")
		}
	})
}

// FuzzParseChallenge: what is accepted is bounded and written again as it was.
func FuzzParseChallenge(f *testing.F) {
	seeds(f, "challenge*.pem")
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseChallenge(text)
		if err != nil {
			return
		}
		o, err := ParseChallenge(c.Encode())
		if err != nil || o.Opened() != c.Opened() {
			t.Errorf("written again it is another challenge: %v", err)
		}
		if len(c.Credential)+len(c.Sealed) > 2*maxSealed {
			t.Error("accepted beyond its bounds")
		}
	})
}

// FuzzParseAnswer: what is accepted is written again as it was; and of all
// answers only the one in testdata is judged good.
func FuzzParseAnswer(f *testing.F) {
	seeds(f, "answer*.pem")
	request, err := ParseRequest(read(f, "testdata/request-evidence.pem"))
	if err != nil {
		f.Fatal(err)
	}
	challenge, err := ParseChallenge(read(f, "testdata/challenge.pem"))
	if err != nil {
		f.Fatal(err)
	}
	good, err := ParseAnswer(read(f, "testdata/answer.pem"))
	if err != nil {
		f.Fatal(err)
	}
	if err := Judge(request, challenge.Opened(), good); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := ParseAnswer(text)
		if err != nil {
			return
		}
		o, err := ParseAnswer(a.Encode())
		if err != nil || o.Digest() != a.Digest() {
			t.Errorf("written again it is another answer: %v", err)
		}
		if Judge(request, challenge.Opened(), a) == nil && a.Digest() != good.Digest() {
			t.Error("another answer than the TPM's passes")
		}
	})
}

// FuzzProof: what is read out of a certificate is written in the one form there is.
func FuzzProof(f *testing.F) {
	f.Add("tpm:" + (&Proof{By: "CN=Vendor & Sons, O=x"}).URI().Opaque)
	f.Add("tpm:" + (&Proof{By: Pinned}).URI().Opaque)
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		p, err := ProofIn(&x509.Certificate{URIs: []*url.URL{u}})
		if err != nil || p == nil {
			return
		}
		if p.By == "" || !bytes.Equal([]byte(p.URI().String()), []byte(u.String())) {
			t.Errorf("%q is read as %+v", text, p)
		}
	})
}
