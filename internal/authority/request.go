// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/record"
)

// Files in a station's ca folder.
const (
	requestFile    = "request.pem"
	extensionsFile = "intermediate.cnf"
	installedFile  = "certificates.pem"
)

// OpenSSLExtensions is the extension file for `openssl x509 -req -extfile` with
// which any root makes an intermediate that [Install] takes.
const OpenSSLExtensions = `basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign,digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
`

// RequestConfig is what a station asks with.
type RequestConfig struct {
	Origin       record.Origin // of the station's ledger; names the station too
	Organization string        // O of the subject, "DEMO" in a demo; empty: none
	Simulated    bool          // the TPM is made of software
	CA           crypto.Signer // key of the intermediate, P-256 or P-384
	Checkpoint   crypto.Signer // key that signs the ledger's checkpoints

	// Evidence is what the TPM says, from [ReadEvidence]; nil: nothing, and the
	// TPM will not be proven.
	Evidence *ceremony.RawRequest
	// Replace keeps a request that is there for another key, name or TPM as
	// retired-request-DIGEST.pem.
	Replace bool
}

// Request writes request.pem and the extension file for openssl into a
// station's ca folder and returns the request as it was read back. A request
// for the same keys, names and TPM that is there already is kept, since
// signatures and challenges may be on their way; another is not overwritten
// ([ErrExists]) but, with Replace, kept under another name.
func Request(dir string, c RequestConfig) (*ceremony.Request, error) {
	text, err := makeRequest(c)
	if err != nil {
		return nil, fmt.Errorf("request for station %s: %w", c.Origin.Station, err)
	}
	made, err := ceremony.ParseRequest(text)
	if err != nil {
		return nil, fmt.Errorf("request for station %s: %w", c.Origin.Station, err)
	}
	path := filepath.Join(dir, requestFile)
	old, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return made, writeRequest(dir, text, writeNew)
	}
	if err != nil {
		return nil, err
	}
	have, err := ceremony.ParseRequest(old)
	switch {
	case err == nil && have.Same(made):
		return have, nil
	case !c.Replace:
		return nil, fmt.Errorf("%s %w: it asks for another key or name, or shows other evidence", path, ErrExists)
	}
	// The old request keeps its bytes under a second name before it loses the
	// first: at no moment is there none.
	if err := keepAside(dir, path, old); err != nil {
		return nil, err
	}
	return made, writeRequest(dir, text, writeOver)
}

// writeRequest writes the request last: where it is, its companion is.
func writeRequest(dir string, text []byte, write func(string, []byte, fs.FileMode) error) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := writeOver(filepath.Join(dir, extensionsFile), []byte(OpenSSLExtensions), 0o644); err != nil {
		return err
	}
	return write(filepath.Join(dir, requestFile), text, 0o644)
}

// keepAside gives the old request a name made of its digest.
func keepAside(dir, path string, old []byte) error {
	sum := sha256.Sum256(old)
	err := os.Link(path, filepath.Join(dir, fmt.Sprintf("retired-request-%x.pem", sum[:8])))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// ReadRequest reads the request in a station's ca folder. There being none is
// an error that is [fs.ErrNotExist].
func ReadRequest(dir string) (*ceremony.Request, error) {
	text, err := readFile(filepath.Join(dir, requestFile))
	if err != nil {
		return nil, err
	}
	r, err := ceremony.ParseRequest(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", requestFile, err)
	}
	return r, nil
}

// RequestPath is where [Request] writes in a station's ca folder.
func RequestPath(dir string) string { return filepath.Join(dir, requestFile) }

func makeRequest(c RequestConfig) ([]byte, error) {
	if err := CheckStation(c.Origin.Station); err != nil {
		return nil, err
	}
	if c.CA == nil || c.Checkpoint == nil {
		return nil, errors.New("the intermediate's key and the checkpoint key are needed")
	}
	spki, err := ceremony.SPKI(c.CA.Public())
	if err != nil {
		return nil, err
	}
	mark := ""
	if c.Simulated {
		mark = SimulatedMark
	}
	// The key's id in the name: two intermediates of one station, of which one
	// is retired, must not have one name.
	subject := name(c.Organization, fmt.Sprintf("%s CA %x%s", c.Origin.Station, spki[:4], mark))
	ca, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, c.CA)
	if err != nil {
		return nil, fmt.Errorf("sign with the intermediate's key: %w", err)
	}
	checkpoint, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: name(c.Organization, c.Origin.String()+mark),
		URIs:    []*url.URL{issuer.LedgerURI(c.Origin.String())},
	}, c.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("sign with the checkpoint key: %w", err)
	}
	text := fmt.Appendf(nil, requestHead, c.Origin.Station, subject, spki, extensionsFile)
	raw := ceremony.RawRequest{}
	if c.Evidence != nil {
		raw = *c.Evidence
	}
	raw.CSR, raw.CheckpointCSR = ca, checkpoint
	return append(text, raw.Encode()...), nil
}

// requestHead stands before the blocks, where every PEM reader skips it.
const requestHead = `Request of station %s for an intermediate certificate
Subject: %s
SHA-256 of its key: %x
To be challenged by "station root challenge", then signed by "station root sign".
Any other root can sign it too; then nothing is proven about the TPM:
  openssl x509 -req -in request.pem -CA root.pem -CAkey root.key -CAcreateserial -days 730 -sha256 -extfile %s -out intermediate.pem

`

func name(organization, commonName string) pkix.Name {
	n := pkix.Name{CommonName: commonName}
	if organization != "" {
		n.Organization = []string{organization}
	}
	return n
}
