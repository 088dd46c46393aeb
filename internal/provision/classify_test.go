// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/tpm"
)

// TestClassify holds every error that a lower floor exports against the fault
// it becomes.
func TestClassify(t *testing.T) {
	claim := func(kind string) error { return &ledger.ClaimError{Claim: record.Claim{Kind: kind}} }
	lost := &smp.LinkError{Err: errors.New("gone")}
	for _, c := range []struct {
		step string
		err  error
		code string
	}{
		{"CONNECT", enroll.ErrNoAgent, "F-CONNECT-02"},
		{"KEY", claim(record.ClaimSerial), "F-CONNECT-09"},
		{"KEY", claim(record.ClaimSPKI), "F-KEY-01"},
		{"KEY", &smp.RCError{Group: 64, RC: enroll.RCEntropy}, "F-KEY-02"},
		{"KEY", &smp.RCError{Group: -1, RC: enroll.RCEntropy}, "F-KEY-95"},
		{"REQUEST", &issuer.Refusal{Reason: issuer.ReasonSignature}, "F-REQUEST-01"},
		{"REQUEST", &issuer.Refusal{Reason: issuer.ReasonDoubledAttribute}, "F-REQUEST-11"},
		{"ISSUE", tpm.ErrLost, "F-ISSUE-01"},
		{"ISSUE", tpm.ErrPIN, "F-ISSUE-02"},
		{"ISSUE", &tpm.LockoutError{}, "F-ISSUE-03"},
		{"ISSUE", issuer.ErrWindow, "F-ISSUE-08"},
		{"ISSUE", context.DeadlineExceeded, "F-ISSUE-01"},
		{"ISSUE", context.Canceled, "F-ISSUE-98"},
		{"KEY", &ledger.WriteError{}, "F-RECORD-01"},
		{"RECORD", &ledger.WriteError{Full: true}, "F-RECORD-01"},
		{"KEY", &ledger.WriteError{Final: true}, "F-RECORD-05"},
		{"KEY", &ledger.SealError{Sealed: 1, Counter: 2}, "F-RECORD-06"},
		{"RECORD", tpm.ErrLost, "F-RECORD-02"},
		{"INSTALL", &smp.RCError{Group: 64, RC: enroll.RCUntrusted}, "F-INSTALL-01"},
		{"PROVE", enroll.ErrReadBack, "F-PROVE-02"},
		{"PROVE", enroll.ErrProof, "F-PROVE-01"},
		{"REHEARSE", enroll.ErrTarget, "F-REHEARSE-02"},
		{"REHEARSE", enroll.ErrRehearsal, "F-REHEARSE-01"},
		{"RECEIPT", enroll.ErrNotReset, "F-RECEIPT-01"},
		{"RECEIPT", enroll.ErrProof, "F-RECEIPT-03"},
		{"LOCK", enroll.ErrOtherBoard, "F-LOCK-94"},
		{"LOCK", enroll.ErrBusy, "F-LOCK-96"},
		{"LOCK", smp.ErrTimeout, "F-LOCK-90"},
		{"LOCK", smp.ErrBabble, "F-LOCK-92"},
		{"LOCK", smp.ErrAnswer, "F-LOCK-93"},
		{"LOCK", lost, "F-LOCK-91"},
		{"LOCK", errors.Join(context.DeadlineExceeded, lost), "F-LOCK-91"},
		{"LOCK", errors.Join(enroll.ErrOtherBoard, lost), "F-LOCK-94"},
		{"LOCK", errors.Join(enroll.ErrAnswer, lost), "F-LOCK-93"},
		{"LOCK", errors.New("what?"), "F-LOCK-99"},
	} {
		f := provision.Classify(c.step, fmt.Errorf("wrapped: %w", c.err))
		if f.Code != c.code || f.Sentence == "" || !errors.Is(f, c.err) {
			t.Errorf("%s at %s became %+v, want %s", c.err, c.step, f, c.code)
		}
	}
}
