// SPDX-License-Identifier: Apache-2.0

package export

import (
	"os"

	"provisioning.example/station/internal/record"
)

// Proof shows that a file is the one an export entry names, and that this entry is in the ledger.
type Proof struct {
	Entry        []byte // stored bytes of the export entry
	Proof        record.Proof
	Certificates []byte // PEM; among them the one of the key that signed the proof's checkpoint
}

// What stands beside a file that is exported with its proof; scripts/verify-unit.sh and ledger-verify look for these names.
const (
	entrySuffix = ".entry.json"
	proofSuffix = ".tlog-proof"
	certsSuffix = ".certificates.pem"
)

func (p *Proof) files() map[string][]byte {
	if p == nil {
		return nil
	}
	return map[string][]byte{entrySuffix: p.Entry, proofSuffix: p.Proof.Marshal(), certsSuffix: p.Certificates}
}

// beside writes the proof's files, each whole.
func (p *Proof) beside(path string) error {
	for suffix, data := range p.files() {
		_, err := whole(path+suffix, nil, func(f *os.File) (Result, error) {
			_, err := f.Write(data)
			return Result{}, err
		})
		if err != nil {
			p.remove(path)
			return err
		}
	}
	return nil
}

func (p *Proof) remove(path string) {
	for suffix := range p.files() {
		os.Remove(path + suffix) //nolint:errcheck // the first error counts
	}
}
