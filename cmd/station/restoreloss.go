// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"

	"golang.org/x/mod/sumdb/tlog"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/bundle"
)

// loss is what a restore would lose, as far as anything that is at hand knows
// of it.
type loss struct {
	Epoch        int      `json:"epoch"`
	Entries      int64    `json:"entries"`      // that the copy has
	Counter      uint64   `json:"counter"`      // of the TPM; 0: it is not there
	Sealed       uint64   `json:"sealed"`       // by the copy's last seal
	Lost         int64    `json:"lost"`         // entries that are known, and not in the copy: at least so many
	Units        int64    `json:"units"`        // of these, ends of runs
	Certificates []gone   `json:"certificates"` // that these name
	Unclear      []string `json:"unclear"`      // what could not be read
	Later        later    `json:"-"`            // the newest checkpoint that is lost
	Known        int64    `json:"known"`        // lost entries that a witness could show
	Held         int64    `json:"held"`         // serials, boards, keys and list numbers that only these had
	seals        string   // what the counter says is wrong, or ""
	listed       map[string]bool
	held         []held
	taken        map[record.Claim]bool // by the copy's units, or held above
}

// gone is one certificate that a lost entry names.
type gone struct {
	Epoch  int    `json:"epoch"`
	Seq    int64  `json:"seq"`
	Kind   string `json:"kind"`
	Time   string `json:"time"`
	Serial string `json:"serial"`
	UID    string `json:"uid"`
	Cert   string `json:"cert_sha256"`
	Number string `json:"cert_serial"`
}

type later struct {
	origin string
	size   int64
	digest string
}

func (l *loss) any() bool { return l.seals != "" || l.Lost > 0 || len(l.Unclear) > 0 }

// show tells a person, or with asJSON a program.
func (l *loss) show(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(struct {
			Event string `json:"event"` // loss
			*loss
		}{"loss", l})
	}
	fmt.Fprintf(w, "the copy verifies: epoch %d with %d entries\n", l.Epoch, l.Entries)
	switch {
	case l.seals != "":
		fmt.Fprintf(w, "against the TPM's counter: %s\n", l.seals)
	default:
		fmt.Fprintf(w, "against the TPM's counter (%d): no seal is missing; what came after the last seal, nobody here knows\n", l.Counter)
	}
	for _, u := range l.Unclear {
		fmt.Fprintf(w, "not clear: %s\n", u)
	}
	if l.Lost == 0 {
		_, err := fmt.Fprintln(w, "no entry is known that the copy does not have")
		return err
	}
	fmt.Fprintf(w, "at least %d entries are lost: %d ends of runs, %d certificates\n", l.Lost, l.Units, len(l.Certificates))
	for _, c := range l.Certificates[:min(len(l.Certificates), 20)] {
		fmt.Fprintf(w, "  %s: certificate %s of unit %s (%s)\n", c.Time, c.Number, c.Serial, c.UID)
	}
	if more := len(l.Certificates) - 20; more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
	if l.Held > 0 {
		fmt.Fprintf(w, "%d serials, boards, keys and revocation list numbers of lost entries stay taken\n", l.Held)
	}
	if unknown := l.Lost - l.Known; unknown > 0 {
		fmt.Fprintf(w, "what %d of the lost entries took, nobody here knows: it could be given out again; name bundles and copies that have them with --known\n", unknown)
	}
	return nil
}

// list is the certificates, one a line.
func (l *loss) list() []byte {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	for _, c := range l.Certificates {
		_ = e.Encode(c) // into memory
	}
	return text.Bytes()
}

// config is what is kept of it until it is on record.
func (l *loss) config(file, digest, aside string) *restoreConfig {
	detail := fmt.Sprintf("at least %d entries lost, %d ends of runs, %d certificates; counter %d, last seal of the copy %d",
		l.Lost, l.Units, len(l.Certificates), l.Counter, l.Sealed)
	return &restoreConfig{
		File: record.Plain(file, 256), Digest: digest, Aside: aside, Detail: detail, NV: int64(l.Counter),
		Origin: l.Later.origin, Size: l.Later.size, Checkpoint: l.Later.digest, Lost: int64(len(l.Certificates)), Held: int64(len(l.held)),
	}
}

// estimate compares the copy with all that is at hand.
func (x *restoring) estimate(ctx context.Context, counter ledger.Counter, key *record.Verifier, known []string) (*loss, error) {
	h := x.b.home
	r, err := reader.Open(ctx, x.taken())
	if err != nil {
		return nil, unfit(err, "bring another copy")
	}
	defer r.Close()
	l := &loss{listed: map[string]bool{}}
	if l.Epoch, l.Entries, err = r.Last(ctx); err != nil {
		return nil, unfit(err, "bring another copy")
	}
	if l.Epoch != h.cfg.Epoch {
		return nil, unfit(fmt.Errorf("the copy ends in epoch %d, the station is in epoch %d", l.Epoch, h.cfg.Epoch), "nothing was changed; bring a copy of this epoch")
	}
	if err := l.count(ctx, r, counter); err != nil {
		return nil, err
	}
	if err := l.spare(ctx, r); err != nil {
		return nil, unfit(err, "bring another copy")
	}
	if x.file != h.ledgerPath() {
		if err := l.present(ctx, h, r, key); err != nil {
			return nil, err
		}
	}
	for _, name := range known {
		if err := l.known(ctx, r, key, name); err != nil {
			return nil, err
		}
	}
	for _, h := range l.held {
		l.Held += max(1, int64(len(h.Claims)))
	}
	return l, nil
}

// count holds the copy's last seal against the TPM's counter.
func (l *loss) count(ctx context.Context, r *reader.Reader, counter ledger.Counter) error {
	if last, found, err := r.LastSeal(ctx, l.Epoch); err == nil && found {
		l.Sealed = uint64(last.Body.NV)
	}
	if counter != nil {
		var err error
		if l.Counter, err = counter.Read(ctx); err != nil {
			return unfit(err, "see: station doctor")
		}
	}
	err := ledger.CheckSeals(ctx, r, l.Epoch, counter)
	var wrong *ledger.SealError
	switch {
	case errors.As(err, &wrong), errors.Is(err, ledger.ErrNotSealed):
		l.seals = err.Error()
	case errors.Is(err, ledger.ErrNoCounter):
		l.seals = "it is not in the TPM any more: how many seals are missing, nobody can tell"
	case err != nil:
		return unfit(err, "see: station doctor")
	}
	return nil
}

// present compares with the ledger that is there, as far as it can be read.
func (l *loss) present(ctx context.Context, h *home, r *reader.Reader, key *record.Verifier) error {
	p, err := reader.Open(ctx, h.ledgerPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		defer p.Close()
		err = l.beyond(ctx, r, p, key)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		l.Unclear = append(l.Unclear, fmt.Sprintf("what the present ledger holds: %v", err))
	}
	return nil
}

// witness is what tells of entries: a ledger or a bundle.
type witness interface {
	Raw(ctx context.Context, epoch int, seq int64) iter.Seq2[record.Entry, error]
	Checkpoints(ctx context.Context) iter.Seq2[record.StoredCheckpoint, error]
}

// beyond counts what a witness has and the copy has not: all from the first
// entry on in which they differ.
func (l *loss) beyond(ctx context.Context, r *reader.Reader, w witness, key *record.Verifier) error {
	next, stop := iter.Pull2(r.Raw(ctx, 0, 0))
	defer stop()
	same := true
	lost := int64(0)
	var holds holdings
	defer func() { l.Lost, l.Known = max(l.Lost, lost), max(l.Known, lost) }()
	for e, err := range w.Raw(ctx, 0, 0) {
		if err != nil {
			return err
		}
		if same {
			mine, err, more := next()
			if err != nil {
				return err
			}
			if same = more && mine.Leaf == record.Leaf(e.Raw) && mine.Epoch == e.Epoch; same {
				holds.follow(e, false)
				continue
			}
		}
		lost++
		holds.follow(e, true)
		l.tell(e)
	}
	l.keep(&holds)
	for c, err := range w.Checkpoints(ctx) {
		if err != nil {
			return err
		}
		l.remember(c.Note, key)
	}
	return nil
}

// related is beyond for a witness that somebody brought: it begins as the copy
// does, or nothing in it was ever in this ledger.
func (l *loss) related(ctx context.Context, r *reader.Reader, w witness, key *record.Verifier) error {
	mine, err := firstLeaf(ctx, r)
	if err != nil {
		return err
	}
	theirs, err := firstLeaf(ctx, w)
	if err != nil {
		return err
	}
	if mine != theirs {
		return errors.New("it is of another ledger")
	}
	return l.beyond(ctx, r, w, key)
}

// firstLeaf is the hash of the first entry of a ledger; of one without entries
// it is zero.
func firstLeaf(ctx context.Context, w witness) (leaf [32]byte, err error) {
	for e, err := range w.Raw(ctx, 0, 0) {
		return record.Leaf(e.Raw), err
	}
	return leaf, nil
}

// tell keeps what a lost entry says of units.
func (l *loss) tell(e record.Entry) {
	b, err := record.Decode(e.Raw)
	id := fmt.Sprint(e.Epoch, e.Seq, e.Leaf)
	if err != nil || l.listed[id] {
		return
	}
	switch b.Kind {
	case record.KindEnd:
		l.Units++
	case record.KindCRL:
		l.number(b)
	case record.KindIssued, record.KindRenewed:
		l.Certificates = append(l.Certificates, gone{e.Epoch, e.Seq, b.Kind, b.Time, b.Serial, b.UID, b.Cert, b.CertSerial})
	default:
		return
	}
	l.listed[id] = true
}

// remember keeps the newest checkpoint that covers more than the copy has, and
// that this station's key signed.
func (l *loss) remember(note []byte, key *record.Verifier) {
	if c, err := key.Open(note); err == nil && c.Size > l.Entries && c.Size > l.Later.size {
		l.Later = later{c.Origin.String(), c.Size, digestOf(note)}
	}
}

// known takes in one file that tells of entries.
func (l *loss) known(ctx context.Context, r *reader.Reader, key *record.Verifier, name string) error {
	head := make([]byte, 16)
	f, err := os.Open(name)
	if err == nil {
		_, err = io.ReadFull(f, head)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return usage(err, "name a readable proof, bundle or copy with --known")
	}
	switch {
	case bytes.HasPrefix(head, []byte("PK")):
		b, openErr := bundle.Open(ctx, name)
		if err = openErr; err == nil {
			err = errors.Join(l.related(ctx, r, b, key), b.Close())
		}
	case bytes.HasPrefix(head, []byte("SQLite format 3")):
		p, openErr := reader.Open(ctx, name)
		if err = openErr; err == nil {
			err = errors.Join(l.related(ctx, r, p, key), p.Close())
		}
	default:
		err = l.proof(ctx, r, key, name)
	}
	if err != nil {
		return usage(fmt.Errorf("--known %s: %w", name, err), "nothing was changed; allowed are proofs (.tlog-proof), bundles and copies of this station's ledger")
	}
	return nil
}

// proof compares with what a board or label was given: that so many entries were
// there, and what they were.
func (l *loss) proof(ctx context.Context, r *reader.Reader, key *record.Verifier, name string) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	p, err := record.ParseProof(raw)
	if err != nil {
		return err
	}
	c, err := record.ReadCheckpoint(p.Checkpoint)
	if err == nil && c.Origin == key.Origin() {
		_, err = key.Open(p.Checkpoint)
	}
	switch {
	case err != nil:
		return err
	case c.Origin.Station != key.Origin().Station || c.Origin.Epoch > l.Epoch:
		return fmt.Errorf("it is of %s", c.Origin)
	}
	size, err := r.Size(ctx, c.Origin.Epoch)
	switch {
	case err != nil:
		return err
	case c.Size > size:
		l.Lost = max(l.Lost, c.Size-size)
		l.remember(p.Checkpoint, key)
		return nil
	}
	root, err := r.Root(ctx, c.Origin.Epoch, c.Size)
	if err == nil && root != tlog.Hash(c.Root) {
		err = fmt.Errorf("the copy is of another history than its %d entries", c.Size)
	}
	return err
}
