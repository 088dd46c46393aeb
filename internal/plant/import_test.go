// SPDX-License-Identifier: Apache-2.0

package plant_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/plant"
	"provisioning.example/station/internal/plant/specimen"
	"provisioning.example/station/internal/record"
)

func TestImportIsIdempotentAndGrows(t *testing.T) {
	w := newWorld(t)
	a, b := w.station("ulm/st-01", 3), w.station("ulm/st-02", 2)
	first := w.bundle(a)
	if r := w.taken(first, 16); r.Known || r.Station != "ulm/st-01" || r.Log != "ulm/st-01/1" || r.Blobs != 10 {
		t.Errorf("first: %+v", r)
	}
	w.taken(w.bundle(b), 11)
	before := w.contents()
	if r := w.taken(first, 0); !r.Known || r.Blobs != 0 || r.Points != 0 {
		t.Errorf("again: %+v", r)
	}
	if after := w.contents(); after != before {
		t.Errorf("the same bundle changed the plant:\n%s%s", before, after)
	}
	w.provision(a, specimen.Unit{Serial: "more", UID: uid("more", 1)})
	second := w.bundle(a) // with the entry of the first bundle
	w.provision(a, specimen.Unit{Serial: "late", UID: uid("late", 1)})
	third := w.bundle(a)
	w.taken(third, 12)
	before = w.contents()
	if r := w.taken(second, 0); r.Known { // a stick that was lost and found
		t.Errorf("second after third: %+v", r)
	}
	if after := w.contents(); strings.SplitN(after, "bundle", 2)[0] != strings.SplitN(before, "bundle", 2)[0] {
		t.Errorf("an older bundle changed the plant:\n%s%s", before, after)
	}
	logs, err := w.Logs(t.Context())
	if err != nil || len(logs) != 2 || logs[0] != (plant.Log{Origin: "ulm/st-01/1", Size: 28, Proven: 29}) {
		t.Errorf("%v %+v", err, logs)
	}
	for n, sql := range []string{"UPDATE entry SET seq = seq + 100", "DELETE FROM blob", "TRUNCATE checkpoint"} {
		if _, err := connect(t, w.url).Exec(t.Context(), sql); err == nil {
			t.Errorf("%d: %s: done", n, sql)
		}
	}
}

func TestInvalidBundlesGoIntoQuarantine(t *testing.T) {
	w := newWorld(t)
	good := w.bundle(w.station("ulm/st-01", 1))
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	whole[len(whole)/2] ^= 1
	damaged := filepath.Join(t.TempDir(), "damaged")
	if err := os.WriteFile(damaged, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := specimen.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := root.Ledger("ulm/st-01")
	if err != nil {
		t.Fatal(err)
	}
	before := w.contents()
	for path, want := range map[string]string{damaged: "damaged", w.bundle(stranger): "not proven"} {
		for range 2 {
			if r := w.take(path); r.Quarantine != plant.Invalid || !strings.Contains(r.Detail, want) || r.Fork != nil {
				t.Errorf("want %q: %+v", want, r)
			}
		}
	}
	if after := w.contents(); after != before {
		t.Errorf("something of it was imported:\n%s", after)
	}
	if q, err := w.Quarantine(t.Context()); err != nil || len(q) != 2 {
		t.Errorf("%v %+v", err, q)
	}
	if _, err := w.Import(t.Context(), filepath.Join(t.TempDir(), "none"), plant.Anchors{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	w.taken(good, 6)
}

// TestForks: a station that was rolled back and went on differently is found
// wherever the two histories part: in entries, or only in a signed checkpoint.
func TestForks(t *testing.T) {
	w := newWorld(t)
	a := w.station("ulm/st-01", 2)
	w.taken(w.bundle(a.Copy()), 11) // the export entry of this bundle exists only in the copy
	w.provision(a, specimen.Unit{Serial: "zero", UID: uid("zero", 1)})
	w.forked(w.bundle(a), "first 12 entries are not those under the checkpoint seen before")

	a = w.station("ulm/st-02", 2)
	lost := a.Copy()
	w.provision(a, specimen.Unit{Serial: "one", UID: uid("one", 1)})
	w.taken(w.bundle(a), 16)
	// It ends before the histories part, but it was made under a checkpoint of the other one.
	w.forked(w.bundle(lost.Copy()), "made under is not of the history")
	w.provision(lost, specimen.Unit{Serial: "two", UID: uid("two", 1)})
	w.forked(w.bundle(lost), "entry 12 is not the one")
	w.provision(lost, specimen.Unit{Serial: "three", UID: uid("three", 1)})
	w.forked(w.bundle(lost), "entry 12 is not the one")
	w.provision(a, specimen.Unit{Serial: "four", UID: uid("four", 1)})
	w.taken(w.bundle(a), 6) // what was there first goes on
}

// forked wants the bundle in quarantine, with both checkpoints, and nothing of it imported.
func (w *world) forked(path, want string) {
	w.t.Helper()
	before := w.contents()
	r := w.take(path)
	if r.Quarantine != plant.Forked || !strings.Contains(r.Detail, want) || r.Fork == nil || r.Added != 0 {
		w.t.Fatalf("want %q: %+v", want, r)
	}
	if after := w.contents(); after != before {
		w.t.Errorf("something of a fork was imported:\n%s%s", before, after)
	}
	all, err := w.Quarantine(w.t.Context())
	if err != nil || len(all) == 0 {
		w.t.Fatalf("%v %+v", err, all)
	}
	last := all[len(all)-1]
	if last.Ours == "" || last.Theirs == "" || last.Ours == last.Theirs || last.Reason != plant.Forked {
		w.t.Errorf("no evidence: %+v", last)
	}
	for _, note := range []string{last.Ours, last.Theirs} {
		if c, err := record.ReadCheckpoint([]byte(note)); err != nil || c.Origin.String() != r.Log || c.Size < r.Fork.Seq {
			w.t.Errorf("evidence %+v, %v", c, err)
		}
	}
}

// TestChangedDatabase: rows that were changed behind the triggers' back are not
// taken for a fork of the station, and nothing is imported into them.
func TestChangedDatabase(t *testing.T) {
	w := newWorld(t)
	a := w.station("ulm/st-01", 2)
	path := w.bundle(a)
	w.taken(path, 11)
	w.provision(a, specimen.Unit{Serial: "one", UID: uid("one", 1)})
	next := w.bundle(a)
	c := connect(t, w.url)
	if _, err := c.Exec(t.Context(), `UPDATE entry SET body = replace(body, 'op-17', 'op-18') WHERE seq = 3`); err == nil {
		t.Fatal("an entry was changed through the trigger")
	}
	exec := func(sql string) {
		t.Helper()
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`ALTER TABLE entry DISABLE TRIGGER ALL`)
	if _, err := c.Exec(t.Context(), `UPDATE entry SET body = replace(body, 'op-17', 'op-18') WHERE seq = 3`); err == nil {
		t.Error("a body that does not fit its leaf was taken")
	}
	exec(`UPDATE entry SET body = replace(body, 'op-17', 'op-18'), leaf = sha256('\x00'::bytea || convert_to(replace(body, 'op-17', 'op-18'), 'UTF8')) WHERE seq = 3`)
	for _, path := range []string{path, next} {
		if r, err := w.Import(t.Context(), path, plant.Anchors{Root: w.root.Certificate}); !errors.Is(err, plant.ErrChanged) {
			t.Errorf("an entry that was changed: %v %+v", err, r)
		}
	}
	exec(`DELETE FROM entry WHERE seq = 3`)
	if _, err := w.Import(t.Context(), next, plant.Anchors{Root: w.root.Certificate}); !errors.Is(err, plant.ErrChanged) {
		t.Errorf("an entry that is missing: %v", err)
	}
}
