// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"iter"

	"provisioning.example/station/internal/record"
)

// walker goes through entries, checkpoints and tree nodes side by side, so that memory does not grow with the ledger's length.
type walker struct {
	*auditor
	ctx    context.Context
	epoch  int
	seq    int64
	tree   frontier
	origin record.Origin // of this epoch, as its first checkpoint says

	nextCheckpoint func() (record.StoredCheckpoint, error, bool)
	pending        *record.StoredCheckpoint // the next one, not compared yet
	covered        int64                    // entries of this epoch under its newest checkpoint
	seals          seals                    // of this epoch
	note           string                   // digest of that
	before         ended
	begins         string // kind of the epoch's first entry
	nextNode       func() (record.StoredNode, error, bool)
	stopNodes      func()
	lostNodes      bool // one finding is enough
}

func (a *auditor) walk(ctx context.Context) error {
	next, stop := iter.Pull2(a.source.Checkpoints(ctx))
	defer stop()
	w := &walker{auditor: a, ctx: ctx, nextCheckpoint: next, stopNodes: func() {}}
	defer func() { w.stopNodes() }()
	if err := w.advance(); err != nil {
		return err
	}
	for e, err := range a.source.Raw(ctx, 0, 0) {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.entry(e); err != nil {
			return err
		}
	}
	if err := w.finish(); err != nil {
		return err
	}
	a.finishLife()
	if err := a.judgeCorrections(ctx); err != nil {
		return err
	}
	return a.compareClaims(ctx)
}

func (w *walker) entry(e record.Entry) error {
	if e.Epoch != w.epoch {
		if e.Epoch != w.epoch+1 {
			w.wrong(e.Epoch, e.Seq, "entry", "follows epoch %d: epochs are missing", w.epoch)
		}
		if err := w.begin(e.Epoch); err != nil {
			return err
		}
	}
	if e.Seq != w.seq+1 {
		w.wrong(e.Epoch, e.Seq, "entry", "follows entry %d: entries are missing", w.seq)
	}
	w.seq = e.Seq
	w.report.Entries++
	leaf := record.Leaf(e.Raw)
	if leaf != e.Leaf {
		w.wrong(e.Epoch, e.Seq, "entry", "was changed after it was written: its hash is not the stored one")
	}
	if err := w.grow(leaf); err != nil {
		return err
	}
	w.meaning(e)
	return w.compareCheckpoints()
}

// meaning judges what an entry says.
func (w *walker) meaning(e record.Entry) {
	body, err := record.Decode(e.Raw)
	if err != nil {
		w.wrong(e.Epoch, e.Seq, "entry", "is not one this program writes: %v", err)
		return
	}
	e.Body = body
	if e.Seq == 1 {
		w.begins = body.Kind
	}
	if w.origin.Station != "" && body.Station != w.origin.Station {
		w.wrong(e.Epoch, e.Seq, "entry", "is of station %s in the ledger of %s", body.Station, w.origin.Station)
	}
	if e.Epoch > 1 && e.Seq == 1 {
		w.succeeds(e)
	}
	if body.Kind == record.KindSeal {
		w.seal(e)
	}
	w.follow(w.ctx, e)
	w.remark(e)
	w.meet()
	for _, what := range w.claims.Apply(e) {
		w.wrong(e.Epoch, e.Seq, "claim", "%s", what)
	}
	w.settle(e)
}

// begin closes one epoch and opens the next.
func (w *walker) begin(epoch int) error {
	if err := w.end(); err != nil {
		return err
	}
	w.remember()
	w.seals, w.begins = seals{}, ""
	w.epoch, w.seq, w.tree, w.covered, w.origin, w.lostNodes = epoch, 0, frontier{}, 0, record.Origin{}, false
	w.stopNodes()
	if stored, ok := w.source.(Derived); ok {
		w.nextNode, w.stopNodes = iter.Pull2(stored.Nodes(w.ctx, epoch))
	}
	return w.compareCheckpoints()
}

// end judges an epoch of which nothing more comes.
func (w *walker) end() error {
	for w.pending != nil && w.pending.Epoch <= w.epoch {
		if w.epoch > 0 {
			w.wrong(w.epoch, 0, "checkpoint", "a checkpoint covers %d entries of epoch %d but %d are stored: entries were cut off", w.pending.Size, w.pending.Epoch, w.seq)
		}
		if err := w.advance(); err != nil {
			return err
		}
	}
	w.compareKnown(true)
	if w.epoch > 0 {
		w.begun()
		w.report.Epochs = append(w.report.Epochs, w.extent())
		w.report.Uncovered, w.report.Unsealed = w.seq-w.covered, 0
		if w.report.Seals > 0 {
			w.report.Unsealed = w.seq
		}
		if s := w.seals; s.nv != 0 {
			w.report.Unsealed = w.seq - s.seq
			if s.certified {
				w.report.Unsealed--
			}
			if s.certified && w.seq == s.seq+1 && w.covered == s.seq {
				w.report.Uncovered = 0 // the TPM's word for the seal is signed by itself
			}
		}
	}
	return nil
}

// begun judges whether an epoch has what it begins with, all in one transaction: its first checkpoint, from the second epoch on an
// entry that names what went before, and a seal where the station has a counter, which none after it is without.
func (w *walker) begun() {
	if w.origin == (record.Origin{}) {
		w.wrong(w.epoch, 0, "checkpoint", "there is not even the first checkpoint of epoch %d", w.epoch)
	}
	switch {
	case w.epoch > 1 && w.seq == 0:
		w.wrong(w.epoch, 0, "entry", "epoch %d has no entries: one begins with a handover or a restored entry", w.epoch)
	case w.seals.nv == 0 && w.report.Seals > 0:
		w.wrong(w.epoch, 0, "seal", "epoch %d has no seal, and one before it has: the station has a counter in its TPM", w.epoch)
	}
}

// finish is end for the last epoch; an epoch that has checkpoints but no entries is opened on the way.
func (w *walker) finish() error {
	for w.pending != nil && w.pending.Epoch > w.epoch {
		if err := w.begin(w.pending.Epoch); err != nil {
			return err
		}
	}
	if err := w.end(); err != nil {
		return err
	}
	w.answer()
	for _, c := range w.known {
		w.wrong(c.Origin.Epoch, 0, "anchor", "the known checkpoint of %s is of an epoch that the ledger does not have", c.Origin)
	}
	if w.epoch == 0 {
		w.wrong(0, 0, "checkpoint", "there is not even the first checkpoint")
	}
	return nil
}

// advance fetches the next checkpoint.
func (w *walker) advance() error {
	c, err, ok := w.nextCheckpoint()
	if err != nil {
		return err
	}
	w.pending = nil
	if ok {
		w.pending = &c
	}
	return nil
}

// compareCheckpoints judges the checkpoints of the tree as it stands now.
func (w *walker) compareCheckpoints() error {
	for w.pending != nil && (w.pending.Epoch < w.epoch || w.pending.Epoch == w.epoch && w.pending.Size <= w.seq) {
		w.checkpoint(*w.pending)
		if err := w.advance(); err != nil {
			return err
		}
	}
	w.compareKnown(false)
	return nil
}

func (w *walker) checkpoint(stored record.StoredCheckpoint) {
	w.report.Checkpoints++
	wrong := func(format string, args ...any) { w.wrong(stored.Epoch, stored.Size, "checkpoint", format, args...) }
	c, err := record.ReadCheckpoint(stored.Note)
	switch {
	case err != nil:
		wrong("has a %v", err)
		return
	case c.Size != stored.Size || c.Origin.Epoch != stored.Epoch:
		wrong("has a checkpoint of another place: size %d of %s", c.Size, c.Origin)
		return
	case stored.Epoch != w.epoch || stored.Size != w.seq:
		wrong("has a checkpoint that fits no entry")
		return
	}
	w.nameOrigin(c.Origin, wrong)
	if c.Root != w.tree.root() {
		wrong("has a checkpoint of another history: entries before it were changed, removed or added after it was signed")
	}
	w.covered, w.note = c.Size, digestHex(stored.Note)
	v := w.keys[c.Origin]
	if v == nil {
		w.report.Proven = false
		return
	}
	w.pool.do(func() {
		if _, err := v.Open(stored.Note); err != nil {
			wrong("has a checkpoint that is not signed by the key of %s: %v", c.Origin, err)
		}
	})
}

// nameOrigin lets an epoch's first checkpoint say whose it is; all others must say the same.
func (w *walker) nameOrigin(origin record.Origin, wrong func(string, ...any)) {
	if w.origin == (record.Origin{}) {
		w.origin = origin
		w.report.Origins = append(w.report.Origins, origin.String())
		return
	}
	if origin != w.origin {
		wrong("has a checkpoint of %s in the ledger of %s", origin, w.origin)
	}
}

// compareKnown judges the checkpoints the auditor brought along, at their size or, with last, at the end of the epoch.
func (w *walker) compareKnown(last bool) {
	for len(w.known) > 0 && w.known[0].Origin.Epoch <= w.epoch {
		c := w.known[0]
		switch {
		case c.Origin.Epoch < w.epoch || last && c.Size > w.seq:
			w.wrong(w.epoch, 0, "anchor", "a known checkpoint of %s covers %d entries, the ledger has %d: it was rolled back", c.Origin, c.Size, w.seq)
		case c.Size > w.seq:
			return
		case c.Origin != w.origin:
			w.wrong(w.epoch, 0, "anchor", "the known checkpoint is of %s, the ledger of %s", c.Origin, w.origin)
		case c.Root != w.tree.root():
			w.wrong(w.epoch, 0, "anchor", "the known checkpoint of the first %d entries is of another history", c.Size)
		}
		w.known = w.known[1:]
	}
}

// grow adds a leaf to the tree and compares the nodes it completes with the stored ones.
func (w *walker) grow(leaf [32]byte) error {
	for _, want := range w.tree.add(leaf) {
		if w.lostNodes || w.nextNode == nil {
			continue
		}
		got, err, ok := w.nextNode()
		if err != nil {
			return err
		}
		if !ok || got != want {
			w.lostNodes = true
			w.wrong(w.epoch, w.seq, "tree", "completes a node of the tree that is not the stored one")
		}
	}
	return nil
}
