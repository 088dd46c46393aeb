// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/issuer"
)

func prepare(t testing.TB, w *world, d *device) *issuer.Draft {
	t.Helper()
	draft, err := w.issuer.Prepare(mtls(t), d.parsed(t), issuer.Unit{Serial: d.want.CN})
	if err != nil {
		t.Fatal(err)
	}
	return draft
}

func TestIssue(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		t.Run(curve.Params().Name, func(t *testing.T) {
			w := newWorld(t, curve)
			d := newDevice(t, "sensor-001", "")
			draft := prepare(t, w, d)
			cert, err := w.issuer.Sign(t.Context(), draft.TBS(), draft.SPKI())
			if err != nil {
				t.Fatal(err)
			}
			checkLeaf(t, w, d, draft, cert)
		})
	}
}

func checkLeaf(t *testing.T, w *world, d *device, draft *issuer.Draft, cert *issuer.Certificate) {
	t.Helper()
	c := cert.Parsed
	if !bytes.Equal(c.RawTBSCertificate, draft.TBS()) {
		t.Error("the certificate does not hold the bytes that were prepared")
	}
	if !d.key.PublicKey.Equal(c.PublicKey) || c.Subject.String() != "CN=sensor-001" {
		t.Errorf("certificate is for %v", c.Subject)
	}
	if cert.Serial != draft.Serial() || len(cert.Serial) != 32 || cert.SHA256 != sha256.Sum256(cert.DER) {
		t.Errorf("serial number %s, draft %s", cert.Serial, draft.Serial())
	}
	if want := w.now.Add(-time.Hour); !c.NotBefore.Equal(want) || !draft.NotBefore().Equal(want) {
		t.Errorf("valid from %v, want %v", c.NotBefore, want)
	}
	if want := w.now.Add(365*24*time.Hour - time.Hour - time.Second); !c.NotAfter.Equal(want) || !draft.NotAfter().Equal(want) {
		t.Errorf("valid to %v, want %v", c.NotAfter, want)
	}
	if c.KeyUsage != x509.KeyUsageDigitalSignature || len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth ||
		c.BasicConstraintsValid || c.IsCA {
		t.Errorf("usage %v %v, basic constraints %v", c.KeyUsage, c.ExtKeyUsage, c.BasicConstraintsValid)
	}
	if !bytes.Equal(c.AuthorityKeyId, w.intermediate.SubjectKeyId) || len(c.SubjectKeyId) != 20 || w.issuer.KeyID() != draft.KeyID() {
		t.Error("key identifiers are not those of issuer and key")
	}
	chain := w.issuer.Chain(cert.DER)
	if len(chain) != 2 || !bytes.Equal(chain[0], cert.DER) || !bytes.Equal(chain[1], w.intermediate.Raw) {
		t.Error("the board's chain is not leaf and intermediate")
	}
}

func TestEveryDraftIsNew(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	d := newDevice(t, "sensor-001", "")
	seen := map[string]bool{}
	for range 64 {
		draft := prepare(t, w, d)
		if seen[draft.Serial()] {
			t.Fatalf("serial number %s drawn twice", draft.Serial())
		}
		seen[draft.Serial()] = true
	}
}

func TestSerialNumberForm(t *testing.T) {
	for _, b := range []byte{0x00, 0x80, 0xff} {
		w := newWorld(t, elliptic.P256())
		c := w.config()
		c.Rand = bytes.NewReader(bytes.Repeat([]byte{b}, 16))
		var err error
		if w.issuer, err = issuer.New(c); err != nil {
			t.Fatal(err)
		}
		draft := prepare(t, w, newDevice(t, "a", ""))
		n, ok := new(big.Int).SetString(draft.Serial(), 16)
		if !ok || n.Sign() <= 0 || len(draft.Serial()) != 32 || n.BitLen() != 127 {
			t.Errorf("random bytes %#x give serial number %s", b, draft.Serial())
		}
		_, err = w.issuer.Prepare(mtls(t), newDevice(t, "a", "").parsed(t), issuer.Unit{Serial: "a"})
		if !errors.Is(err, io.EOF) {
			t.Errorf("without randomness: %v, want EOF", err)
		}
	}
}

// TestResume signs what was recorded before a crash, with an issuer made anew.
func TestResume(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	draft := prepare(t, w, newDevice(t, "sensor-001", ""))
	first, err := w.issuer.Sign(t.Context(), draft.TBS(), draft.SPKI())
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.AddDate(0, 1, 0)
	again, err := w.newIssuer(t).Sign(t.Context(), draft.TBS(), draft.SPKI())
	if err != nil {
		t.Fatal(err)
	}
	if first.Serial != again.Serial || !bytes.Equal(first.Parsed.RawTBSCertificate, again.Parsed.RawTBSCertificate) {
		t.Error("resume made another certificate")
	}
	w.now = w.now.AddDate(2, 0, 0)
	if _, err := w.newIssuer(t).Sign(t.Context(), draft.TBS(), draft.SPKI()); err == nil {
		t.Error("signed a certificate that has already run out")
	}
}

// countingSigner counts how often the key is used.
type countingSigner struct {
	crypto.Signer
	uses  int
	spoil func(sig []byte) []byte
}

func (s *countingSigner) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.uses++
	sig, err := s.Signer.Sign(r, digest, opts)
	if err == nil && s.spoil != nil {
		sig = s.spoil(sig)
	}
	return sig, err
}

// TestSignRefuses shows that the key cannot be had for anything but a device's
// certificate by this issuer: it is never touched for what is wrong.
func TestSignRefuses(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	d := newDevice(t, "sensor-001", "")
	spki := d.want.SPKI
	foreign := &x509.Certificate{RawSubject: w.root.RawSubject, SubjectKeyId: w.intermediate.SubjectKeyId, PublicKey: w.key.Public()}
	good := func() *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: new(big.Int).Lsh(big.NewInt(1), 100), Subject: pkix.Name{CommonName: "sensor-001"},
			NotBefore: w.now, NotAfter: w.now.AddDate(0, 6, 0), KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
			SubjectKeyId: issuer.KeyIdentifier(d.spki), AuthorityKeyId: w.intermediate.SubjectKeyId,
		}
	}
	tbs := func(change func(c *x509.Certificate)) []byte {
		c := good()
		change(c)
		return sign(t, c, w.intermediate, d.key.Public(), w.key).RawTBSCertificate
	}
	for _, c := range []struct {
		name, want string
		tbs        []byte
		spki       [32]byte
	}{
		{"nothing", "0 bytes", nil, spki},
		{"too much", "9000 bytes", make([]byte, 9000), spki},
		{"not a certificate", "parse", []byte("0\x03abc"), spki},
		{"another key", "the device's own key", tbs(func(*x509.Certificate) {}), [32]byte{1}},
		{"another issuer", "issuer's name", sign(t, good(), foreign, d.key.Public(), w.key).RawTBSCertificate, spki},
		{"an issuer", "keyUsage", tbs(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }), spki},
		{"CA:TRUE", "not an issuer", tbs(func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = true, true }), spki},
		{"CRL signer", "keyUsage", tbs(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), spki},
		{"no key usage", "keyUsage", tbs(func(c *x509.Certificate) { c.KeyUsage = 0 }), spki},
		{"OCSP signer", "extended key usage", tbs(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }), spki},
		{"outlives its issuer", "validity", tbs(func(c *x509.Certificate) { c.NotAfter = w.now.AddDate(3, 0, 0) }), spki},
		{"older than its issuer", "validity", tbs(func(c *x509.Certificate) { c.NotBefore = w.now.AddDate(0, -6, 0) }), spki},
		{"small serial number", "serial number", tbs(func(c *x509.Certificate) { c.SerialNumber = big.NewInt(7) }), spki},
		{"long serial number", "serial number", tbs(func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 160) }), spki},
		{"no subject", "subject", tbs(func(c *x509.Certificate) { c.Subject = pkix.Name{} }), spki},
		{"foreign key identifier", "subjectKeyIdentifier", tbs(func(c *x509.Certificate) { c.SubjectKeyId = []byte{1, 2} }), spki},
		{"SHA-384", "signature algorithm", tbs(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA384 }), spki},
		{"name constraints", "name constraints", tbs(func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.com"} }), spki},
		{"strange critical extension", "critical extension", tbs(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}), spki},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := &countingSigner{Signer: w.key}
			config := w.config()
			config.Signer = key
			i, err := issuer.New(config)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = i.Sign(t.Context(), c.tbs, c.spki); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error about %q", err, c.want)
			}
			if key.uses != 0 {
				t.Error("the key was used")
			}
		})
	}
	if _, err := w.issuer.Sign(t.Context(), tbs(func(*x509.Certificate) {}), spki); err != nil {
		t.Errorf("what the refusals were made from is itself refused: %v", err)
	}
}

// TestSignLeftOver puts bytes where crypto/x509 does not look.
func TestSignLeftOver(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	draft := prepare(t, w, newDevice(t, "sensor-001", ""))
	tbs := append(draft.TBS(), 5, 0)
	tbs[2], tbs[3] = byte((len(tbs)-4)>>8), byte(len(tbs)-4)
	if _, err := w.issuer.Sign(t.Context(), tbs, draft.SPKI()); err == nil || !strings.Contains(err.Error(), "left over") {
		t.Errorf("got %v, want a complaint about what is left over", err)
	}
}

func TestSignNoticesABrokenKey(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	config := w.config()
	config.Signer = &countingSigner{Signer: w.key, spoil: func(sig []byte) []byte { sig[len(sig)-1] ^= 1; return sig }}
	i, err := issuer.New(config)
	if err != nil {
		t.Fatal(err)
	}
	draft := prepare(t, w, newDevice(t, "sensor-001", ""))
	if _, err := i.Sign(t.Context(), draft.TBS(), draft.SPKI()); err == nil || !strings.Contains(err.Error(), "does not verify") {
		t.Errorf("got %v, want a complaint about the signature", err)
	}
}

// contextSigner is a key that can be waited for under a deadline, as a TPM's.
type contextSigner struct {
	*ecdsa.PrivateKey
	ctx context.Context
}

func (s *contextSigner) SignContext(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.ctx = ctx
	return s.PrivateKey.Sign(rand.Reader, digest, opts)
}

func TestSignContext(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	key := &contextSigner{PrivateKey: w.key}
	config := w.config()
	config.Signer = key
	i, err := issuer.New(config)
	if err != nil {
		t.Fatal(err)
	}
	draft := prepare(t, w, newDevice(t, "sensor-001", ""))
	if _, err := i.Sign(t.Context(), draft.TBS(), draft.SPKI()); err != nil || key.ctx != t.Context() {
		t.Errorf("the key did not get the caller's context: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.issuer.Sign(ctx, draft.TBS(), draft.SPKI()); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
}

func TestWindow(t *testing.T) {
	for _, c := range []struct {
		name string
		now  func(w *world) time.Time
		ok   bool
	}{
		{"last day a year fits", func(w *world) time.Time { return w.intermediate.NotAfter.AddDate(0, 0, -365) }, true},
		{"a day later", func(w *world) time.Time { return w.intermediate.NotAfter.AddDate(0, 0, -364) }, false},
		{"after its end", func(w *world) time.Time { return w.intermediate.NotAfter.Add(time.Second) }, false},
		{"before its begin", func(w *world) time.Time { return w.intermediate.NotBefore.Add(-time.Second) }, false},
		{"at its begin", func(w *world) time.Time { return w.intermediate.NotBefore }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, elliptic.P256())
			w.now = c.now(w)
			draft, err := w.newIssuer(t).Prepare(mtls(t), newDevice(t, "a", "").parsed(t), issuer.Unit{Serial: "a"})
			if c.ok && err != nil || !c.ok && !errors.Is(err, issuer.ErrWindow) {
				t.Fatalf("got %v, want it to work: %v", err, c.ok)
			}
			if c.ok && draft.NotBefore().Before(w.intermediate.NotBefore) {
				t.Error("backdated to before the issuer")
			}
		})
	}
}

func TestPrepareRefuses(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	only384 := config(t, func(c *issuer.ProfileConfig) { c.Algorithms = []string{"ES384"} })
	withSN := config(t, func(c *issuer.ProfileConfig) { c.Subject.SerialNumber = "{uid}" })
	for _, c := range []struct {
		name    string
		profile *issuer.Profile
		unit    issuer.Unit
		want    issuer.Reason
	}{
		{"algorithm", only384, issuer.Unit{Serial: "a"}, issuer.ReasonAlgorithm},
		{"another unit", mtls(t), issuer.Unit{Serial: "b"}, issuer.ReasonIdentity},
		{"serialNumber that the profile has", withSN, issuer.Unit{Serial: "a", UID: "00"}, issuer.ReasonIdentity},
	} {
		_, err := w.issuer.Prepare(c.profile, newDevice(t, "a", "").parsed(t), c.unit)
		if refused, ok := errors.AsType[*issuer.Refusal](err); !ok || refused.Reason != c.want {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := w.issuer.Prepare(mtls(t), newDevice(t, "a", "").parsed(t), issuer.Unit{}); err == nil || !strings.Contains(err.Error(), `"serial"`) {
		t.Errorf("unit without serial: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	w, other := newWorld(t, elliptic.P256()), newWorld(t, elliptic.P256())
	p521 := newKey(t, elliptic.P521())
	change := func(f func(c *x509.Certificate), public crypto.PublicKey) []*x509.Certificate {
		c := &x509.Certificate{
			Subject: pkix.Name{CommonName: "I"}, SerialNumber: big.NewInt(3), NotBefore: w.now, NotAfter: w.now.AddDate(1, 0, 0),
			KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
		}
		f(c)
		return []*x509.Certificate{w.certify(t, c, public), w.root}
	}
	limited := selfSigned(t, w, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Root without heirs"}, SerialNumber: big.NewInt(1),
		NotBefore: w.now, NotAfter: w.now.AddDate(20, 0, 0), MaxPathLenZero: true,
	})
	below := sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "I"}, SerialNumber: big.NewInt(3), NotBefore: w.now, NotAfter: w.now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}, limited, w.key.Public(), w.rootKey)
	for _, c := range []struct {
		name, want string
		chain      []*x509.Certificate
		key        crypto.Signer
	}{
		{"no chain", "needed", nil, w.key},
		{"no root", "needed", []*x509.Certificate{w.intermediate}, w.key},
		{"no key", "needed", []*x509.Certificate{w.intermediate, w.root}, nil},
		{"another key", "not the one certified", []*x509.Certificate{w.intermediate, w.root}, other.key},
		{"another root", "not issued by", []*x509.Certificate{w.intermediate, other.root}, w.key},
		{"root without issuers below", "below it", []*x509.Certificate{below, limited}, w.key},
		{"not an issuer", "CA:TRUE", change(func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = false, false }, w.key.Public()), w.key},
		{"no keyCertSign", "keyCertSign", change(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, w.key.Public()), w.key},
		{"P-521", "P-521", change(func(*x509.Certificate) {}, p521.Public()), p521},
	} {
		_, err := issuer.New(issuer.Config{Chain: c.chain, Signer: c.key})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error about %q", c.name, err, c.want)
		}
	}
}

func TestCheckBoard(t *testing.T) {
	w := newWorld(t, elliptic.P256()) // the root is P-384
	draft := prepare(t, w, newDevice(t, "sensor-001", ""))
	root, foreign := sha256.Sum256(w.root.Raw), [32]byte{1}
	for _, c := range []struct {
		name  string
		board issuer.Board
		want  issuer.Reason
	}{
		{"all it takes", issuer.Board{Verify: []string{"ES256", "ES384"}, Max: 2048, Root: &root}, ""},
		{"no root, no check of its signature", issuer.Board{Verify: []string{"ES256"}, Max: 2048}, ""},
		{"cannot check the root's signature", issuer.Board{Verify: []string{"ES256"}, Max: 2048, Root: &root}, issuer.ReasonBoardVerify},
		{"cannot check the leaf's signature", issuer.Board{Verify: []string{"RS256"}, Max: 2048}, issuer.ReasonBoardVerify},
		{"can check nothing", issuer.Board{Max: 2048}, issuer.ReasonBoardVerify},
		{"too small", issuer.Board{Verify: []string{"ES256"}, Max: 512}, issuer.ReasonBoardMax},
		{"foreign root", issuer.Board{Verify: []string{"ES256", "ES384"}, Max: 2048, Root: &foreign}, issuer.ReasonBoardRoot},
	} {
		err := w.issuer.CheckBoard(draft, c.board)
		refused, ok := errors.AsType[*issuer.Refusal](err)
		if c.want == "" && err != nil || c.want != "" && (!ok || refused.Reason != c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// TestCheckBoardSize signs often enough to see that the size it reckons with
// is never exceeded.
func TestCheckBoardSize(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	draft := prepare(t, w, newDevice(t, "sensor-001", ""))
	longest := 0
	for range 100 {
		cert, err := w.issuer.Sign(t.Context(), draft.TBS(), draft.SPKI())
		if err != nil {
			t.Fatal(err)
		}
		longest = max(longest, len(bytes.Join(w.issuer.Chain(cert.DER), nil)))
	}
	board := issuer.Board{Verify: []string{"ES256"}, Max: longest - 1}
	if err := w.issuer.CheckBoard(draft, board); err == nil {
		t.Errorf("a board that takes %d bytes was given a chain of %d", board.Max, longest)
	}
	if board.Max = longest + 16; w.issuer.CheckBoard(draft, board) != nil {
		t.Errorf("a board that takes %d bytes was refused a chain of %d", board.Max, longest)
	}
}

// TestConcurrentIssue lets many units share one issuer, as the slots of a bench do.
func TestConcurrentIssue(t *testing.T) {
	w := newWorld(t, elliptic.P256())
	profile := mtls(t)
	serials := make(chan string)
	const units = 16
	for range units {
		r := newDevice(t, "sensor-001", "").parsed(t)
		go func() {
			draft, err := w.issuer.Prepare(profile, r, issuer.Unit{Serial: "sensor-001"})
			if err == nil {
				_, err = w.issuer.Sign(t.Context(), draft.TBS(), r.SPKI())
			}
			if err != nil {
				t.Error(err)
				serials <- ""
				return
			}
			serials <- draft.Serial()
		}()
	}
	seen := map[string]bool{}
	for range units {
		seen[<-serials] = true
	}
	if len(seen) != units {
		t.Errorf("%d units have %d serial numbers", units, len(seen))
	}
}
