// SPDX-License-Identifier: Apache-2.0

package reader

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	// The SQLite driver; nothing outside ledger speaks SQL.
	_ "github.com/mattn/go-sqlite3"
)

// Schema is the SQL that makes an empty ledger.
//
//go:embed schema.sql
var Schema string

const (
	// SchemaVersion is the file format this program writes (user_version).
	SchemaVersion = 1
	applicationID = 0x53537447 // "SStG", as in schema.sql

	epochShift = 40 // id = epoch << 40 | seq
)

// ID is the key of an entry in the table entry.
func ID(epoch int, seq int64) int64 { return int64(epoch)<<epochShift | seq }

// Place is the inverse of ID.
func Place(id int64) (epoch int, seq int64) { return int(id >> epochShift), id & (1<<epochShift - 1) }

// A FormatError says that a file is not a ledger this program may touch. The file was not modified.
type FormatError struct {
	Path string
	What string // what the file is instead

	Newer bool // a newer program wrote it: nothing is wrong with the file
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("ledger %s: %s; the file was left as it is", e.Path, e.What)
}

// DSN is the data source name of the file with parameters of the driver and of SQLite. The file is never created.
func DSN(path string, params string) string {
	return (&url.URL{Scheme: "file", Opaque: strings.ReplaceAll(url.PathEscape(path), "%2F", "/"), RawQuery: params}).String()
}

const readParams = "mode=ro&_query_only=on&_busy_timeout=5000&_stmt_cache_size=32"

// checkHeader reads the first 100 bytes of the file without SQLite (SQLite file format, 1.3),
// so that a file of somebody else is recognised before anything could write to it.
func checkHeader(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ledger %s does not exist: make it with init, or restore a backup: %w", path, err)
	}
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	var h [100]byte
	n, err := io.ReadFull(f, h[:])
	not := func(format string, args ...any) error {
		return &FormatError{Path: path, What: fmt.Sprintf(format, args...)}
	}
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return not("is an empty file, not a ledger: restore the newest backup")
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("ledger %s: %w", path, err)
	case n < len(h) || !bytes.HasPrefix(h[:], []byte("SQLite format 3\x00")):
		return not("is not an SQLite database")
	}
	version := binary.BigEndian.Uint32(h[60:])
	switch {
	case binary.BigEndian.Uint32(h[68:]) != applicationID:
		return not("is an SQLite database of another program (application id %#x)", binary.BigEndian.Uint32(h[68:]))
	case version > SchemaVersion:
		what := fmt.Sprintf("has schema version %d, this program knows version %d", version, SchemaVersion)
		return &FormatError{Path: path, What: what, Newer: true}
	case version < SchemaVersion:
		return not("has schema version %d, which no released program wrote", version)
	case h[18] != 2 || h[19] != 2:
		return not("is no longer in WAL mode: another program changed it")
	}
	return nil
}

// checkSchema compares the schema in the file with the embedded one, object by object, and names what differs.
func checkSchema(ctx context.Context, path string, db *sql.DB) error {
	have, err := readSchema(ctx, db)
	if ctx.Err() != nil {
		return fmt.Errorf("ledger %s: %w", path, ctx.Err())
	}
	if err != nil {
		return &FormatError{Path: path, What: "is damaged: " + err.Error()}
	}
	want, err := embeddedSchema(ctx)
	if err != nil {
		return err
	}
	var differences []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch have[name] {
		case want[name]:
		case "":
			differences = append(differences, name+" is missing")
		default:
			differences = append(differences, name+" was changed")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if want[name] == "" {
			differences = append(differences, name+" was added")
		}
	}
	if len(differences) > 0 {
		return &FormatError{Path: path, What: "its schema was tampered with: " + strings.Join(differences, ", ")}
	}
	return nil
}

// readSchema maps "trigger entry_update" and the like to SQL.
func readSchema(ctx context.Context, db *sql.DB) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, `SELECT type || ' ' || name, coalesce(sql, 'automatic') FROM sqlite_schema`)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err is checked
	objects := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, err
		}
		objects[name] = text
	}
	return objects, rows.Err()
}

func embeddedSchema(ctx context.Context) (map[string]string, error) {
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		return nil, err
	}
	defer db.Close() //nolint:errcheck // in memory
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, Schema); err != nil {
		return nil, fmt.Errorf("ledger: embedded schema: %w", err)
	}
	return readSchema(ctx, db)
}

// SchemaDigest is the SHA-256 of the schema's text in hex; start entries carry it.
func SchemaDigest() string {
	sum := sha256.Sum256([]byte(Schema))
	return hex.EncodeToString(sum[:])
}
