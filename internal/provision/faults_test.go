// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/virtual"
)

// matrix is the fault matrix: which code a board that misbehaves in this way
// ends with; "" is PASS.
var matrix = map[string]string{
	// Boards that do not talk, or talk nonsense.
	"silent": "F-CONNECT-90", "dies": "F-REQUEST-90", "dies-commit": "F-INSTALL-90", "babbling": "F-CONNECT-92",
	"always-busy": "F-KEY-96", "no-agent": "F-CONNECT-02", "other-agent": "F-CONNECT-02", "other-proto": "F-CONNECT-03",
	"bad-cbor": "F-REQUEST-93", "deep-cbor": "F-REQUEST-93", "dup-key": "F-REQUEST-93", "wrong-type": "F-REQUEST-93",
	"oversize-answer": "F-REQUEST-93", "huge-csr": "F-REQUEST-93", "no-uid": "F-CONNECT-93", "bad-chunk": "F-CONNECT-93",
	"bad-state": "F-CONNECT-93", "control-text": "F-CONNECT-93", "get-stalls": "F-REQUEST-93", "get-jumps": "F-REQUEST-93",
	"put-stalls": "F-INSTALL-93", "put-jumps": "F-INSTALL-93", "put-loses": "F-INSTALL-93",
	// Keys and requests.
	"entropy": "F-KEY-02", "keeps-key": "F-KEY-03", "other-curve": "F-REQUEST-09", "wrong-key": "F-REQUEST-04",
	"bad-signature": "F-REQUEST-01", "stale-csr": "F-REQUEST-02", "foreign-csr": "F-REQUEST-04", "extra-attribute": "F-REQUEST-05",
	"extra-rdn": "F-REQUEST-03", "wrong-cn": "F-REQUEST-03", "csr-differs": "F-REQUEST-93",
	"no-password": "F-REQUEST-10", "two-passwords": "F-REQUEST-11", "printable-password": "F-REQUEST-12",
	"repeats-r": "", // alone it is as good as any; see TestRepeatedRandom
	// Chains.
	"storage-full": "F-INSTALL-03", "refuses-chain": "F-INSTALL-01", "refuses-key": "F-INSTALL-02", "refuses-root": "F-INSTALL-01",
	"digest-always": "F-INSTALL-95", "commit-lies": "F-PROVE-03", "chain-differs": "F-PROVE-02", "chain-rots": "F-PROVE-02",
	// Proofs.
	"prove-wrong-key": "F-PROVE-01", "prove-replay": "F-PROVE-01", "tls-wrong-key": "F-REHEARSE-01",
	"tls-refuses": "F-REHEARSE-95", "tls-garbage": "F-REHEARSE-01",
	// Firmware images: boards that their product brings firmware for.
	"image-none": "F-FLASH-01", "image-small-slot": "F-FLASH-04", "image-refused": "F-FLASH-05", "image-stalls": "F-FLASH-06",
	"image-dies": "F-FLASH-90", "image-jumps": "F-FLASH-93", "image-beyond": "F-FLASH-93", "image-differs": "F-FLASH-07",
	"image-rots": "F-FLASH-08", "image-reverts": "F-FLASH-08", "image-unconfirmed": "F-FLASH-10",
	// Lock and restart.
	"lock-lies": "F-LOCK-01", "reset-lies": "F-RECEIPT-01", "reset-kills": "F-RECEIPT-90", "unlocks": "F-RECEIPT-02",
	"cloned-key": "", // alone it is as good as any; see TestClonedKey
	"forgets":    "F-RECEIPT-94", "uid-changes": "F-RECEIPT-94", "key-changes": "F-RECEIPT-94", "receipt-wrong-key": "F-RECEIPT-03",
}

// TestFaultMatrix puts every misbehaving board into slot 1 and a sound one
// into slot 2: the first ends as the matrix says, the second passes.
func TestFaultMatrix(t *testing.T) {
	for _, f := range virtual.Faults() {
		want, listed := matrix[f.Name]
		if !listed && !f.Pass {
			t.Errorf("%s (%s) is not in the matrix", f.Name, f.What)
		}
		t.Run(f.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { faulty(t, f.Name, want) })
		})
	}
}

func faulty(t *testing.T, fault, want string) {
	w := newWorld(t, map[string]*virtual.Board{
		portName(1): board(t, 1, func(c *virtual.Config) { c.Fault = fault }),
		portName(2): board(t, 2),
	}, func(w *world) {
		if strings.HasPrefix(fault, "image-") {
			withImage(w)
		}
	})
	defer w.close()
	ends := w.run()
	bad, sound := ends[1], ends[2]
	if got := code(bad.Fault); got != want {
		t.Errorf("ended with %q (%v), want %q", got, bad.Fault, want)
	}
	if sound.Outcome != record.Passed {
		t.Errorf("the sound board beside it ended with %v", sound.Fault)
	}
	w.checkRecord(t, bad)
	if open, err := w.reader.OpenRuns(t.Context()); err != nil || len(open) > 0 {
		t.Errorf("%d runs are still open, %v", len(open), err)
	}
}

// checkRecord compares the ledger with what was shown of a unit's only run.
func (w *world) checkRecord(t *testing.T, r provision.Result) {
	t.Helper()
	if r.UID == "" {
		return // nobody knows which unit it was
	}
	runs := w.entries(r.UID, record.KindEnd)
	if len(runs) != 1 || runs[0].Outcome != r.Outcome || runs[0].Fault != code(r.Fault) {
		t.Errorf("the ledger has %+v, shown was %+v", runs, r)
	}
	if issued := w.entries(r.UID, record.KindIssued); len(issued) > 1 {
		t.Errorf("%d certificates for one key", len(issued))
	}
}

func code(f *provision.Fault) string {
	if f == nil {
		return ""
	}
	return f.Code
}
