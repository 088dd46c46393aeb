// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/hex"
	"fmt"

	"provisioning.example/station/internal/attest"
	"provisioning.example/station/internal/record"
)

// seals follows the seals of one epoch. Each stands for a value of the TPM's counter, one more than the seal before; the entry
// after it holds the TPM's word for the value, over the checkpoint that covers the seal.
type seals struct {
	nv        int64 // of the newest seal; 0: there is none yet
	seq       int64 // its entry
	certified bool
	chip      *chip  // nil until the ledger says which TPM it is
	waiting   []word // of before that
	met       int    // exchanges that were looked at
}

// chip is what the station told its root of the TPM: the key that signs for it, and the counter.
type chip struct {
	name  chipName
	ak    *attest.Public
	place        // of the entry that says so
	words *int64 // how many it signed; guarded by the auditor's mu
}

// chipName is what makes a chip another one.
type chipName struct{ ak, counter [34]byte }

// chipOf is the chip of a request; nil if it shows none.
func chipOf(x exchange) *chip {
	said := x.request.Evidence()
	if said == nil || said.AK == nil || len(said.Counter) != 34 {
		return nil
	}
	return &chip{chipName{said.AK.Name(), [34]byte(said.Counter)}, said.AK, x.place, new(int64)}
}

// word is the TPM's word for one seal.
type word struct {
	seq         int64
	nv          int64
	attest, sig []byte
	checkpoint  [32]byte
}

func (w *walker) seal(e record.Entry) {
	wrong := func(format string, args ...any) { w.wrong(e.Epoch, e.Seq, "seal", format, args...) }
	s, b := &w.seals, e.Body
	if b.Attest == "" {
		if s.nv != 0 && b.NV != s.nv+1 {
			wrong("stands for %d of the TPM's counter, the seal before it for %d: seals are missing", b.NV, s.nv)
		}
		s.nv, s.seq, s.certified = b.NV, e.Seq, false
		w.report.Seals++
		return
	}
	switch {
	case s.certified || b.NV != s.nv || e.Seq != s.seq+1:
		wrong("is the TPM's word for %d, and does not follow the seal of that", b.NV)
		return
	case b.Size != s.seq || w.covered != s.seq || b.Checkpoint != w.note:
		wrong("is the TPM's word over checkpoint %.16s of size %d, and the seal is covered by %.16s of size %d", b.Checkpoint, b.Size, w.note, w.covered)
		return
	}
	s.certified = true
	t := word{seq: e.Seq, nv: b.NV}
	t.attest, _ = hex.DecodeString(b.Attest) // record.Decode has looked at the form
	t.sig, _ = hex.DecodeString(b.AttestSig)
	sum, _ := hex.DecodeString(b.Checkpoint)
	copy(t.checkpoint[:], sum)
	if s.chip == nil {
		if len(s.waiting) < maxEvidence {
			s.waiting = append(s.waiting, t)
		}
		return
	}
	w.judgeWord(*s.chip, t)
}

// judgeWord checks what the TPM said.
func (w *walker) judgeWord(chip chip, t word) {
	epoch := w.epoch
	w.pool.do(func() {
		c, err := attest.VerifyCounter(chip.ak, t.attest, t.sig, t.checkpoint, chip.name.counter)
		if err == nil && c.Value != uint64(t.nv) {
			err = fmt.Errorf("it says %d", c.Value)
		}
		if err != nil {
			w.wrong(epoch, t.seq, "seal", "is not the TPM's word for %d: %v", t.nv, err)
			return
		}
		w.mu.Lock()
		w.report.Certified++
		*chip.words++
		w.mu.Unlock()
	})
}

// meet learns which TPM the seals are of, from what the station answered to its root. Whether that is proven, judgeEvidence tells:
// so an epoch, which is one TPM's time, may not show two.
func (w *walker) meet() {
	s := &w.seals
	for ; s.met < len(w.evidence.exchanges); s.met++ {
		x := w.evidence.exchanges[s.met]
		c := chipOf(x)
		switch {
		case x.epoch != w.epoch || c == nil:
		case s.chip == nil:
			s.chip = c
			w.evidence.chips = append(w.evidence.chips, c)
			for _, t := range s.waiting {
				w.judgeWord(*c, t)
			}
			s.waiting = nil
		case s.chip.name != c.name:
			w.wrong(x.epoch, x.seq, "seal", "shows another TPM, or another counter of it, than entry %d: the seals are of one", s.chip.seq)
		}
	}
}
