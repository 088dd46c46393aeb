// SPDX-License-Identifier: Apache-2.0

// Package plant brings the ledgers of many stations together in PostgreSQL.
//
// It takes bundles, in any order and any number of times. A bundle is judged
// by the plant's own root before anything of it is in the plant's tables; its entries
// must contain everything of the same log that is there already, and every
// checkpoint signed before. What fails is in quarantine: recorded with the
// reason and, for a fork, with both checkpoints; nothing else of it is kept.
//
// The database is an index and a witness. The evidence stays with the bundles:
// each entry keeps its bytes, its leaf hash and its log's signed checkpoints,
// so that all of it can be judged again.
package plant

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Plant is a connection to the plant's database. It is used by one goroutine.
type Plant struct {
	conn *pgx.Conn
}

// Key of the advisory lock under which a plant is written: one import at a time, whoever runs it.
const lock = 0x706c616e74 // "plant"

var passwordKeyword = regexp.MustCompile(`(?i)(^|[\s?&])(ssl)?password\s*=`)

// ErrPassword says that a connection string holds a secret, which anybody on the machine can read from the command line.
var ErrPassword = errors.New("the connection string holds a password, which everybody on this machine can read")

// Open connects to the database and brings its tables to this program's version. The connection string is a URL or
// keywords as libpq takes them; what it does not say comes from PGHOST, PGUSER, PGPASSWORD, PGPASSFILE, PGSERVICEFILE and so on.
func Open(ctx context.Context, database string) (*Plant, error) {
	if u, err := url.Parse(database); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			return nil, ErrPassword
		}
	}
	if passwordKeyword.MatchString(database) {
		return nil, ErrPassword
	}
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return nil, fmt.Errorf("plant: %w", err)
	}
	p := &Plant{conn}
	if err := p.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("plant: %w", err), p.Close())
	}
	return p, nil
}

// Close ends the connection.
func (p *Plant) Close() error { return p.conn.Close(context.Background()) }

//go:embed schema/*.sql
var schemas embed.FS

// migrate applies the numbered files that the database does not have yet. A database of a newer program is left alone.
func (p *Plant) migrate(ctx context.Context) error {
	files, err := fs.Glob(schemas, "schema/*.sql") // sorted: 0001 first
	if err != nil {
		return err
	}
	return p.write(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS plant_version (version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())`); err != nil {
			return err
		}
		var version int
		if err := tx.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM plant_version`).Scan(&version); err != nil {
			return err
		}
		if version > len(files) {
			return fmt.Errorf("the database is of version %d, this program knows %d: use the newer program", version, len(files))
		}
		for ; version < len(files); version++ {
			text, err := fs.ReadFile(schemas, files[version])
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, string(text)); err != nil {
				return fmt.Errorf("%s: %w", strings.TrimPrefix(files[version], "schema/"), err)
			}
			if _, err := tx.Exec(ctx, `INSERT INTO plant_version (version) VALUES ($1)`, version+1); err != nil {
				return err
			}
		}
		return nil
	})
}

// write runs f in a transaction that no other import runs beside.
func (p *Plant) write(ctx context.Context, f func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, p.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(lock)); err != nil {
			return err
		}
		return f(tx)
	})
}
