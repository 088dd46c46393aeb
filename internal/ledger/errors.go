// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"

	"provisioning.example/station/internal/record"
)

// WriteError says that the ledger could not be written. While it lasts, nothing may be provisioned.
// Nothing of the batch is recorded, unless Final is set: then it is recorded wholly or not at all, and opening the ledger again tells.
type WriteError struct {
	Op    string
	Full  bool // no room on the disk
	Final bool // every later call fails as well, until the ledger has been closed and opened again
	TPM   bool // the TPM did not answer while a seal was under way
	Err   error
}

func (e *WriteError) Error() string {
	switch {
	case e.Full:
		return fmt.Sprintf("ledger: %s: no room on the disk: make room, then try again: %v", e.Op, e.Err)
	case e.TPM:
		return fmt.Sprintf("ledger: %s: the TPM does not answer, and nothing is written until it does: %v", e.Op, e.Err)
	case !e.Final:
		return fmt.Sprintf("ledger: %s: another program holds the ledger: end it, then try again: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("ledger: %s failed and the ledger is stopped: check disk and permissions, then start the station again: %v", e.Op, e.Err)
}

func (e *WriteError) Unwrap() error { return e.Err }

// writeError sorts a failure to write. SQLite has rolled back the transaction after a full disk and a busy database;
// of anything else nothing is promised.
func writeError(op string, err error) *WriteError {
	var we *WriteError
	if errors.As(err, &we) {
		return we
	}
	var se sqlite3.Error
	errors.As(err, &se)
	return &WriteError{Op: op, Full: se.Code == sqlite3.ErrFull, Final: se.Code != sqlite3.ErrFull && se.Code != sqlite3.ErrBusy, Err: err}
}

// ClaimError says that another unit holds what a unit claims. Nothing of the batch is recorded.
type ClaimError struct {
	Claim record.Claim
	Epoch int // the entry by which the other unit took it
	Seq   int64

	Serial     string // the other unit; the serial may be unknown
	Model, UID string
}

func (e *ClaimError) Error() string {
	name := "board " + e.Model + "/" + e.UID
	if e.Serial != "" {
		name = "unit " + e.Serial + " (board " + e.Model + "/" + e.UID + ")"
	}
	return fmt.Sprintf("%s %s belongs to %s since entry %d: rework or scrap that unit first, or take another", e.Claim.Kind, e.Claim.Value, name, e.Seq)
}

// ReleaseError says that a unit would give back what it may not, or what is not its own. Nothing of the batch is recorded.
type ReleaseError struct {
	Claim record.Claim
	Why   string
}

func (e *ReleaseError) Error() string {
	return fmt.Sprintf("%s %s is not released: %s", e.Claim.Kind, e.Claim.Value, e.Why)
}
