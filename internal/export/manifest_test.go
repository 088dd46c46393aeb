// SPDX-License-Identifier: Apache-2.0

package export_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/record"
)

// manifestKey makes a key that signs manifests, certified by the intermediate.
func (w *world) manifestKey(t testing.TB) export.ManifestKey {
	t.Helper()
	i, err := issuer.New(issuer.Config{Chain: []*x509.Certificate{w.intermediate, w.root}, Signer: w.key})
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	cert, err := i.ManifestKey(t.Context(), "ulm/st-07", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return export.ManifestKey{Signer: key, Chain: []*x509.Certificate{cert.Parsed, w.intermediate}, Organization: "Example Pumps"}
}

func (w *world) manifest(t testing.TB, change func(*export.PackOptions)) []byte {
	t.Helper()
	o := w.options()
	o.Manifest = w.manifestKey(t)
	if change != nil {
		change(&o)
	}
	path := filepath.Join(t.TempDir(), "manifest.json")
	if _, err := export.Pack(t.Context(), path, "manifest", w.reader(), o); err != nil {
		t.Fatal(err)
	}
	return read(t, path)
}

// payload is what a manifest says of a unit.
type payload struct {
	UniqueID, SerialNumber, Model, ProvisioningTimestamp string

	Provisioner  struct{ OrganizationName, OrganizationalUnitName string }
	PublicKeySet struct{ Keys []json.RawMessage }
	LedgerEntry  struct {
		Epoch    int
		Seq      int64
		LeafHash string
	}
}

// verifyManifest is what a customer does who trusts a root: another
// implementation of JOSE checks each signature under the certificate that comes
// along, the root vouches for that, and it must be a manifest key's.
func verifyManifest(t testing.TB, w *world, text []byte) (units []payload) {
	t.Helper()
	var elements []json.RawMessage
	if err := json.Unmarshal(text, &elements); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(w.root)
	for _, e := range elements {
		jws, err := jose.ParseSignedJSON(string(e), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		chains, err := jws.Signatures[0].Protected.Certificates(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err != nil {
			t.Fatal(err)
		}
		signer := chains[0][0]
		if station, err := issuer.ManifestStation(signer); err != nil || station != "ulm/st-07" {
			t.Errorf("signed by %s: %v", signer.Subject, err)
		}
		inside, err := jws.Verify(signer.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		valid(t, "manifest-unit", inside)
		var u payload
		if err := json.Unmarshal(inside, &u); err != nil {
			t.Fatal(err)
		}
		units = append(units, u)
	}
	return units
}

func TestManifest(t *testing.T) {
	w := newWorld(t)
	rsaKey, p384, edwards := otherKeys(t)
	all := []made{
		w.pass(terms{serial: "SN-1", order: "WO-1"}), w.pass(terms{serial: "SN-2", key: rsaKey}),
		w.pass(terms{serial: "SN-3", key: p384}), w.pass(terms{serial: "SN-4", key: edwards, retired: true}),
	}
	w.happens(w.pass(terms{serial: "SN-5"}), record.KindRevoked)
	w.issue(terms{serial: "SN-6"})
	text := w.manifest(t, nil)
	valid(t, "manifest", text)
	units := verifyManifest(t, w, text)
	if len(units) != len(all) {
		t.Fatalf("%d units", len(units))
	}
	for i, u := range units {
		want := all[i]
		if u.UniqueID != want.body.UID || u.SerialNumber != want.body.Serial || u.Provisioner.OrganizationName != "Example Pumps" {
			t.Errorf("%+v", u)
		}
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON(u.PublicKeySet.Keys[0]); err != nil {
			t.Fatal(err)
		}
		if k, ok := key.Key.(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(want.cert.PublicKey) || !key.Valid() {
			t.Errorf("%s: key %T", u.SerialNumber, key.Key)
		}
		if !key.Certificates[0].Equal(want.cert) || key.Certificates[0].CheckSignatureFrom(key.Certificates[1]) != nil {
			t.Errorf("%s: certificate of %s", u.SerialNumber, key.Certificates[0].Subject)
		}
		e, err := w.reader().Entry(t.Context(), u.LedgerEntry.Epoch, u.LedgerEntry.Seq)
		if err != nil || e.Body.Cert != digest(want.cert.Raw) {
			t.Errorf("%s: ledger entry %+v, %v", u.SerialNumber, u.LedgerEntry, err)
		}
	}
	if got := string(w.manifest(t, func(o *export.PackOptions) { o.Order = "nothing" })); got != "[]\n" {
		t.Errorf("an empty manifest is %q", got)
	}
	if got := verifyManifest(t, w, w.manifest(t, func(o *export.PackOptions) { o.Order = "WO-1" })); len(got) != 1 {
		t.Errorf("one order has %d units", len(got))
	}
}

// TestManifestIsSigned: a change of any part is found.
func TestManifestIsSigned(t *testing.T) {
	w := newWorldWith(t, "SN-1")
	var elements []map[string]any
	if err := json.Unmarshal(w.manifest(t, nil), &elements); err != nil {
		t.Fatal(err)
	}
	key := func(jws *jose.JSONWebSignature) crypto.PublicKey {
		c, err := jws.Signatures[0].Protected.Certificates(x509.VerifyOptions{Roots: pool(w.root), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err != nil {
			return nil
		}
		return c[0][0].PublicKey
	}
	for _, part := range []string{"payload", "protected", "signature"} {
		spoiled := map[string]any{}
		for k, v := range elements[0] {
			spoiled[k] = v
		}
		b := []byte(spoiled[part].(string))
		if b[20] == 'A' { // still base64url
			b[20] = 'B'
		} else {
			b[20] = 'A'
		}
		spoiled[part] = string(b)
		text, err := json.Marshal(spoiled)
		if err != nil {
			t.Fatal(err)
		}
		jws, err := jose.ParseSignedJSON(string(text), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			continue // refused even earlier
		}
		if _, err := jws.Verify(key(jws)); err == nil {
			t.Errorf("a changed %s verifies", part)
		}
	}
}

func pool(c *x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c)
	return p
}

// broken is a key that answers with something else than a signature, or fails.
type broken struct {
	crypto.Signer
	answer []byte
	err    error
}

func (b broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return b.answer, b.err }

// stopped is a key whose TPM is gone for as long as anybody waits.
type stopped struct {
	*ecdsa.PrivateKey
	cancel context.CancelFunc
}

func (s stopped) SignContext(ctx context.Context, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
	s.cancel()
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestManifestKeyRefused(t *testing.T) {
	w := newWorldWith(t, "SN-1")
	good := w.manifestKey(t)
	leaf := w.pass(terms{serial: "SN-2"})
	lost := errors.New("the TPM is gone")
	stop, cancel := context.WithCancel(t.Context())
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct {
		key  export.ManifestKey
		says string
	}{
		"none":                 {export.ManifestKey{}, "needs a key"},
		"another's":            {export.ManifestKey{Signer: newKey(t), Chain: good.Chain}, "not the P-256 key"},
		"P-384":                {export.ManifestKey{Signer: p384, Chain: good.Chain}, "not the P-256 key"},
		"the intermediate":     {export.ManifestKey{Signer: w.key, Chain: []*x509.Certificate{w.intermediate}}, "not the certificate of a manifest key"},
		"a device's":           {export.ManifestKey{Signer: broken{Signer: publicOnly{leaf.cert.PublicKey}}, Chain: []*x509.Certificate{leaf.cert}}, "not the certificate of a manifest key"},
		"no signature":         {export.ManifestKey{Signer: broken{good.Signer, []byte("abc"), nil}, Chain: good.Chain}, "no signature on P-256"},
		"a negative signature": {export.ManifestKey{Signer: broken{good.Signer, []byte{0x30, 6, 2, 1, 0xff, 2, 1, 1}, nil}, Chain: good.Chain}, "no signature on P-256"},
		"lost":                 {export.ManifestKey{Signer: broken{good.Signer, nil, lost}, Chain: good.Chain}, "unit SN-1: sign its manifest: the TPM is gone"},
		"cancelled":            {export.ManifestKey{Signer: stopped{good.Signer.(*ecdsa.PrivateKey), cancel}, Chain: good.Chain}, "context canceled"},
	} {
		dir := t.TempDir()
		o := w.options()
		o.Manifest = try.key
		ctx := t.Context()
		if name == "cancelled" {
			ctx = stop
		}
		if _, err := export.Pack(ctx, filepath.Join(dir, "m.json"), "manifest", w.reader(), o); err == nil || !strings.Contains(err.Error(), try.says) {
			t.Errorf("%s: %v", name, err)
		}
		if left := names(dir); len(left) > 0 {
			t.Errorf("%s: left behind %v", name, left)
		}
	}
}

// publicOnly is the public half of somebody's key.
type publicOnly struct{ crypto.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.PublicKey }

func (p publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("there is no private key")
}

// TestManifestShape is the golden form of one element, but for what is random.
func TestManifestShape(t *testing.T) {
	w := newWorldWith(t, "SN-1")
	text := w.manifest(t, nil)
	if !bytes.HasPrefix(text, []byte("[\n{\"payload\":\"")) || !bytes.HasSuffix(text, []byte("\"}\n]\n")) || bytes.Count(text, []byte("\n")) != 3 {
		t.Errorf("manifest\n%s", text)
	}
	var elements []struct {
		Protected string
		Header    map[string]string
	}
	if err := json.Unmarshal(text, &elements); err != nil {
		t.Fatal(err)
	}
	if elements[0].Header["uniqueId"] != "00c0ffee0001" || len(elements[0].Header) != 1 {
		t.Errorf("header %v", elements[0].Header)
	}
}
