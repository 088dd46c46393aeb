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

// The kinds of entries in a root's record.
const (
	entryRoot         = "root"
	entryIntermediate = "intermediate"
	entryCheckpoint   = "checkpoint"
	entryChallenge    = "challenge" // made, and open until it is closed or expires
	entryClosed       = "closed"    // a challenge was answered, and is used up
	entryRevoked      = "revoked"
	entryCRL          = "crl"
)

// RootEntry is one thing that a root did. What is not of its kind is zero.
type RootEntry struct {
	Seq         int
	Time        time.Time
	Kind        string            // root, intermediate, checkpoint, challenge, closed, revoked or crl
	Certificate *x509.Certificate // root, intermediate, checkpoint, revoked: signed, or revoked now
	Origin      string            // of the ledger: checkpoint, challenge
	TPM         string            // intermediate, checkpoint: what was known about the key

	ID         string    // challenge, closed: number of the challenge
	Digest     string    // challenge, closed: digest of challenge or answer
	Request    string    // challenge: digest of the request
	Commitment string    // challenge: what the secret is compared with
	EK         string    // challenge: SHA-256 of the endorsement key
	By         string    // challenge: who vouches for it
	Expires    time.Time // challenge: last second

	Reason   string // revoked: as in RFC 5280 5.3.1
	Operator string // revoked: who asked
	Approver string // revoked: who approved

	CRL *x509.RevocationList // crl
}

// recordLine is a line of the root's record: JSON, one entry a line, each line
// naming the SHA-256 of the line before it, so that nothing is taken out or
// changed without notice. Lines are only ever added.
type recordLine struct {
	Seq        int    `json:"seq"`
	Time       string `json:"time"`
	Kind       string `json:"kind"`
	Serial     string `json:"serial,omitempty"`
	SHA256     string `json:"sha256,omitempty"` // of the certificate or list
	Origin     string `json:"origin,omitempty"`
	TPM        string `json:"tpm,omitempty"`
	Cert       []byte `json:"cert,omitempty"`
	ID         string `json:"id,omitempty"`
	Digest     string `json:"digest,omitempty"`
	Request    string `json:"request,omitempty"`
	Commitment string `json:"commitment,omitempty"`
	EK         string `json:"ek,omitempty"`
	By         string `json:"by,omitempty"`
	Expires    string `json:"expires,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Operator   string `json:"operator,omitempty"`
	Approver   string `json:"approver,omitempty"`
	CRL        []byte `json:"crl,omitempty"`
	Prev       string `json:"prev"`
}

// maxRecord bounds the record: some ten thousand certificates.
const maxRecord = 32 << 20

// RootLog reads the record of a root's folder and checks that it is whole. It
// needs no passphrase.
func RootLog(dir string) ([]RootEntry, error) {
	entries, _, err := readRecord(filepath.Join(dir, rootLogFile))
	return entries, err
}

// entries reads the record of an open root. That of another program's root
// begins with the first thing it does here.
func (r *Root) entries() ([]RootEntry, error) {
	entries, err := RootLog(r.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
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
		prevSum := sha256.Sum256(prev)
		e.Seq, e.Time = len(have)+i+1, now
		line, err := json.Marshal(e.line(hex.EncodeToString(prevSum[:])))
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		prev = append(line, '\n')
		add = append(add, prev...)
	}
	if len(whole)+len(add) > maxRecord {
		return fmt.Errorf("write %s: it would have more than %d bytes: make a new root", path, maxRecord)
	}
	return appendAt(path, int64(len(whole)), add)
}

func (e RootEntry) line(prev string) recordLine {
	l := recordLine{
		Seq: e.Seq, Time: e.Time.Format(time.RFC3339), Kind: e.Kind, Origin: e.Origin, TPM: e.TPM,
		ID: e.ID, Digest: e.Digest, Request: e.Request, Commitment: e.Commitment, EK: e.EK, By: e.By,
		Reason: e.Reason, Operator: e.Operator, Approver: e.Approver, Prev: prev,
	}
	if e.Certificate != nil {
		l.Cert, l.Serial, l.SHA256 = e.Certificate.Raw, fmt.Sprintf("%x", e.Certificate.SerialNumber), hexSum(e.Certificate.Raw)
	}
	if e.CRL != nil {
		l.CRL, l.Serial, l.SHA256 = e.CRL.Raw, fmt.Sprintf("%x", e.CRL.Number), hexSum(e.CRL.Raw)
	}
	if !e.Expires.IsZero() {
		l.Expires = e.Expires.Format(time.RFC3339)
	}
	return l
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// appendAt adds to a file after size bytes. What may stand behind them is half
// a line of a write that was cut off: what it tells of never left.
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
		e, err := l.entry()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", l.Seq, err)
		}
		entries = append(entries, e)
		prev = line
	}
	return entries, nil
}

// entryFields names, for each kind, what its lines must and may hold beside
// number, time and the line before.
var entryFields = map[string]struct{ must, may []string }{
	entryRoot:         {must: []string{"cert"}},
	entryIntermediate: {must: []string{"cert"}, may: []string{"tpm"}},
	entryCheckpoint:   {must: []string{"cert", "origin"}, may: []string{"tpm"}},
	entryChallenge:    {must: []string{"id", "digest", "request", "commitment", "ek", "by", "expires", "origin"}},
	entryClosed:       {must: []string{"id", "digest"}},
	entryRevoked:      {must: []string{"cert", "reason"}, may: []string{"operator", "approver"}},
	entryCRL:          {must: []string{"crl"}},
}

// entry reads a line's meaning: nothing its kind needs is missing, nothing
// else is there.
func (l recordLine) entry() (RootEntry, error) {
	fields, known := entryFields[l.Kind]
	if !known {
		return RootEntry{}, fmt.Errorf("kind %.20q is unknown: a newer program wrote it", l.Kind)
	}
	for name, there := range map[string]bool{
		"cert": l.Cert != nil, "origin": l.Origin != "", "tpm": l.TPM != "", "id": l.ID != "", "digest": l.Digest != "",
		"request": l.Request != "", "commitment": l.Commitment != "", "ek": l.EK != "", "by": l.By != "", "expires": l.Expires != "",
		"reason": l.Reason != "", "operator": l.Operator != "", "approver": l.Approver != "", "crl": l.CRL != nil,
	} {
		switch must := slices.Contains(fields.must, name); {
		case must && !there:
			return RootEntry{}, fmt.Errorf("a %s entry lacks %s", l.Kind, name)
		case there && !must && !slices.Contains(fields.may, name):
			return RootEntry{}, fmt.Errorf("a %s entry may not have %s", l.Kind, name)
		}
	}
	e := RootEntry{
		Seq: l.Seq, Kind: l.Kind, Origin: l.Origin, TPM: l.TPM, ID: l.ID, Digest: l.Digest, Request: l.Request,
		Commitment: l.Commitment, EK: l.EK, By: l.By, Reason: l.Reason, Operator: l.Operator, Approver: l.Approver,
	}
	return e, e.readParts(l)
}

// readParts reads what is more than text.
func (e *RootEntry) readParts(l recordLine) (err error) {
	if e.Time, err = time.Parse(time.RFC3339, l.Time); err != nil {
		return err
	}
	if l.Expires != "" {
		if e.Expires, err = time.Parse(time.RFC3339, l.Expires); err != nil {
			return err
		}
	}
	var serial, sum string
	switch {
	case l.Cert != nil:
		if e.Certificate, err = x509.ParseCertificate(l.Cert); err == nil {
			serial, sum = fmt.Sprintf("%x", e.Certificate.SerialNumber), hexSum(l.Cert)
		}
	case l.CRL != nil:
		if e.CRL, err = x509.ParseRevocationList(l.CRL); err == nil && e.CRL.Number != nil {
			serial, sum = fmt.Sprintf("%x", e.CRL.Number), hexSum(l.CRL)
		}
	}
	if err != nil || l.Serial != serial || l.SHA256 != sum {
		return errors.New("it does not hold the certificate or list it names")
	}
	return nil
}

// lastLine is the last line of complete lines, empty if there is none.
func lastLine(whole []byte) []byte {
	if len(whole) == 0 {
		return nil
	}
	return whole[bytes.LastIndexByte(whole[:len(whole)-1], '\n')+1:]
}
