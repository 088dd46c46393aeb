// SPDX-License-Identifier: Apache-2.0

package lot

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// store writes to a ledger's file as the station does, with all triggers and
// indexes, but for durability: a lot that was cut off is thrown away.
type store struct {
	db     *sql.DB
	origin record.Origin
}

// rows is what is written in one transaction.
type rows struct {
	entries []entryRow
	nodes   []record.StoredNode
	blobs   []record.StoredBlob
	points  []record.StoredCheckpoint
	claims  []record.HeldClaim
	last    int64 // number of the last entry
}

type entryRow struct {
	seq  int64
	raw  []byte
	leaf [32]byte
}

// fast are the settings for writing in bulk. The indexes lie in the cache, or each entry would cost a dozen reads; in KiB.
var fast = []string{"journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "cache_size=-3000000", "recursive_triggers=ON", "foreign_keys=ON"}

func openStore(ctx context.Context, path string, origin record.Origin) (*store, error) {
	db, err := sql.Open("sqlite3", reader.DSN(path, "mode=rw&_txlock=immediate&_stmt_cache_size=32"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	s := &store{db, origin}
	for _, pragma := range append([]string{"wal_checkpoint(TRUNCATE)"}, fast...) {
		if _, err := db.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			return nil, errors.Join(err, s.abandon())
		}
	}
	return s, nil
}

// tree reads the right edge of the tree that is there.
func (s *store) tree(ctx context.Context) (t tree, err error) {
	got, err := s.db.QueryContext(ctx, `SELECT leaf FROM entry WHERE epoch = ? ORDER BY id`, s.origin.Epoch)
	if err != nil {
		return t, err
	}
	defer got.Close()
	for got.Next() {
		var leaf []byte
		if err := got.Scan(&leaf); err != nil {
			return t, err
		}
		if len(leaf) != len(tlog.Hash{}) {
			return t, fmt.Errorf("a leaf of %d bytes", len(leaf))
		}
		t.add([32]byte(leaf))
	}
	return t, got.Err()
}

func (s *store) write(ctx context.Context, r *rows) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	epoch := s.origin.Epoch
	err = errors.Join(
		insert(ctx, tx, `INSERT INTO entry (id, body, leaf) VALUES (?, ?, ?)`, r.entries, func(e *entryRow) []any {
			return []any{reader.ID(epoch, e.seq), string(e.raw), e.leaf[:]}
		}),
		insert(ctx, tx, `INSERT INTO node (epoch, id, hash) VALUES (?, ?, ?)`, r.nodes, func(n *record.StoredNode) []any {
			return []any{epoch, n.ID, n.Hash[:]}
		}),
		insert(ctx, tx, `INSERT INTO blob (sha256, bytes) VALUES (?, ?)`, r.blobs, func(b *record.StoredBlob) []any {
			return []any{b.Digest[:], b.Bytes}
		}),
		insert(ctx, tx, `INSERT INTO checkpoint (epoch, size, note) VALUES (?, ?, ?)`, r.points, func(c *record.StoredCheckpoint) []any {
			return []any{epoch, c.Size, string(c.Note)}
		}),
		insert(ctx, tx, `INSERT INTO claim (kind, value, epoch, seq) VALUES (?, ?, ?, ?)`, r.claims, func(c *record.HeldClaim) []any {
			return []any{c.Kind, c.Value, c.Epoch, c.Seq}
		}),
	)
	if err != nil {
		return err
	}
	return tx.Commit()
}

func insert[T any](ctx context.Context, tx *sql.Tx, query string, rows []T, values func(*T) []any) error {
	statement, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer statement.Close()
	for i := range rows {
		if _, err := statement.ExecContext(ctx, values(&rows[i])...); err != nil {
			return err
		}
	}
	return nil
}

// Close gives the file the settings back that a ledger has.
func (s *store) Close() error {
	var mode string
	err := s.db.QueryRow(`PRAGMA locking_mode=NORMAL`).Scan(&mode)
	if err == nil {
		err = s.db.QueryRow(`PRAGMA journal_mode=WAL`).Scan(&mode)
	}
	if err == nil && mode != "wal" {
		err = fmt.Errorf("journal_mode is %s, not wal", mode)
	}
	return errors.Join(err, s.db.Close())
}

func (s *store) abandon() error { return s.db.Close() }

// tree is the right edge of a Merkle tree (RFC 6962, 2.1).
type tree struct {
	size int64
	edge []tlog.Hash // roots of the full subtrees, largest first
}

// add adds a leaf and returns the nodes above level 0 that it completes.
func (t *tree) add(leaf [32]byte) (nodes []record.StoredNode) {
	hash := tlog.Hash(leaf)
	first := tlog.StoredHashIndex(0, t.size)
	for level, rest := int64(1), t.size; rest&1 == 1; level, rest = level+1, rest>>1 {
		last := len(t.edge) - 1
		hash = tlog.NodeHash(t.edge[last], hash)
		t.edge = t.edge[:last]
		nodes = append(nodes, record.StoredNode{ID: first + level, Hash: hash})
	}
	t.edge = append(t.edge, hash)
	t.size++
	return nodes
}

// root is the hash of a tree that is not empty.
func (t *tree) root() tlog.Hash {
	root := t.edge[len(t.edge)-1]
	for i := len(t.edge) - 2; i >= 0; i-- {
		root = tlog.NodeHash(t.edge[i], root)
	}
	return root
}
