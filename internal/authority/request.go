// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

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
}

// StationRequest is a request that was read: both parts are signed by the keys
// they carry and name one station.
type StationRequest struct {
	ca, checkpoint       *x509.CertificateRequest
	origin               record.Origin
	spki, checkpointSPKI [32]byte
}

// Subject is the name the intermediate will have.
func (r *StationRequest) Subject() pkix.Name { return r.ca.Subject }

// SPKI is the SHA-256 of the intermediate's DER SubjectPublicKeyInfo: what is
// compared over the telephone.
func (r *StationRequest) SPKI() [32]byte { return r.spki }

// Origin is the ledger whose checkpoint key is to be certified; ok is false
// when the request has no such key.
func (r *StationRequest) Origin() (origin record.Origin, ok bool) {
	return r.origin, r.checkpoint != nil
}

// CheckpointSPKI is the SHA-256 of the checkpoint key, zero if there is none.
func (r *StationRequest) CheckpointSPKI() [32]byte { return r.checkpointSPKI }

// Simulated says whether the station calls its TPM simulated.
func (r *StationRequest) Simulated() bool { return isSimulated(r.ca.Subject.CommonName) }

// CheckStation says whether a name, PLANT/STATION, can stand in certificates.
func CheckStation(name string) error {
	plant, station, ok := strings.Cut(name, "/")
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}
	// 36 leaves room in a common name of 64 bytes for key id and mark.
	if !ok || plant == "" || station == "" || len(name) > 36 || strings.ContainsFunc(plant+station, bad) {
		return fmt.Errorf("station name %.64q; allowed: PLANT/STATION of letters, digits, dot, hyphen and underscore, up to 36 characters", name)
	}
	return nil
}

// Request writes request.pem and the extension file for openssl into a
// station's ca folder and returns the request as it was read back. A request
// for the same keys and names that is there already is kept; another is not
// overwritten ([ErrExists]).
func Request(dir string, c RequestConfig) (*StationRequest, error) {
	text, err := makeRequest(c)
	if err != nil {
		return nil, fmt.Errorf("request for station %s: %w", c.Origin.Station, err)
	}
	made, err := ParseRequest(text)
	if err != nil {
		return nil, fmt.Errorf("request for station %s: %w", c.Origin.Station, err)
	}
	path := filepath.Join(dir, requestFile)
	old, err := readFile(path)
	if err == nil {
		have, err := ParseRequest(old)
		if err != nil || !have.same(made) {
			return nil, fmt.Errorf("%s %w: it asks for another key or name", path, ErrExists)
		}
		return have, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// The request last: where it is, its companion is.
	if err := writeOver(filepath.Join(dir, extensionsFile), []byte(OpenSSLExtensions), 0o644); err != nil {
		return nil, err
	}
	return made, writeNew(path, text, 0o644)
}

// RequestPath is where [Request] writes in a station's ca folder.
func RequestPath(dir string) string { return filepath.Join(dir, requestFile) }

// same says whether two requests ask for the same keys under the same names;
// signatures differ each time.
func (r *StationRequest) same(o *StationRequest) bool {
	return string(r.ca.RawSubject) == string(o.ca.RawSubject) && r.spki == o.spki &&
		r.origin == o.origin && r.checkpointSPKI == o.checkpointSPKI
}

func makeRequest(c RequestConfig) ([]byte, error) {
	if err := CheckStation(c.Origin.Station); err != nil {
		return nil, err
	}
	if c.CA == nil || c.Checkpoint == nil {
		return nil, errors.New("the intermediate's key and the checkpoint key are needed")
	}
	spki, err := digestOf(c.CA.Public())
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
	text = appendPEM(text, labelRequest, ca)
	return appendPEM(text, labelCheckpoint, checkpoint), nil
}

// requestHead stands before the blocks, where every PEM reader skips it.
const requestHead = `Request of station %s for an intermediate certificate
Subject: %s
SHA-256 of its key: %x
To be signed by "station root sign", or by any other root:
  openssl x509 -req -in request.pem -CA root.pem -CAkey root.key -CAcreateserial -days 730 -sha256 -extfile %s -out intermediate.pem

`

func name(organization, commonName string) pkix.Name {
	n := pkix.Name{CommonName: commonName}
	if organization != "" {
		n.Organization = []string{organization}
	}
	return n
}

// ParseRequest reads a station's request. Its first block is the intermediate's
// request; a second one, for the checkpoint key, may follow.
func ParseRequest(text []byte) (*StationRequest, error) {
	found, err := blocks(text)
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	if found[0].Type != labelRequest || len(found) > 2 || (len(found) == 2 && found[1].Type != labelCheckpoint) {
		return nil, fmt.Errorf("read request: allowed: one block %s, then perhaps one block %s", labelRequest, labelCheckpoint)
	}
	r := &StationRequest{}
	if r.ca, r.spki, err = parseCSR(found[0].Bytes); err != nil {
		return nil, fmt.Errorf("read request for the intermediate: %w", err)
	}
	if len(r.ca.Extensions) > 0 || r.ca.Subject.CommonName == "" {
		return nil, errors.New("read request for the intermediate: it must have a common name and ask for no extensions")
	}
	if len(found) == 1 {
		return r, nil
	}
	if r.checkpoint, r.checkpointSPKI, err = parseCSR(found[1].Bytes); err != nil {
		return nil, fmt.Errorf("read request for the checkpoint key: %w", err)
	}
	if err := r.readOrigin(); err != nil {
		return nil, fmt.Errorf("read request for the checkpoint key: %w", err)
	}
	return r, nil
}

// parseCSR reads one certification request and checks that its key signed it.
func parseCSR(der []byte) (csr *x509.CertificateRequest, spki [32]byte, err error) {
	if csr, err = x509.ParseCertificateRequest(der); err != nil {
		return nil, spki, err
	}
	if err = checkCurve(csr.PublicKey); err != nil {
		return nil, spki, err
	}
	if err = csr.CheckSignature(); err != nil {
		return nil, spki, fmt.Errorf("it is not signed by its own key: %w", err)
	}
	spki, err = digestOf(csr.PublicKey)
	return csr, spki, err
}

// readOrigin takes the ledger's origin out of the checkpoint key's request and
// checks that both requests come from one station.
func (r *StationRequest) readOrigin() error {
	c := r.checkpoint
	if len(c.Extensions) != 1 || len(c.URIs) != 1 || len(c.DNSNames)+len(c.EmailAddresses)+len(c.IPAddresses) > 0 {
		return errors.New("it must ask for one URI that names the ledger, and for nothing else")
	}
	origin, err := record.ParseOrigin(strings.TrimPrefix(c.URIs[0].String(), "ledger:"))
	if err != nil {
		return err
	}
	if err := CheckStation(origin.Station); err != nil {
		return err
	}
	if r.spki == r.checkpointSPKI {
		return errors.New("checkpoint key and intermediate's key are the same")
	}
	mark := ""
	if r.Simulated() {
		mark = SimulatedMark
	}
	if !strings.HasPrefix(r.ca.Subject.CommonName, origin.Station+" CA ") || c.Subject.CommonName != origin.String()+mark ||
		!c.Extensions[0].Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
		return fmt.Errorf("it is for %q, the intermediate for %q: not one station", c.Subject, r.ca.Subject)
	}
	r.origin = origin
	return nil
}
