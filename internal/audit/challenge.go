// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"encoding/hex"

	"provisioning.example/station/internal/attest"
	"provisioning.example/station/internal/record"
)

// Challenged is what a [Source] is besides if it may come with the TPM's answer to an auditor's nonce.
type Challenged interface {
	Challenge() *record.Challenge // nil: there is none
}

// Answered is the TPM's answer to a challenge that holds.
type Answered struct {
	Nonce   string `json:"nonce"`   // hex
	Counter int64  `json:"counter"` // of the TPM when it was asked; the last seal stands for the same
	Asked   bool   `json:"asked"`   // the nonce is the auditor's own: the answer is no older than that
	Proven  bool   `json:"proven"`  // the root vouches for the TPM that answered

	chip *chip
}

// answer judges the TPM's answer at the end of the ledger: it is to this nonce, about this ledger as it ends here, by the TPM that
// sealed its last epoch, and its counter stands where the last seal says. An older copy of the ledger, or of the bundle, has none.
func (w *walker) answer() {
	wrong := func(format string, args ...any) { w.wrong(w.epoch, 0, "challenge", format, args...) }
	var c *record.Challenge
	if s, ok := w.source.(Challenged); ok {
		c = s.Challenge()
	}
	switch {
	case c == nil && w.nonce != nil:
		wrong("the ledger came without the TPM's answer to the challenge %x: have it exported with that", w.nonce)
		return
	case c == nil:
		return
	}
	nonce, _ := hex.DecodeString(c.Nonce) // record.ParseChallenge has looked at the form
	attested, _ := hex.DecodeString(c.Attest)
	sig, _ := hex.DecodeString(c.AttestSig)
	checkpoint, _ := hex.DecodeString(w.note)
	s := w.seals
	switch {
	case w.nonce != nil && !bytes.Equal(nonce, w.nonce):
		wrong("it answers the challenge %s, not %x: it was made for somebody else, or before", c.Nonce, w.nonce)
	case len(checkpoint) != 32 || c.Checkpoint != w.note:
		wrong("it is about checkpoint %.16s, and the newest of the ledger is %.16s", c.Checkpoint, w.note)
	case c.NV != s.nv:
		wrong("the TPM's counter was at %d, and the last seal of the ledger stands for %d: this is an older copy, its end was cut off, or the TPM is another one", c.NV, s.nv)
	case s.chip == nil && w.nonce != nil:
		wrong("the answer cannot be checked: the ledger does not hold what the station showed its root of the TPM (ca answer)")
	case s.chip == nil: // nobody asked, and nobody can tell
	default:
		said, err := attest.VerifyCounter(s.chip.ak, attested, sig, record.ChallengeQualifying(nonce, [32]byte(checkpoint)), s.chip.name.counter)
		switch {
		case err != nil:
			wrong("it is not the TPM's answer: %v", err)
		case said.Value != uint64(c.NV):
			wrong("the TPM says that its counter was at %d, the answer %d", said.Value, c.NV)
		default:
			w.report.Challenge = &Answered{Nonce: c.Nonce, Counter: c.NV, Asked: w.nonce != nil, chip: s.chip}
		}
	}
}
