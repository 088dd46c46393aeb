// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"crypto/sha256"
	"encoding/hex"

	"provisioning.example/station/internal/record"
)

// ended is what is remembered of the epoch before.
type ended struct {
	origin  record.Origin
	covered int64  // size of its newest checkpoint
	note    string // digest of that
	size    int64
	root    [32]byte
}

// remember keeps the epoch that ends for the first entry of the next.
func (w *walker) remember() {
	w.before = ended{w.origin, w.covered, w.note, w.seq, w.tree.root()}
}

// succeeds judges the first entry of an epoch that is not the first: it names what went before, so that nothing of that can go unnoticed.
// A restored entry may name a later checkpoint than the copy has: that one is lost, and the entry says so.
func (w *walker) succeeds(e record.Entry) {
	wrong := func(format string, args ...any) { w.wrong(e.Epoch, e.Seq, "entry", format, args...) }
	b, was := e.Body, w.before
	switch {
	case b.Kind != record.KindHandover && b.Kind != record.KindRestored:
		wrong("begins an epoch, and is neither a handover nor a restored entry")
		return
	case b.Count != was.size || b.Tree != hex.EncodeToString(was.root[:]):
		wrong("begins an epoch after %d entries with root %.16s; before it are %d with root %.16x", b.Count, b.Tree, was.size, was.root)
	}
	if b.Kind == record.KindHandover && (b.Origin != was.origin.String() || b.Size != was.covered || b.Checkpoint != was.note) {
		wrong("hands over from checkpoint %.16s of size %d of %s; the last before it is %.16s of size %d of %s",
			b.Checkpoint, b.Size, b.Origin, was.note, was.covered, was.origin)
	}
}

func digestHex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
