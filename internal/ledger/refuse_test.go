// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"bytes"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// execute runs SQL on a file as another program would.
func execute(t testing.TB, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite3", reader.DSN(path, "mode=rwc"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // test
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func patch(t *testing.T, path string, offset int64, b ...byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // test
	if _, err := f.WriteAt(b, offset); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesWhatIsNoLedgerOfOurs(t *testing.T) {
	for _, bad := range []struct {
		name  string
		spoil func(t *testing.T, c *ledger.Config)
		what  string
	}{
		{"empty file", func(t *testing.T, c *ledger.Config) { truncate(t, c.Path, 0) }, "is an empty file"},
		{"cut file", func(t *testing.T, c *ledger.Config) { truncate(t, c.Path, 50) }, "is not an SQLite database"},
		{"half a file", func(t *testing.T, c *ledger.Config) { truncate(t, c.Path, 20000) }, "damaged"},
		{"other content", func(t *testing.T, c *ledger.Config) { patch(t, c.Path, 0, []byte("PK")...) }, "is not an SQLite database"},
		{"other program", func(t *testing.T, c *ledger.Config) {
			c.Path = filepath.Join(t.TempDir(), "other.db")
			execute(t, c.Path, `PRAGMA journal_mode=wal`, `CREATE TABLE entry (x)`)
		}, "of another program"},
		{"newer", func(t *testing.T, c *ledger.Config) { execute(t, c.Path, `PRAGMA user_version = 2`) }, "this program knows version 1"},
		{"no version", func(t *testing.T, c *ledger.Config) { execute(t, c.Path, `PRAGMA user_version = 0`) }, "which no released program wrote"},
		{"rollback journal", func(t *testing.T, c *ledger.Config) { execute(t, c.Path, `PRAGMA journal_mode = delete`) }, "no longer in WAL mode"},
		{"trigger dropped", func(t *testing.T, c *ledger.Config) { execute(t, c.Path, `DROP TRIGGER entry_update`) }, "trigger entry_update is missing"},
		{"trigger weakened", func(t *testing.T, c *ledger.Config) {
			execute(t, c.Path, `DROP TRIGGER blob_delete`, `CREATE TRIGGER blob_delete BEFORE DELETE ON blob BEGIN SELECT 1; END`)
		}, "trigger blob_delete was changed"},
		{"index dropped", func(t *testing.T, c *ledger.Config) { execute(t, c.Path, `DROP INDEX entry_serial`) }, "index entry_serial is missing"},
		{"table added", func(t *testing.T, c *ledger.Config) { execute(t, c.Path, `CREATE TABLE more (x)`) }, "table more was added"},
		{"damaged page", func(t *testing.T, c *ledger.Config) {
			for page := range int64(20) {
				patch(t, c.Path, 4096*(page+8), bytes.Repeat([]byte{0xa5}, 4096)...)
			}
		}, "damaged"},
		{"other origin", func(_ *testing.T, c *ledger.Config) { c.Origin = "ulm/st-08/1" }, "is the ledger of ulm/st-07/1, not of ulm/st-08/1"},
		{"other epoch", func(_ *testing.T, c *ledger.Config) { c.Origin = "ulm/st-07/2" }, "is the ledger of ulm/st-07/1, not of ulm/st-07/2"},
		{"other key", func(t *testing.T, c *ledger.Config) { c.Signer = newKey(t) }, "was not signed by this station's checkpoint key"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			c := create(t)
			l := open(t, c)
			appendTo(t, l, bodies(stop("one"), stop("two"), stop("three")))
			if err := errors.Join(l.Cover(t.Context(), 3), l.Close()); err != nil {
				t.Fatal(err)
			}
			bad.spoil(t, &c)
			before := files(t, c.Path)
			l, err := ledger.Open(t.Context(), c)
			var format *reader.FormatError
			if err == nil || !errors.As(err, &format) || !strings.Contains(err.Error(), bad.what) || !strings.Contains(err.Error(), "left as it is") {
				t.Errorf("opened as %v, %v; want %q", l, err, bad.what)
			}
			if after := files(t, c.Path); before != after {
				t.Error("the refused file was modified")
			}
		})
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

// files is the content of the database and its write-ahead log.
func files(t *testing.T, path string) string {
	t.Helper()
	var all []byte
	for _, name := range []string{path, path + "-wal"} {
		b, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		all = append(append(all, b...), 0xff)
	}
	return string(all)
}

// TestRefusalKeepsTheWriteAheadLog refuses a ledger whose newest entries are still in its write-ahead log.
func TestRefusalKeepsTheWriteAheadLog(t *testing.T) {
	c := create(t)
	l := open(t, c)
	appendTo(t, l, bodies(stop("one"), stop("two")))
	crashed := filepath.Join(t.TempDir(), "ledger.db") // as a crash leaves it
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(c.Path + suffix)
		if err != nil || len(b) == 0 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		if err := os.WriteFile(crashed+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := files(t, crashed)
	other := ledger.Config{Path: crashed, Origin: testOrigin, Signer: newKey(t)}
	if _, err := ledger.Open(t.Context(), other); err == nil {
		t.Fatal("opened with another key")
	}
	if files(t, crashed) != before {
		t.Error("the refused ledger was modified")
	}
	other.Signer = c.Signer
	if size, covered := open(t, other).Size(); size != 2 || covered != 2 {
		t.Errorf("size %d, covered %d", size, covered)
	}
}

func TestOpenNeverCreates(t *testing.T) {
	c := ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Origin: testOrigin, Signer: newKey(t)}
	if _, err := ledger.Open(t.Context(), c); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "restore a backup") {
		t.Errorf("missing ledger: %v", err)
	}
	if _, err := os.Lstat(c.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
	for name, bad := range map[string]ledger.Config{
		"no signer":  {Path: c.Path, Origin: testOrigin},
		"no origin":  {Path: c.Path, Signer: c.Signer},
		"bad origin": {Path: c.Path, Origin: "st-07", Signer: c.Signer},
	} {
		if err := ledger.Create(t.Context(), bad); err == nil {
			t.Errorf("%s: created", name)
		}
		if _, err := ledger.Open(t.Context(), bad); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	c := create(t)
	before := files(t, c.Path)
	if err := ledger.Create(t.Context(), c); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	if files(t, c.Path) != before {
		t.Error("the ledger was modified")
	}
	orphaned := c
	orphaned.Path = filepath.Join(t.TempDir(), "gone.db")
	if err := os.WriteFile(orphaned.Path+"-wal", []byte("of a ledger that was deleted"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ledger.Create(t.Context(), orphaned); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "gone.db-wal") {
		t.Errorf("beside the log of another: %v", err)
	}
	dangling := c
	dangling.Path = filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink("nowhere", dangling.Path); err != nil {
		t.Fatal(err)
	}
	if err := ledger.Create(t.Context(), dangling); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a link: %v", err)
	}
	names, err := os.ReadDir(filepath.Dir(c.Path))
	if err != nil || len(names) != 1 {
		t.Errorf("left beside the ledger: %v, %v", names, err)
	}
	if info, err := os.Stat(c.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestTriggers tries to change what is on record, as a program would that opens the file.
func TestTriggers(t *testing.T) {
	c := create(t)
	l := open(t, c)
	appendTo(t, l, ledger.Batch{Bodies: []record.Body{stop("one"), stop("two")}, Blobs: [][]byte{[]byte("blob")}})
	if err := l.Cover(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", reader.DSN(c.Path, "mode=rw"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // test
	const epoch1 = "1099511627776"
	for _, s := range []string{
		`UPDATE entry SET body = '{}'`,
		`UPDATE OR REPLACE entry SET id = id + 1`,
		`DELETE FROM entry`,
		`INSERT OR REPLACE INTO entry (id, body, leaf) VALUES (` + epoch1 + ` + 1, '{}', zeroblob(32))`,
		`INSERT INTO entry (id, body, leaf) VALUES (` + epoch1 + ` + 4, '{}', zeroblob(32))`,
		`INSERT INTO entry (id, body, leaf) VALUES (` + epoch1 + ` * 3 + 1, '{}', zeroblob(32))`,
		`INSERT INTO entry (body, leaf) VALUES ('{}', zeroblob(32))`,
		`INSERT INTO entry (id, body, leaf) VALUES (` + epoch1 + ` + 3, 'no JSON', zeroblob(32))`,
		`INSERT INTO entry (id, body, leaf) VALUES (` + epoch1 + ` + 3, '{}', zeroblob(31))`,
		`INSERT INTO entry (id, body, leaf) VALUES (` + epoch1 + ` + 3, '{}', 'text of thirty-two characters...')`,
		`UPDATE blob SET bytes = x'00'`, `DELETE FROM blob`, `REPLACE INTO blob SELECT sha256, x'00' FROM blob`,
		`UPDATE node SET hash = zeroblob(32)`, `DELETE FROM node`, `REPLACE INTO node SELECT epoch, id, zeroblob(32) FROM node`,
		`UPDATE checkpoint SET note = ''`, `DELETE FROM checkpoint`, `REPLACE INTO checkpoint SELECT epoch, size, '' FROM checkpoint`,
		`INSERT INTO checkpoint VALUES (1, 1, '')`,
	} {
		if _, err := db.Exec(s); err == nil {
			t.Errorf("done: %s", s)
		}
	}
	content(t, l, []string{"one", "two"})
	if _, err := db.Exec(`INSERT INTO entry (id, body, leaf) VALUES (` + epoch1 + ` * 2 + 1, '{}', zeroblob(32))`); err != nil {
		t.Errorf("the first entry of the next epoch: %v", err)
	}
}
