// SPDX-License-Identifier: Apache-2.0

package plant

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/bundle"
)

// ErrChanged says that the plant's own records are not what it imported: the
// database was changed by other means. Nothing is imported into it.
var ErrChanged = errors.New("the plant's database is not what was imported into it")

// merge takes one judged bundle into the plant, within one transaction.
type merge struct {
	ctx    context.Context
	tx     pgx.Tx
	bundle *bundle.Bundle
	result *Result

	next  func() (record.Entry, error, bool) // of the bundle, all epochs
	ahead *record.Entry                      // read and not used yet

	refused atomic.Bool // by the judge
	logs    []mergedLog
}

// mergedLog is one log of the bundle that was held against the plant.
type mergedLog struct {
	origin string
	at     bundle.Epoch
	proven int64
}

const staging = `
CREATE TEMP TABLE staging (origin text, seq bigint, body text, leaf bytea) ON COMMIT DROP;
CREATE TEMP TABLE staging_checkpoint (origin text, size bigint, note text) ON COMMIT DROP;
CREATE TEMP TABLE staging_digest (sha256 bytea) ON COMMIT DROP;
CREATE TEMP TABLE staging_blob (sha256 bytea, bytes bytea) ON COMMIT DROP;`

// judged stages the bundle while it is being judged, and merges it if the verdict is good: nothing but what is staged is written
// before that, and all of it in a transaction that ends with a bad one.
func (m *merge) judged(judge func() error) error {
	verdict := make(chan error, 1)
	go func() {
		err := judge()
		m.refused.Store(err != nil)
		verdict <- err
	}()
	err := m.stage()
	// What is wrong with the bundle itself counts before what it contradicts.
	if bad := <-verdict; bad != nil {
		return bad
	}
	if err != nil {
		return err
	}
	return m.insert()
}

// errRefused ends the staging of a bundle that is not valid.
var errRefused = errors.New("the bundle was refused meanwhile")

// going is an error as soon as the bundle was refused.
func (m *merge) going() error {
	if m.refused.Load() {
		return errRefused
	}
	return nil
}

// stage compares the bundle with what is there of its logs, and copies what is new beside the plant's tables. The logs are named as
// the manifest has it; that they are so, the judge finds out.
func (m *merge) stage() error {
	if _, err := m.tx.Exec(m.ctx, staging); err != nil {
		return err
	}
	next, stop := pull(m.bundle.Raw(m.ctx, 0, 0))
	defer stop()
	m.next = next
	for _, at := range m.bundle.Manifest.Epochs {
		origin := record.Origin{Station: m.bundle.Manifest.Station, Epoch: at.Epoch}
		if err := m.epoch(at, origin.String()); err != nil {
			return err
		}
	}
	return m.stageBlobs()
}

// epoch holds one log of the bundle against what is there of it, and stages
// what is new.
func (m *merge) epoch(at bundle.Epoch, origin string) error {
	l := &merging{merge: m, at: at, origin: origin}
	err := m.tx.QueryRow(m.ctx, `SELECT size, proven FROM log WHERE origin = $1`, origin).Scan(&l.size, &l.proven)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if err := l.loadChecks(); err != nil {
		return err
	}
	if err := l.compare(); err != nil {
		return err
	}
	if err := l.add(); err != nil {
		return err
	}
	if err := l.last(); err != nil {
		return err
	}
	if err := l.checkpoints(); err != nil {
		return err
	}
	m.logs = append(m.logs, mergedLog{origin, at, l.proven})
	return nil
}

// entry is the bundle's next entry of an epoch, nil after its last.
func (m *merge) entry(epoch int) (*record.Entry, error) {
	if m.ahead == nil {
		e, err, more := m.next()
		if err != nil || !more {
			return nil, err
		}
		m.ahead = &e
	}
	if m.ahead.Epoch != epoch {
		return nil, nil
	}
	e := m.ahead
	m.ahead = nil
	return e, nil
}

// insert moves what is staged into the plant. Under the lock, and with what is
// there compared, nothing can be in its way but rows that no import wrote.
func (m *merge) insert() error {
	tag, err := m.tx.Exec(m.ctx, `INSERT INTO entry (origin, seq, body, leaf) SELECT origin, seq, body, leaf FROM staging ON CONFLICT DO NOTHING`)
	if err != nil {
		return err
	}
	if tag.RowsAffected() != m.result.Added {
		return fmt.Errorf("%w: %d of %d entries after the last import are there already", ErrChanged, m.result.Added-tag.RowsAffected(), m.result.Added)
	}
	if tag, err = m.tx.Exec(m.ctx, `INSERT INTO checkpoint (origin, size, note) SELECT origin, size, note FROM staging_checkpoint ON CONFLICT DO NOTHING`); err != nil {
		return err
	}
	m.result.Points = tag.RowsAffected()
	if tag, err = m.tx.Exec(m.ctx, `INSERT INTO blob (sha256, bytes) SELECT sha256, bytes FROM staging_blob ON CONFLICT DO NOTHING`); err != nil {
		return err
	}
	m.result.Blobs = tag.RowsAffected()
	return m.sign()
}

// sign says of the logs and the bundle that they were imported.
func (m *merge) sign() error {
	b := m.bundle.Manifest
	for _, l := range m.logs {
		if _, err := m.tx.Exec(m.ctx, `INSERT INTO log (origin, station, epoch, size, proven) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (origin) DO UPDATE SET size = greatest(log.size, excluded.size), proven = greatest(log.proven, excluded.proven)`,
			l.origin, b.Station, l.at.Epoch, l.at.Entries, l.proven); err != nil {
			return err
		}
	}
	sum, err := hex.DecodeString(m.result.Digest)
	if err != nil {
		return err
	}
	tag, err := m.tx.Exec(m.ctx, `INSERT INTO bundle (sha256, file, station, created, entries, added, imported)
		VALUES ($1, $2, $3, $4, $5, $6, now()) ON CONFLICT DO NOTHING`, sum, m.result.File, b.Station, b.Created, b.Entries(), m.result.Added)
	m.result.Known = err == nil && tag.RowsAffected() == 0
	return err
}

// stageBlobs copies what the plant does not have yet: a bundle brings all there ever were.
func (m *merge) stageBlobs() error {
	next, stop := pull(m.bundle.Digests(m.ctx))
	defer stop()
	_, err := m.tx.CopyFrom(m.ctx, pgx.Identifier{"staging_digest"}, []string{"sha256"}, pgx.CopyFromFunc(func() ([]any, error) {
		sum, err, more := next()
		if err != nil || !more {
			return nil, err
		}
		return []any{sum[:]}, nil
	}))
	if err != nil {
		return err
	}
	rows, err := m.tx.Query(m.ctx, `SELECT sha256 FROM staging_digest s WHERE NOT EXISTS (SELECT FROM blob b WHERE b.sha256 = s.sha256)`)
	if err != nil {
		return err
	}
	missing := map[[32]byte]bool{}
	var sum []byte
	if _, err := pgx.ForEachRow(rows, []any{&sum}, func() error { missing[[32]byte(sum)] = true; return nil }); err != nil {
		return err
	}
	if len(missing) == 0 {
		return nil
	}
	return m.copyBlobs(missing)
}

func (m *merge) copyBlobs(missing map[[32]byte]bool) error {
	next, stop := pull(m.bundle.Blobs(m.ctx))
	defer stop()
	_, err := m.tx.CopyFrom(m.ctx, pgx.Identifier{"staging_blob"}, []string{"sha256", "bytes"}, pgx.CopyFromFunc(func() ([]any, error) {
		for {
			b, err, more := next()
			if err == nil {
				err = m.going()
			}
			if err != nil || !more {
				return nil, err
			}
			if missing[b.Digest] {
				return []any{b.Digest[:], b.Bytes}, nil
			}
		}
	}))
	var damage *bundle.DamageError
	if errors.As(err, &damage) {
		return &refusal{reason: Invalid, detail: damage.Error()}
	}
	return err
}

// merging is one log on its way into the plant.
type merging struct {
	*merge
	at     bundle.Epoch
	origin string

	size, proven int64              // in the plant
	checks       map[int64]string   // the plant's signed checkpoints that are to be computed again
	tree         audit.Tree         // of the plant's entries, then the bundle's
	theirs       *record.Checkpoint // under which the bundle was made, if it is of this log
}

// loadChecks finds the checkpoints that what comes is held against: the newest within the plant's entries, and those
// beyond them.
func (l *merging) loadChecks() error {
	l.checks = map[int64]string{}
	rows, err := l.tx.Query(l.ctx, `SELECT size, note FROM checkpoint WHERE origin = $1 AND
		size >= coalesce((SELECT max(size) FROM checkpoint WHERE origin = $1 AND size <= $2), 0)`, l.origin, l.size)
	if err != nil {
		return err
	}
	var size int64
	var note string
	if _, err := pgx.ForEachRow(rows, []any{&size, &note}, func() error { l.checks[size] = note; return nil }); err != nil {
		return err
	}
	c, err := record.ReadCheckpoint(l.bundle.Proof.Checkpoint)
	if err != nil {
		return err
	}
	if c.Origin.String() == l.origin {
		l.theirs = &c
	}
	return nil
}

// compare holds the bundle's entries against those in the plant, leaf by leaf.
func (l *merging) compare() error {
	if l.size == 0 {
		return nil
	}
	rows, err := l.tx.Query(l.ctx, `SELECT seq, leaf FROM entry WHERE origin = $1 AND seq <= $2 ORDER BY seq`, l.origin, l.size)
	if err != nil {
		return err
	}
	var differs, seq int64
	var leaf []byte
	var beyond error // what the bundle's own checkpoint says of entries it does not bring
	if _, err = pgx.ForEachRow(rows, []any{&seq, &leaf}, func() error {
		if seq != l.tree.Size()+1 {
			return fmt.Errorf("%w: entry %d of %s is missing", ErrChanged, l.tree.Size()+1, l.origin)
		}
		l.tree.Add([32]byte(leaf))
		e, err := l.entry(l.at.Epoch)
		if err == nil && e != nil && differs == 0 && e.Leaf != [32]byte(leaf) {
			differs = seq
		}
		if t := l.theirs; t != nil && t.Size == seq && t.Root != l.tree.Root() {
			beyond = l.fork(seq, "the checkpoint it was made under is not of the history that was imported before")
		}
		return errors.Join(err, l.own(seq))
	}); err != nil {
		return err
	}
	switch {
	case l.tree.Size() != l.size:
		return fmt.Errorf("%w: entry %d of %s is missing", ErrChanged, l.tree.Size()+1, l.origin)
	case differs != 0:
		return l.fork(differs, fmt.Sprintf("entry %d is not the one that was imported before", differs))
	}
	return beyond
}

// own computes a checkpoint within the plant's own entries again.
func (l *merging) own(size int64) error {
	note, known := l.checks[size]
	if !known {
		return nil
	}
	c, err := record.ReadCheckpoint([]byte(note))
	if err == nil && c.Root == l.tree.Root() {
		return nil
	}
	return fmt.Errorf("%w: the first %d entries of %s are not those of its checkpoint (%v)", ErrChanged, size, l.origin, err)
}

// add stages the entries that the plant does not have.
func (l *merging) add() error {
	var broken error // the server is told of it in other words
	n, err := l.tx.CopyFrom(l.ctx, pgx.Identifier{"staging"}, []string{"origin", "seq", "body", "leaf"}, pgx.CopyFromFunc(func() ([]any, error) {
		e, err := l.entry(l.at.Epoch)
		if err == nil {
			err = l.going()
		}
		if err == nil && e != nil {
			l.tree.Add(e.Leaf)
			err = l.consistent(e.Seq)
		}
		if err != nil || e == nil {
			broken = err
			return nil, err
		}
		return []any{l.origin, e.Seq, string(e.Raw), e.Leaf[:]}, nil
	}))
	l.result.Added += n
	return errors.Join(broken, err)
}

// consistent computes again what the station has signed before of entries that only now arrive.
func (l *merging) consistent(size int64) error {
	note, known := l.checks[size]
	if !known {
		return nil
	}
	c, err := record.ReadCheckpoint([]byte(note))
	if err != nil {
		return fmt.Errorf("%w: checkpoint of %s: %w", ErrChanged, l.origin, err)
	}
	if c.Root != l.tree.Root() {
		return l.fork(size, fmt.Sprintf("its first %d entries are not those under the checkpoint seen before", size))
	}
	return nil
}

// last proves the entries after the bundle's last checkpoint, where it can be: the bundle was made under a checkpoint
// that covers them and its own export entry.
func (l *merging) last() error {
	t := l.theirs
	if t == nil || l.bundle.Proof.Index != l.at.Entries || t.Size != l.at.Entries+1 || l.tree.Size() != l.at.Entries {
		return nil
	}
	l.tree.Add(record.Leaf(l.bundle.Entry))
	if l.tree.Root() != t.Root {
		return &refusal{reason: Invalid, detail: fmt.Sprintf("it was made under a checkpoint of %s that is not of its entries", l.origin)}
	}
	if err := l.consistent(t.Size); err != nil {
		return err
	}
	l.proven = max(l.proven, t.Size)
	return nil
}

// checkpoints stages the bundle's, and the one it was made under.
func (l *merging) checkpoints() error {
	next, stop := pull(l.bundle.Checkpoints(l.ctx))
	defer stop()
	made := l.theirs
	_, err := l.tx.CopyFrom(l.ctx, pgx.Identifier{"staging_checkpoint"}, []string{"origin", "size", "note"}, pgx.CopyFromFunc(func() ([]any, error) {
		for {
			c, err, more := next()
			if err != nil {
				return nil, err
			}
			if more && c.Epoch != l.at.Epoch {
				continue
			}
			if more {
				l.proven = max(l.proven, c.Size)
				return []any{l.origin, c.Size, string(c.Note)}, nil
			}
			if made == nil {
				return nil, nil
			}
			size := made.Size
			made = nil
			return []any{l.origin, size, string(l.bundle.Proof.Checkpoint)}, nil
		}
	}))
	return err
}

// fork finds the two checkpoints that contradict each other over the entry.
func (l *merging) fork(seq int64, detail string) error {
	f := &Fork{Origin: l.origin, Seq: seq}
	var theirs int64
	for c, err := range l.bundle.Checkpoints(l.ctx) {
		if err != nil {
			return err
		}
		if c.Epoch == l.at.Epoch && c.Size >= seq {
			f.Theirs, theirs = string(c.Note), c.Size
			break
		}
	}
	if theirs == 0 && l.theirs != nil && l.theirs.Size >= seq {
		f.Theirs = string(l.bundle.Proof.Checkpoint)
	}
	return &refusal{reason: Forked, detail: fmt.Sprintf("%s: %s", l.origin, detail), fork: f}
}
