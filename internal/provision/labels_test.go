// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/label"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/virtual"
)

// labelled is a world whose labels go into a folder.
type labelled struct {
	*world
	folder string
	labels *provision.Labels
}

func newLabelled(t *testing.T, w *world) *labelled {
	t.Helper()
	l := &labelled{world: w, folder: filepath.Join(t.TempDir(), "labels")}
	p, err := label.ParsePrinter("folder:" + l.folder)
	if err != nil {
		t.Fatal(err)
	}
	l.labels = provision.NewLabels(provision.LabelConfig{Ledger: w.ledger, Templates: templates(t), Printer: p, Software: "station test"})
	return l
}

func templates(t *testing.T) (all provision.LabelTemplates) {
	t.Helper()
	var errs [2]error
	all.Pass, errs[0] = label.Builtin(label.BuiltinPass, 203)
	all.Fail, errs[1] = label.Builtin(label.BuiltinFail, 203)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return all
}

// on is the printer with paper in it.
func (l *labelled) on() {
	l.t.Helper()
	if err := os.Mkdir(l.folder, 0o700); err != nil {
		l.t.Fatal(err)
	}
}

// runs provisions what is there and tells the labels of it.
func (l *labelled) runs() map[int]provision.Result {
	l.t.Helper()
	ends := l.run()
	for _, slot := range []int{1, 2, 3} {
		if end, ok := ends[slot]; ok {
			l.labels.Observe(provision.Event{End: &end})
		}
	}
	return ends
}

// printed is what was printed, by name.
func (l *labelled) printed() map[string]string {
	l.t.Helper()
	names, err := filepath.Glob(filepath.Join(l.folder, "*"))
	if err != nil {
		l.t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			l.t.Fatal(err)
		}
		all[filepath.Base(name)] = string(raw)
	}
	return all
}

// records are the label entries.
func (l *labelled) records() []record.Body {
	l.t.Helper()
	es, err := l.reader.EntriesOf(l.t.Context(), reader.Query{Kinds: []string{record.KindLabel}})
	if err != nil {
		l.t.Fatal(err)
	}
	var out []record.Body
	for _, e := range es {
		out = append(out, e.Body)
	}
	return out
}

func (l *labelled) close() {
	l.t.Helper()
	l.labels.Close(l.t.Context())
	l.world.close()
}

func two(t *testing.T, fault string) *world {
	return newWorld(t, map[string]*virtual.Board{
		portName(1): board(t, 1), portName(2): board(t, 2, func(c *virtual.Config) { c.Fault = fault }),
	})
}

// TestLabels: a unit that passed gets a PASS label whose witness is of the ledger's own
// tree, one that failed a FAIL label with code and sentence; both are on record.
func TestLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLabelled(t, two(t, "chain-rots"))
		l.on()
		l.labels.Start()
		ends := l.runs()
		wantOutcome(t, ends[1], record.Passed, "")
		wantOutcome(t, ends[2], record.Failed, "F-PROVE-02")
		synctest.Wait()
		l.labels.Close(t.Context())
		defer l.world.close()
		printed := l.printed()
		pass, fail := printed[fmt.Sprintf("label-1-%d-1.zpl", ends[1].Entry)], printed[fmt.Sprintf("label-1-%d-1.zpl", ends[2].Entry)]
		if len(printed) != 2 || !strings.Contains(pass, "^FDPASS^FS") || !strings.Contains(pass, ends[1].Serial) || strings.Contains(pass, "FAIL") {
			t.Errorf("%d labels, of the unit that passed: %s", len(printed), pass)
		}
		if !strings.Contains(fail, "^FDFAIL^FS") || !strings.Contains(fail, "F-PROVE-02") || strings.Contains(fail, "PASS") || !strings.Contains(fail, "The board kept another chain.") {
			t.Errorf("of the unit that failed: %s", fail)
		}
		records := l.records()
		if len(records) != 2 {
			t.Fatalf("%d label entries: %+v", len(records), records)
		}
		for i, b := range records {
			end := ends[i+1]
			if b.Action != "printed" || b.EntrySeq != end.Entry || b.Serial != end.Serial || b.UID != end.UID || b.Count != 1 || b.Operator != "os:test" || b.Template != []string{"pass", "fail"}[i] {
				t.Errorf("%+v", b)
			}
		}
		l.checkWitness(records[0], pass)
	})
}

// checkWitness holds what a label carries against the ledger's tree.
func (l *labelled) checkWitness(b record.Body, zpl string) {
	l.t.Helper()
	w, err := record.ParseWitness(b.Witness)
	if err != nil {
		l.t.Fatal(err)
	}
	root, err := l.reader.Root(l.t.Context(), 1, w.Size)
	if err != nil {
		l.t.Fatal(err)
	}
	if w.Origin.String() != origin || w.Seq != b.EntrySeq || [16]byte(root[:16]) != w.Root {
		l.t.Errorf("witness %s is not of the tree of %d entries", w, w.Size)
	}
	if sent := strings.NewReplacer("_5F", "_").Replace(zpl); !strings.Contains(sent, "A,"+b.Serial+" "+b.Witness+"^FS") {
		l.t.Errorf("the label does not carry %s: %s", b.Witness, zpl)
	}
}

// TestNoPassLabel: whatever an observer is told, the ledger decides what a label says.
func TestNoPassLabel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLabelled(t, two(t, "chain-rots"))
		l.on()
		l.labels.Start()
		defer l.close()
		ends := l.run()
		lie := ends[2]
		lie.Outcome, lie.Fault = record.Passed, nil
		l.labels.Observe(provision.Event{End: &lie})
		synctest.Wait()
		for name, zpl := range l.printed() {
			if strings.Contains(zpl, "PASS") || !strings.Contains(zpl, "^FDFAIL^FS") {
				t.Errorf("%s for a unit that failed: %s", name, zpl)
			}
		}
		if len(l.printed()) != 1 {
			t.Errorf("%d labels", len(l.printed()))
		}
		// Only pass labels here: a unit that failed gets none at all.
		only := provision.LabelTemplates{Pass: templates(t).Pass}
		_, err := provision.LabelOf(t.Context(), l.reader, only, 1, ends[2].Entry)
		wantNoLabel(t, err, "get no labels here")
		// Other entries of the unit that passed are no end.
		for seq := int64(1); seq < ends[1].Entry; seq++ {
			if e, err := l.reader.Entry(t.Context(), 1, seq); err == nil && e.Body.Kind != record.KindEnd {
				_, err := provision.LabelOf(t.Context(), l.reader, only, 1, seq)
				wantNoLabel(t, err, "is not the end of a run")
			}
		}
	})
}

func wantNoLabel(t *testing.T, err error, want string) {
	t.Helper()
	if refused := (*label.RefusedError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want no label: %s", err, want)
	}
}

// TestLabelOfNothing: a run that was stopped, an end that no checkpoint covers, a unit
// that is not there.
func TestLabelOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLabelled(t, one(t))
		l.on()
		l.labels.Start()
		defer l.close()
		wantOutcome(t, l.run()[1], record.Passed, "")
		run := strings.Repeat("ab", 16)
		l.append(record.Body{Kind: record.KindBegun, Run: run, Serial: "S-2", Operator: "os:test", Software: "x"})
		l.append(record.Body{Kind: record.KindEnd, Run: run, Serial: "S-2", Operator: "os:test", Software: "x", Outcome: record.Failed, Fault: "F-PROVE-02", FaultStep: "PROVE"})
		e, err := provision.EndOf(t.Context(), l.reader, "S-2")
		if err != nil {
			t.Fatal(err)
		}
		_, err = provision.LabelOf(t.Context(), l.reader, templates(t), e.Epoch, e.Seq)
		wantNoLabel(t, err, "no checkpoint covers")
		l.labels.Observe(provision.Event{End: &provision.Result{Entry: e.Seq, Outcome: record.Failed}})
		l.labels.Observe(provision.Event{End: &provision.Result{Entry: 0, Outcome: record.Passed}})
		l.labels.Observe(provision.Event{})
		l.append(record.Body{Kind: record.KindEnd, Run: run, Serial: "S-3", Operator: "os:test", Software: "x", Outcome: record.Aborted, Reason: "stopped"})
		if e, err = provision.EndOf(t.Context(), l.reader, "S-3"); err != nil {
			t.Fatal(err)
		}
		if err := l.ledger.Cover(t.Context(), e.Seq); err != nil {
			t.Fatal(err)
		}
		_, err = provision.LabelOf(t.Context(), l.reader, templates(t), e.Epoch, e.Seq)
		wantNoLabel(t, err, "was stopped")
		_, err = provision.EndOf(t.Context(), l.reader, "S-4")
		wantNoLabel(t, err, "no end of a run of unit \"S-4\"")
		synctest.Wait()
		if n := len(l.printed()) + len(l.records()); n != 0 {
			t.Errorf("%d labels or entries", n)
		}
	})
}

// TestLabelNoLongerTrue: a label tells of the unit as it is.
func TestLabelNoLongerTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := one(t)
		defer w.close()
		first := w.run()[1]
		wantOutcome(t, first, record.Passed, "")
		if _, err := provision.LabelOf(t.Context(), w.reader, templates(t), 1, first.Entry); err != nil {
			t.Fatal(err)
		}
		w.station.Detach(portName(1))
		w.station.Attach(0, portName(1), "")
		again := w.run()[1]
		_, err := provision.LabelOf(t.Context(), w.reader, templates(t), 1, first.Entry)
		wantNoLabel(t, err, "had another run since")
		if _, err := provision.LabelOf(t.Context(), w.reader, templates(t), 1, again.Entry); err != nil {
			t.Fatal(err)
		}
		if _, err := w.desk().Scrap(t.Context(), named(uid1), worn); err != nil {
			t.Fatal(err)
		}
		_, err = provision.LabelOf(t.Context(), w.reader, templates(t), 1, again.Entry)
		wantNoLabel(t, err, "since, entry")
	})
}

// TestPrinterOff: units pass, the header says so, the failure is on record once,
// and the labels come when the printer does.
func TestPrinterOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLabelled(t, two(t, ""))
		l.labels.Start()
		defer l.close()
		synctest.Wait()
		if h := l.labels.Health(); h.Level != provision.Warn || h.Name != "Printer: off" {
			t.Errorf("%+v", h)
		}
		ends := l.runs()
		wantOutcome(t, ends[1], record.Passed, "")
		wantOutcome(t, ends[2], record.Passed, "")
		synctest.Wait()
		if h := l.labels.Health(); h.Level != provision.Warn || !strings.HasPrefix(h.Text, "2 labels wait: printer folder:") {
			t.Errorf("%+v", h)
		}
		<-time.After(5 * time.Minute)
		wantActions(t, l.records(), "failed")
		if d := l.records()[0].Detail; !strings.Contains(d, "no such file") {
			t.Errorf("the reason on record is %q", d)
		}
		l.on()
		<-time.After(11 * time.Second)
		synctest.Wait()
		wantActions(t, l.records(), "failed", "printed", "printed")
		if h := l.labels.Health(); h.Level != provision.OK || len(l.printed()) != 2 {
			t.Errorf("%+v, %d labels", h, len(l.printed()))
		}
	})
}

func wantActions(t *testing.T, records []record.Body, want ...string) {
	t.Helper()
	var have []string
	for _, b := range records {
		have = append(have, b.Action)
	}
	if !slices.Equal(have, want) {
		t.Errorf("%v, want %v", have, want)
	}
}

// TestStationStopsWithLabels: what the printer did not take is on record and
// found again.
func TestStationStopsWithLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLabelled(t, two(t, ""))
		l.labels.Start()
		ends := l.runs()
		synctest.Wait()
		if left := l.labels.Close(t.Context()); left != 2 {
			t.Errorf("%d were left", left)
		}
		defer l.world.close()
		wantActions(t, l.records(), "failed", "failed")
		missing, err := l.labels.Missing(t.Context(), time.Now().Add(-time.Hour))
		if err != nil || len(missing) != 2 || missing[0].Seq != min(ends[1].Entry, ends[2].Entry) {
			t.Fatalf("%d are missing, %v", len(missing), err)
		}
		l.on()
		job := label.Job{Epoch: 1, Seq: missing[0].Seq, Copies: 2, Operator: "op-3"}
		if err := l.labels.PrintNow(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		wantActions(t, l.records(), "failed", "failed", "printed")
		if b := l.records()[2]; b.Count != 2 || b.Operator != "op-3" {
			t.Errorf("%+v", b)
		}
		if missing, err = l.labels.Missing(t.Context(), time.Now().Add(-time.Hour)); err != nil || len(missing) != 1 {
			t.Errorf("%d are missing, %v", len(missing), err)
		}
	})
}

// TestReprint: the same label, on record with who wanted it and why.
func TestReprint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLabelled(t, one(t))
		l.on()
		l.labels.Start()
		defer l.close()
		end := l.runs()[1]
		synctest.Wait()
		if err := l.labels.Reprint(t.Context(), end.Serial, "qa-2", "torn", 3); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantActions(t, l.records(), "printed", "reprinted")
		b := l.records()[1]
		if b.Operator != "qa-2" || b.Reason != "torn" || b.Count != 3 || b.Witness != l.records()[0].Witness {
			t.Errorf("%+v", b)
		}
		p := l.printed()
		first, second := p[fmt.Sprintf("label-1-%d-1.zpl", end.Entry)], p[fmt.Sprintf("label-1-%d-2.zpl", end.Entry)]
		if first == "" || strings.Replace(first, "^PQ1\n", "^PQ3\n", 1) != second {
			t.Errorf("the second label is another one:\n%s\n%s", first, second)
		}
		wantNoLabel(t, l.labels.Reprint(t.Context(), "nobody", "qa-2", "", 1), "no end of a run")
		if err := l.labels.Reprint(t.Context(), end.Serial, "qa-2", "", 0); err == nil {
			t.Error("no copies were taken")
		}
		img, u, err := l.labels.Preview(t.Context(), end.Serial)
		if err != nil || img.Bounds().Dx() != 400 || u.End.Seq != end.Entry || u.Template.Name() != "pass" {
			t.Errorf("%v %+v", err, u)
		}
	})
}

// TestProductLabels: a mistake in a template is told with the lines of both files.
func TestProductLabels(t *testing.T) {
	dir := t.TempDir()
	load := func(template, product string) (*provision.Product, error) {
		t.Helper()
		if err := errors.Join(
			os.WriteFile(filepath.Join(dir, "own.zpl"), []byte(template), 0o600),
			os.WriteFile(filepath.Join(dir, "gw.toml"), []byte("name = \"a\"\nmodel = \"b\"\n"+product), 0o600),
		); err != nil {
			t.Fatal(err)
		}
		return provision.LoadProduct(filepath.Join(dir, "gw.toml"))
	}
	const good = "^XA^PW1000^LL3000^FO1,1^A0N,30^FD{serial}^FS^XZ" // 250 mm at 300 dots per inch, and too long at 203
	p, err := load(good, "label_pass = \"own.zpl\"\nlabel_fail = \"none\"\n")
	if err != nil {
		t.Fatal(err)
	}
	if pass, fail := p.Labels(); pass != filepath.Join(dir, "own.zpl") || fail != provision.NoLabel {
		t.Errorf("%s, %s", pass, fail)
	}
	_, err = load("^XA\n~JR^XZ", "label_fail = \"own.zpl\"\n")
	if err == nil || !strings.Contains(err.Error(), "gw.toml:3: label_fail: ") || !strings.Contains(err.Error(), "own.zpl:2: ") {
		t.Error(err)
	}
	if _, err = load(good, "label_pass = \"gone.toml\"\n"); err == nil || !strings.Contains(err.Error(), "gw.toml:3: label_pass: ") {
		t.Error(err)
	}
}
