// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

// past is a sealed ledger and its TPM, to be left in some state.
type past struct {
	t      *testing.T
	config ledger.Config
	chip   *chip
	dev    *tpm.TPM
	file   string // the TPM's state
	ref    tpm.CounterRef
}

// newPast is a ledger of two sessions: three entries, each covered, two seals besides the first.
func newPast(t *testing.T) *past {
	t.Helper()
	p := &past{t: t, file: filepath.Join(t.TempDir(), "sim")}
	dev, counter := openChip(t, p.file, nil)
	p.dev, p.ref, p.chip = dev, counter.Ref(), &chip{Counter: counter, Signer: newKey(t)}
	p.config = ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Origin: testOrigin, Signer: p.chip, Counter: p.chip, Seal: body("")}
	if err := ledger.Create(t.Context(), p.config); err != nil {
		t.Fatal(err)
	}
	session(t, p.config, "one", "two")
	session(t, p.config, "three")
	return p
}

// killed leaves the ledger as a station leaves it that is killed in do: with its write-ahead log, and nothing closed.
func (p *past) killed(do func(l *ledger.Ledger)) {
	p.t.Helper()
	l, err := ledger.Open(p.t.Context(), p.config)
	if err != nil {
		p.t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // of the copy that nobody looks at any more
	do(l)
	left := filepath.Join(p.t.TempDir(), "ledger.db")
	for _, suffix := range []string{"", "-wal"} {
		if err := os.WriteFile(left+suffix, readFile(p.t, p.config.Path+suffix), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	p.config.Path, p.chip.cut = left, ""
}

// cut leaves the ledger as a power cut at a point of a seal does, after more entries if there are any.
func (p *past) cut(point string, more ...string) {
	p.t.Helper()
	p.killed(func(l *ledger.Ledger) {
		p.chip.cut = point
		if err := l.Seal(p.t.Context(), "shift"); !errors.Is(err, errPower) {
			p.t.Fatal(err)
		}
		for _, detail := range more {
			appendTo(p.t, l, bodies(stop(detail)))
		}
	})
}

// forge changes the file as somebody does who knows it: the triggers are as they were, afterwards.
func (p *past) forge(statements string) {
	p.t.Helper()
	db, err := sql.Open("sqlite3", reader.DSN(p.config.Path, "mode=rw"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // test
	rows, err := db.Query(`SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`)
	if err != nil {
		p.t.Fatal(err)
	}
	var drop, again []string
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			p.t.Fatal(err)
		}
		drop, again = append(drop, "DROP TRIGGER "+name), append(again, text)
	}
	for _, s := range slices.Concat(drop, []string{statements}, again) {
		if _, err := db.Exec(s); err != nil {
			p.t.Fatalf("%s: %v", s, err)
		}
	}
}

// older puts the TPM's state back to what it was before do.
func (p *past) older(do func()) {
	p.t.Helper()
	if err := p.dev.Close(); err != nil {
		p.t.Fatal(err)
	}
	state := readFile(p.t, p.file)
	p.reopen()
	do()
	if err := p.dev.Close(); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(p.file, state, 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.reopen()
}

func (p *past) reopen() {
	p.t.Helper()
	dev, counter := openChip(p.t, p.file, &p.ref)
	p.dev, p.chip.Counter = dev, counter
}

// sealNumber is the entry of the last seal in SQL.
const sealNumber = `(SELECT max(seq) FROM entry WHERE kind = 'seal' AND json_extract(body, '$.attest') IS NULL)`

// stops are all that the last stop can have left: a row for each case of the two switches of a start, and for what SQLite says before.
// Without want, the start goes on from there, and all is covered and sealed; else it is refused with these words, and the file is left as it is.
var stops = []struct {
	name string
	left func(p *past)
	want string
}{
	{"closed", func(*past) {}, ""},
	{"killed with entries that no checkpoint covers", func(p *past) {
		p.killed(func(l *ledger.Ledger) { appendTo(p.t, l, bodies(stop("four"), stop("five"))) })
	}, ""},
	{"killed with all covered", func(p *past) {
		p.killed(func(l *ledger.Ledger) {
			seqs := appendTo(p.t, l, bodies(stop("four")))
			if err := l.Cover(p.t.Context(), seqs[0]); err != nil {
				p.t.Fatal(err)
			}
		})
	}, ""},
	{"a seal recorded, not covered", func(p *past) { p.cut("sign") }, ""},
	{"a seal covered, the counter not incremented", func(p *past) { p.cut("increment") }, ""},
	{"the counter incremented, which nobody was told", func(p *past) { p.cut("incremented") }, ""},
	{"the counter incremented, the TPM's word missing", func(p *past) { p.cut("certify") }, ""},
	{"the TPM's word missing, and entries after it", func(p *past) { p.cut("certify", "four") }, ""},

	{"truncated file", func(p *past) { truncate(p.t, p.config.Path, 20000) }, "damaged"},
	{"dropped trigger", func(p *past) { execute(p.t, p.config.Path, `DROP TRIGGER entry_update`) }, "trigger entry_update is missing"},
	{"no checkpoint", func(p *past) { p.forge(`DELETE FROM checkpoint`) }, "has no checkpoint, not even the first"},
	{"a checkpoint that is none", func(p *past) { p.forge(`UPDATE checkpoint SET note = 'x'`) }, "newest checkpoint: "},
	{"a checkpoint of another origin", func(p *past) {
		p.forge(`UPDATE checkpoint SET note = replace(note, 'ulm/st-07/1', 'ulm/st-08/1')`)
	}, "is the ledger of ulm/st-08/1, not of ulm/st-07/1"},
	{"a checkpoint of another root", func(p *past) {
		p.forge(`UPDATE checkpoint SET note = (SELECT o.note FROM checkpoint o WHERE o.size = 0) WHERE size > 0;
			UPDATE checkpoint SET note = replace(note, char(10) || '0' || char(10), char(10) || size || char(10))`)
	}, "was not signed by this station's checkpoint key"},
	{"swapped checkpoint", func(p *past) {
		p.forge(`UPDATE checkpoint SET note = (SELECT o.note FROM checkpoint o WHERE o.size = 0) WHERE size > 0`)
	}, "but stored as"},
	{"rewritten under another key", func(p *past) {
		own := p.config.Signer
		p.config.Path, p.config.Signer = filepath.Join(p.t.TempDir(), "ledger.db"), newKey(p.t)
		p.config.Counter = nil
		if err := ledger.Create(p.t.Context(), p.config); err != nil {
			p.t.Fatal(err)
		}
		session(p.t, p.config, "one", "two", "three")
		p.config.Signer, p.config.Counter = own, p.chip
	}, "was not signed by this station's checkpoint key"},
	{"tail cut off", func(p *past) { p.forge(`DELETE FROM entry WHERE seq > 5`) }, "entries were cut off"},
	{"edited tree", func(p *past) { p.forge(`UPDATE node SET hash = zeroblob(32)`) }, "is not the one its checkpoint was signed for"},
	{"edited entry", func(p *past) {
		p.forge(`UPDATE entry SET body = replace(body, 'three', 'seven') WHERE body LIKE '%three%'`)
	}, "was changed after it was written"},
	{"edited leaf", func(p *past) { p.forge(`UPDATE entry SET leaf = zeroblob(32) WHERE seq = 2`) }, "entry 2 was changed after it was written"},

	{"an older copy put back", func(p *past) {
		older := filepath.Join(p.t.TempDir(), "older.db")
		if _, err := ledger.TakeIn(p.t.Context(), p.config.Path, older); err != nil {
			p.t.Fatal(err)
		}
		session(p.t, p.config, "four")
		p.config.Path = older
	}, "this is an older copy of the ledger, or its end was cut off: 1 seals are missing"},
	{"a copy of just before a seal put back", func(p *past) {
		var before string
		p.killed(func(l *ledger.Ledger) {
			seqs := appendTo(p.t, l, bodies(stop("four")))
			if err := l.Cover(p.t.Context(), seqs[0]); err != nil {
				p.t.Fatal(err)
			}
			before = filepath.Join(p.t.TempDir(), "before.db")
			if _, err := ledger.TakeIn(p.t.Context(), p.config.Path, before); err != nil {
				p.t.Fatal(err)
			}
			if err := l.Seal(p.t.Context(), "shift"); err != nil {
				p.t.Fatal(err)
			}
		})
		p.config.Path = before
	}, "1 seals are missing"},
	{"cut off before the last seal", func(p *past) {
		p.forge(`DELETE FROM entry WHERE seq >= ` + sealNumber + `; DELETE FROM checkpoint WHERE size > (SELECT max(seq) FROM entry)`)
	}, "1 seals are missing"},
	{"the counter went on", func(p *past) {
		for range 2 {
			if _, err := p.chip.Increment(p.t.Context()); err != nil {
				p.t.Fatal(err)
			}
		}
	}, "2 seals are missing"},
	{"an older TPM put back", func(p *past) {
		p.older(func() { session(p.t, p.config, "four"); session(p.t, p.config, "five") })
	}, "the counter is behind what was recorded after it"},
	{"an older TPM put back after a seal that was cut off", func(p *past) {
		p.older(func() { session(p.t, p.config, "four"); p.cut("increment") })
	}, "the counter is behind: the TPM was cleared"},
	{"a TPM that does not answer", func(p *past) {
		if err := p.dev.Close(); err != nil {
			p.t.Fatal(err)
		}
	}, "read the TPM's counter"},
	{"the counter is not named any more", func(p *past) { p.config.Counter = nil }, "bring back the station.toml that names it"},
	{"a ledger that was never sealed", func(p *past) {
		p.config.Path = filepath.Join(p.t.TempDir(), "ledger.db")
		p.config.Counter = nil
		if err := ledger.Create(p.t.Context(), p.config); err != nil {
			p.t.Fatal(err)
		}
		session(p.t, p.config, "one")
		p.config.Counter = p.chip
	}, "this is not the ledger that was sealed by it"},
}

// TestEveryStop starts from each state that the last stop can have left.
func TestEveryStop(t *testing.T) {
	for _, s := range stops {
		t.Run(s.name, func(t *testing.T) {
			p := newPast(t)
			s.left(p)
			if s.want == "" {
				p.goesOn()
				return
			}
			before := files(t, p.config.Path)
			for range 2 { // it stays refused
				if _, err := ledger.Open(t.Context(), p.config); err == nil || !strings.Contains(err.Error(), s.want) {
					t.Errorf("opened: %v; want %q", err, s.want)
				}
			}
			if files(t, p.config.Path) != before {
				t.Error("the refused file was modified")
			}
		})
	}
	t.Run("no counter and no seal", func(t *testing.T) {
		c := create(t)
		session(t, c, "one")
		session(t, c, "two")
	})
}

// goesOn opens the ledger: then all is covered, the last seal stands where the counter does, and nothing that was acknowledged is missing.
func (p *past) goesOn() {
	p.t.Helper()
	l := open(p.t, p.config)
	all, certified := seals(p.t, l)
	value, err := p.chip.Read(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	if last := all[len(all)-1]; last != int64(value) || certified[len(certified)-1] != last {
		p.t.Errorf("seals %v, certified %v, counter %d", all, certified, value)
	}
	for i := range all[1:] {
		if all[i+1] != all[i]+1 {
			p.t.Errorf("seals %v", all)
		}
	}
	if size, covered := l.Size(); covered != size-1 { // but for the TPM's word for the seal of the start
		p.t.Errorf("%d of %d entries are covered", covered, size)
	}
	appendTo(p.t, l, bodies(stop("on")))
	verified(p.t, l.Reader(), audit.Anchors{Keys: []*record.Verifier{l.Verifier()}})
}
