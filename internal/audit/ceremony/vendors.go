// SPDX-License-Identifier: Apache-2.0

package ceremony

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Bounds of a folder of vendors' certificates, and of each file in it, in bytes.
const (
	maxVendors    = 1000
	maxVendorFile = 1 << 20
)

// ReadVendors reads the certificates of a folder: *.pem, *.crt, *.cer and *.der, in PEM or DER, 1 to 1000. A file of these that holds
// something else is an error: a root that is silently missing looks like a TPM that is a fraud.
func ReadVendors(folder string) ([]*x509.Certificate, error) {
	files, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, file := range files {
		switch filepath.Ext(file.Name()) {
		case ".pem", ".crt", ".cer", ".der":
		default:
			continue
		}
		certs, err := readVendor(filepath.Join(folder, file.Name()))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file.Name(), err)
		}
		all = append(all, certs...)
	}
	if len(all) == 0 || len(all) > maxVendors {
		return nil, fmt.Errorf("%s holds %d certificates; allowed: 1 to %d, in files *.pem, *.crt, *.cer or *.der", folder, len(all), maxVendors)
	}
	return all, nil
}

// readVendor reads one file: certificates in PEM, or one in DER.
func readVendor(path string) (certs []*x509.Certificate, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	raw, err := io.ReadAll(io.LimitReader(f, maxVendorFile+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxVendorFile {
		return nil, fmt.Errorf("longer than %d bytes", maxVendorFile)
	}
	if b, _ := pem.Decode(raw); b == nil {
		c, err := x509.ParseCertificate(raw)
		return []*x509.Certificate{c}, err
	}
	for b, rest := pem.Decode(raw); b != nil; b, rest = pem.Decode(rest) {
		if b.Type != "CERTIFICATE" {
			return nil, errors.New("it holds something else than certificates")
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	return certs, nil
}
