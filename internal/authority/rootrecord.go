// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// RootEntry is one certificate that a root signed.
type RootEntry struct {
	Seq         int
	Time        time.Time
	Kind        string // root, intermediate or checkpoint
	Origin      string // of the ledger, for a checkpoint key
	TPM         string // what was known about the key
	Certificate *x509.Certificate
}

// recordLine is a line of the root's record: JSON, one certificate a line, each
// line naming the SHA-256 of the line before it, so that nothing is taken out
// or changed without notice. Lines are only ever added.
type recordLine struct {
	Seq    int    `json:"seq"`
	Time   string `json:"time"`
	Kind   string `json:"kind"`
	Serial string `json:"serial"`
	SHA256 string `json:"sha256"`
	Origin string `json:"origin,omitempty"`
	TPM    string `json:"tpm,omitempty"`
	Cert   []byte `json:"cert"`
	Prev   string `json:"prev"`
}

// recordKinds are the kinds of certificate a root signs.
var recordKinds = []string{"root", "intermediate", "checkpoint"}

// maxRecord bounds the record: some ten thousand certificates.
const maxRecord = 32 << 20

// RootLog reads the record of a root's folder and checks that it is whole. It
// needs no passphrase.
func RootLog(dir string) ([]RootEntry, error) {
	entries, _, err := readRecord(filepath.Join(dir, rootLogFile))
	return entries, err
}

// note adds entries to the record and brings them to the disk.
func (r *Root) note(now time.Time, entries ...RootEntry) error {
	path := filepath.Join(r.dir, rootLogFile)
	have, whole, err := readRecord(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	prev := lastLine(whole)
	var add []byte
	for i, e := range entries {
		sum := sha256.Sum256(e.Certificate.Raw)
		prevSum := sha256.Sum256(prev)
		line, err := json.Marshal(recordLine{
			Seq: len(have) + i + 1, Time: now.Format(time.RFC3339), Kind: e.Kind,
			Serial: fmt.Sprintf("%x", e.Certificate.SerialNumber), SHA256: hex.EncodeToString(sum[:]),
			Origin: e.Origin, TPM: e.TPM, Cert: e.Certificate.Raw, Prev: hex.EncodeToString(prevSum[:]),
		})
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		prev = append(line, '\n')
		add = append(add, prev...)
	}
	return appendAt(path, int64(len(whole)), add)
}

// appendAt adds to a file after size bytes. What may stand behind them is half
// a line of a write that was cut off: its certificates never left.
func appendAt(path string, size int64, add []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(add, size)
	if err == nil {
		err = f.Truncate(size + int64(len(add)))
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// readRecord reads and checks the record. whole is its bytes up to the last
// complete line.
func readRecord(path string) (entries []RootEntry, whole []byte, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if info.Size() > maxRecord {
		return nil, nil, fmt.Errorf("%s has %d bytes; allowed: up to %d", path, info.Size(), maxRecord)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	whole = data[:bytes.LastIndexByte(data, '\n')+1]
	if entries, err = parseRecord(whole); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return entries, whole, nil
}

// parseRecord reads complete lines: in order, each in the one form in which it
// was written, each naming the one before.
func parseRecord(text []byte) ([]RootEntry, error) {
	var (
		entries []RootEntry
		prev    []byte
	)
	for line := range bytes.Lines(text) {
		var l recordLine
		if err := json.Unmarshal(line, &l); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(entries)+1, err)
		}
		again, err := json.Marshal(l)
		prevSum := sha256.Sum256(prev)
		if err != nil || !bytes.Equal(append(again, '\n'), line) || l.Seq != len(entries)+1 || l.Prev != hex.EncodeToString(prevSum[:]) {
			return nil, fmt.Errorf("line %d was changed, or a line before it was taken out", len(entries)+1)
		}
		if !slices.Contains(recordKinds, l.Kind) {
			return nil, fmt.Errorf("line %d is of kind %.20q; allowed: %v", l.Seq, l.Kind, recordKinds)
		}
		e := RootEntry{Seq: l.Seq, Kind: l.Kind, Origin: l.Origin, TPM: l.TPM}
		if e.Time, err = time.Parse(time.RFC3339, l.Time); err != nil {
			return nil, fmt.Errorf("line %d: %w", l.Seq, err)
		}
		sum := sha256.Sum256(l.Cert)
		if e.Certificate, err = x509.ParseCertificate(l.Cert); err != nil || l.SHA256 != hex.EncodeToString(sum[:]) ||
			l.Serial != fmt.Sprintf("%x", e.Certificate.SerialNumber) {
			return nil, fmt.Errorf("line %d does not hold the certificate it names", l.Seq)
		}
		entries = append(entries, e)
		prev = line
	}
	return entries, nil
}

// lastLine is the last line of complete lines, empty if there is none.
func lastLine(whole []byte) []byte {
	if len(whole) == 0 {
		return nil
	}
	return whole[bytes.LastIndexByte(whole[:len(whole)-1], '\n')+1:]
}
