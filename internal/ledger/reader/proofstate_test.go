// SPDX-License-Identifier: Apache-2.0

package reader_test

import (
	"testing"

	"provisioning.example/station/internal/record"
)

// TestWhatHoldsAnEntry finds the first checkpoint and the first seal at or after an entry; the TPM's word for a seal is none.
func TestWhatHoldsAnEntry(t *testing.T) {
	l := newLedger(t)
	r := l.Reader()
	word := record.Example(record.KindSeal)
	word.Station = ""
	seal := word
	seal.Attest, seal.AttestSig, seal.Checkpoint, seal.Size = "", "", "", 0
	start := record.Example(record.KindStop)
	start.Station = ""
	for _, b := range []record.Body{start, seal, word, start, start, seal, word, start} {
		add(t, l, b)
	}
	if err := l.Cover(t.Context(), 8); err != nil {
		t.Fatal(err)
	}
	for _, try := range []struct {
		epoch  int
		seq    int64
		sealed int64
	}{{1, 1, 2}, {1, 2, 2}, {1, 3, 6}, {1, 6, 6}, {1, 7, 0}, {1, 8, 0}, {2, 1, 0}} {
		e, found, err := r.Sealing(t.Context(), try.epoch, try.seq)
		if err != nil || found != (try.sealed != 0) || e.Seq != try.sealed {
			t.Errorf("entry %d is sealed by %d, %v, %v; want %d", try.seq, e.Seq, found, err, try.sealed)
		}
		c, found, err := r.Covering(t.Context(), try.epoch, try.seq)
		if err != nil || found != (try.epoch == 1) || found && c.Size < try.seq {
			t.Errorf("entry %d is covered by the first %d, %v, %v", try.seq, c.Size, found, err)
		}
		if prior, found, err := r.Covering(t.Context(), 1, 0); err != nil || !found || prior.Size != 0 {
			t.Errorf("the first checkpoint covers %d, %v, %v", prior.Size, found, err)
		}
	}
	if _, found, err := r.Covering(t.Context(), 1, 9); found || err != nil {
		t.Errorf("an entry that is not there is covered: %v", err)
	}
}
