// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
)

// copies are the ledger's copies in a folder of the plant.
func (p *plant) copies(dir string) []string {
	p.t.Helper()
	names, err := filepath.Glob(filepath.Join(p.path(dir), "*.db"))
	if err != nil {
		p.t.Fatal(err)
	}
	return names
}

// TestBackup makes a copy that is recorded with its digest, and is the ledger
// as it was.
func TestBackup(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(1)
	p.must(p.batchArgs(ports)...)
	p.must("ledger", "backup")
	if made := p.copies("home/backup"); len(made) != 1 {
		t.Fatalf("without --to: %v", made)
	}
	p.refused("no such file", "ledger", "backup", "--to", p.path("nowhere"))
	if err := os.Mkdir(p.path("qa"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.must("ledger", "backup", "--to", p.path("qa"))
	made := p.copies("qa")
	if len(made) != 1 {
		t.Fatalf("copies: %v", made)
	}
	digest, _, err := ledger.Digest(t.Context(), made[0])
	if err != nil {
		t.Fatal(err)
	}
	p.sqlite(`select count(*) from entry where kind = 'backup' and json_extract(body, '$.file_sha256') = '`+digest+
		`' and json_extract(body, '$.file') = '`+filepath.Base(made[0])+`' and json_extract(body, '$.size') > 0`, "1")
	p.sqlite(`attach '`+made[0]+`' as copy; select (select count(*) from copy.entry) > 0 and not exists (select id, body, leaf from copy.entry except select id, body, leaf from main.entry)`, "1")

	// A ledger that does not verify is not copied.
	p.sql("update entry set body = replace(body, 'os:', 'OS:') where seq = 2")
	if code, _, _ := p.do("ledger", "backup", "--to", p.path("qa")); code != exitUnfit || len(p.copies("qa")) != 1 {
		t.Errorf("a changed ledger: exit %d, %v", code, p.copies("qa"))
	}
}

// TestScheduledBackups lets a station make its copies while it works.
func TestScheduledBackups(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(5)
	doctor := func(want string) {
		t.Helper()
		if code, out, errs := p.do("doctor"); code != exitPassed || !strings.Contains(out, want) {
			t.Errorf("doctor: exit %d, want %q\n%s%s", code, want, out, errs)
		}
	}
	doctor("nothing copies the ledger")
	p.config("[keys]", "[backup]\ndir = '../copies'\nkeep = 1\n\n[keys]")
	if err := os.Mkdir(p.path("copies"), 0o700); err != nil {
		t.Fatal(err)
	}
	doctor("there is no copy of the ledger in")
	_, _, said := p.do(p.batchArgs(ports[:1])...)
	first := p.copies("copies")
	if len(first) != 1 {
		t.Fatalf("copies: %v\n%s", first, said)
	}
	doctor("the newest copy is of")
	p.must(p.batchArgs(ports[1:2])...)
	if now := p.copies("copies"); !slices.Equal(now, first) {
		t.Errorf("before it was due: %v", now)
	}
	// A copy that somebody took away is made again, and older ones go.
	away := strings.Replace(first[0], "_1_", "_1_0", 1)
	if err := os.Rename(first[0], away); err != nil {
		t.Fatal(err)
	}
	older := filepath.Join(p.path("copies"), backupName{"plant/line-1", 1, 7, time.Now().Add(-time.Hour)}.String())
	p.write("copies/"+filepath.Base(older), "an old one")
	p.must(p.batchArgs(ports[2:3])...)
	if now := p.copies("copies"); len(now) != 2 || !slices.Contains(now, away) || slices.Contains(now, older) {
		t.Errorf("after one was taken away: %v", now)
	}
	// Without the folder the line goes on, and the station says what is wrong.
	if err := os.RemoveAll(p.path("copies")); err != nil {
		t.Fatal(err)
	}
	code, out, errs := p.do(p.batchArgs(ports[3:4])...)
	if _, sum := events(t, out); code != exitPassed || sum.Passed != 1 || !strings.Contains(errs, "no copy of the ledger was made") {
		t.Errorf("without the folder: exit %d, %+v\n%s", code, sum, errs)
	}
	doctor("there is no folder")
	// Nor does a folder that is full stop it.
	p.config("min_free_mib = 512", "min_free_mib = 16")
	p.write("copies", "no folder")
	p.must(p.batchArgs(ports[4:])...)
	p.content()
	if n := p.count(record.KindBackup); n != 2 {
		t.Errorf("%d copies are on record, want 2", n)
	}
}

// TestSchedule follows a schedule through days, over a failure, to the end.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var last time.Time
		var at []time.Duration
		fail := errors.New("no folder")
		s := &schedule{
			every: 24 * time.Hour, log: slog.New(slog.DiscardHandler),
			last: func(context.Context) (time.Time, error) { return last, nil },
			make: func(context.Context) error {
				at = append(at, time.Since(begin))
				if len(at) == 1 {
					return fail
				}
				last = time.Now()
				return nil
			},
		}
		idle, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			s.run(t.Context(), idle)
		}()
		synctest.Wait()
		if !errors.Is(s.Err(), fail) {
			t.Errorf("after a failure: %v", s.Err())
		}
		for deadline := time.NewTimer(60 * time.Hour); ; {
			<-deadline.C
			break
		}
		close(idle)
		<-ended
		want := []time.Duration{0, backupAgain, backupAgain + 24*time.Hour, backupAgain + 48*time.Hour}
		if !slices.Equal(at, want) || s.Err() != nil {
			t.Errorf("copies at %v, %v; want %v", at, s.Err(), want)
		}
	})
}

// TestScheduleEnds: who ends does not wait for a copy that is not due, and does
// for one that was begun.
func TestScheduleEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := 0
		s := &schedule{
			every: time.Hour, log: slog.New(slog.DiscardHandler),
			last: func(context.Context) (time.Time, error) { return time.Time{}, nil },
			make: func(context.Context) error { made++; return nil },
		}
		idle := make(chan struct{})
		close(idle)
		s.run(t.Context(), idle)
		s.last = func(context.Context) (time.Time, error) { return time.Now(), nil }
		begin := time.Now()
		s.run(t.Context(), idle)
		if made != 1 || time.Since(begin) != 0 {
			t.Errorf("%d copies, waited %s", made, time.Since(begin))
		}
	})
}

// TestPruneBackups deletes the oldest of this station and nothing else.
func TestPruneBackups(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 22, 12, 0, 0, 5, time.UTC)
	name := func(station string, epoch, hours int) backupName {
		return backupName{station, epoch, int64(100 - hours), now.Add(-time.Duration(hours) * time.Hour)}
	}
	made := name("ulm/st-07", 2, 0)
	keep := []string{
		made.String(), name("ulm/st-07", 2, 1).String(), name("ulm/st-07", 1, 2).String(),
		name("ulm/st-08", 1, 90).String(), name("ulm/st_07", 1, 90).String(), "notes.txt", "x" + name("ulm/st-07", 1, 9).String(),
	}
	gone := []string{name("ulm/st-07", 1, 3).String(), name("ulm/st-07", 1, 80).String()}
	for _, n := range append(slices.Clone(keep), gone...) {
		if err := os.WriteFile(filepath.Join(dir, n), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := filepath.Join(dir, ledger.BackupFolder+"1")
	if err := errors.Join(os.Mkdir(left, 0o700), os.Chtimes(left, now, now.Add(-2*abandoned))); err != nil {
		t.Fatal(err)
	}
	if err := pruneBackups(dir, made, 3); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range all {
		have = append(have, e.Name())
	}
	slices.Sort(keep)
	if !slices.Equal(have, keep) {
		t.Errorf("left %v\nwant %v", have, keep)
	}
	// One that is dated later, by a clock that was wrong, does not push out the one just made.
	if err := pruneBackups(dir, name("ulm/st-07", 1, 2), 1); err != nil || !exists(filepath.Join(dir, name("ulm/st-07", 1, 2).String())) {
		t.Errorf("the copy just made is gone: %v", err)
	}
}

func TestBackupConfig(t *testing.T) {
	c, err := parseHome("station.toml", []byte(plainHome+"[backup]\ndir = 'x'\n"))
	if err != nil || c.Backup.every() != defaultBackupEvery || c.Backup.Keep != 0 {
		t.Errorf("%+v, %v", c.Backup, err)
	}
	for text, want := range map[string]string{
		"[backup]\nevery = \"1h\"\n":                   "station.toml:1: dir: the folder",
		"[backup]\ndir = ''\n":                         "station.toml:5: dir: the folder",
		"[backup]\ndir = 'x'\nkeep = -1\n":             "station.toml:6: keep: how many",
		"[backup]\ndir = 'x'\nkeep = 10001\n":          "station.toml:6: keep: how many",
		"[backup]\ndir = 'x'\nevery = \"0s\"\n":        "station.toml:6: ",
		"[backup]\ndir = 'x'\nevery = 24\n":            "station.toml:6: ",
		"[backup]\ndir = 'x'\nevery = \"10000h\"\n":    "station.toml:6: ",
		"[backup]\ndir = 'x'\nevery = \"24h\"\nto=1\n": "station.toml:7: unknown key",
	} {
		if _, err := parseHome("station.toml", []byte(plainHome+text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s\ngot %v, want %s", text, err, want)
		}
	}
}
