// SPDX-License-Identifier: Apache-2.0

//go:build linux

package provision_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/powercut"
	"provisioning.example/station/internal/record"
)

// pass is a PASS that the station has shown.
type pass struct {
	seq          int64
	serial, cert string
	note         []byte // the newest checkpoint then
}

// blackout is a whole station that dies again and again, with the power of its
// disk or without. Boards and TPM do not.
type blackout struct {
	t      *testing.T
	dir    string            // of the ledger
	die    func(*os.Process) // takes the station's life
	back   func()            // brings the disk back
	bench  string
	seed   *rand.Rand
	wires  []*wire
	passed map[string]pass // by serial
	open   []string        // sockets of boards whose PASS was not seen
	mutant bool
}

// newPowerCuts is a station on a disk of a kind, which loses its power.
func newPowerCuts(t *testing.T, kind string) *blackout {
	t.Helper()
	d := powercut.New(t, kind, 0)
	return newBlackout(t, &blackout{dir: d.Dir(), die: d.CutUnder, back: d.Restore})
}

func newBlackout(t *testing.T, o *blackout) *blackout {
	t.Helper()
	o.t, o.bench, o.seed, o.passed = t, makeCrashTPM(t), rand.New(rand.NewPCG(2, 2)), map[string]pass{}
	b, err := openCrashTPM(t.Context(), o.bench)
	if err != nil {
		t.Fatal(err)
	}
	defer b.tpm.Close()
	c, err := b.sealed(t.Context(), o.dir, &gate{})
	if err != nil {
		t.Fatal(err)
	}
	c.Origin = origin
	if err := ledger.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return o
}

const newBoards = 2 // of each round

// round starts the station. It finishes the boards of the round before, begins
// with new ones, and loses its power: where it comes to the point, after some
// bytes to a board if point is "wire", or nowhere if it is "".
func (o *blackout) round(point string) {
	o.t.Helper()
	plan := outagePlan{Bench: o.bench, Disk: o.dir, Old: o.open, Point: point, Mutant: o.mutant}
	limit := 0
	if point == "wire" {
		limit = 100 + o.seed.IntN(5000)
	}
	var full chan struct{}
	for range newBoards {
		if point == "" {
			break
		}
		w := newWire(o.t, o.bench, len(o.wires), limit)
		o.wires, plan.New, full = append(o.wires, w), append(plan.New, w.socket), w.full
	}
	raw, err := json.Marshal(plan)
	if err != nil {
		o.t.Fatal(err)
	}
	c := exec.CommandContext(o.t.Context(), os.Args[0])
	c.Env = append(os.Environ(), outageEnv+"="+string(raw))
	var errs bytes.Buffer
	c.Stderr = &errs
	said, err := c.StdoutPipe()
	if err != nil {
		o.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		o.t.Fatal(err)
	}
	cut := o.listen(c.Process, said, full, point)
	err = c.Wait()
	if (point == "") != (err == nil) || cut != (point != "") {
		o.t.Fatalf("the station at %q: %v\n%s", point, err, errs.Bytes())
	}
	if cut {
		o.back()
	}
	o.open = nil
	for _, s := range append(plan.Old, plan.New...) {
		if !o.isPassed(s) {
			o.open = append(o.open, s)
		}
	}
}

// listen notes what the station says, takes its power away at the point or
// when full is closed, and returns when it is gone.
func (o *blackout) listen(p *os.Process, said io.Reader, full <-chan struct{}, point string) (cut bool) {
	o.t.Helper()
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(said); s.Scan(); {
			lines <- s.Text()
		}
	}()
	for {
		select {
		case <-full:
			full, cut = nil, true
			o.die(p)
		case line, more := <-lines:
			if !more {
				return cut
			}
			if here := o.hear(line); !cut && point != "" && (here == point || here == "done" && point == "wire") {
				full, cut = nil, true
				o.die(p)
			}
		}
	}
}

// hear takes one line of the station's; of one that tells of a point it
// returns its name.
func (o *blackout) hear(line string) string {
	o.t.Helper()
	word := strings.Fields(line)
	switch {
	case len(word) == 2 && word[0] == "at":
		return word[1]
	case len(word) == 5 && word[0] == "passed":
		seq, err := strconv.ParseInt(word[1], 10, 64)
		if err != nil {
			o.t.Fatal(err)
		}
		note, err := base64.StdEncoding.DecodeString(word[4])
		if err != nil {
			o.t.Fatal(err)
		}
		o.passed[word[2]] = pass{seq, word[2], word[3], note}
	}
	return ""
}

func (o *blackout) isPassed(socket string) bool {
	i := slices.IndexFunc(o.wires, func(w *wire) bool { return w.socket == socket })
	for _, p := range o.passed {
		if leaves := o.wires[i].leaves(); len(leaves) > 0 && p.cert == digestOf(leaves[len(leaves)-1]) {
			return true
		}
	}
	return false
}

// survey reads the ledger as the cut left it and says what is missing of what
// left the station, or wrong.
func (o *blackout) survey() (wrong []string) {
	o.t.Helper()
	ctx := o.t.Context()
	r, err := reader.Open(ctx, filepath.Join(o.dir, "ledger.db"))
	if err != nil {
		return []string{err.Error()}
	}
	defer r.Close()
	issued, err := r.EntriesOf(ctx, reader.Query{Kinds: []string{record.KindIssued}})
	if err != nil {
		o.t.Fatal(err)
	}
	wrong = append(twice(issued), o.unrecorded(r, issued)...)
	var notes [][]byte
	for _, p := range o.passed {
		notes = append(notes, p.note)
		e, err := r.Entry(ctx, 1, p.seq)
		if err != nil || e.Body.Kind != record.KindEnd || e.Body.Outcome != record.Passed || e.Body.Serial != p.serial || e.Body.Cert != p.cert {
			wrong = append(wrong, fmt.Sprintf("%s was shown as PASS by entry %d, which is %s %s of %s, %v", p.serial, p.seq, e.Body.Kind, e.Body.Outcome, e.Body.Serial, err))
		}
	}
	b, err := openCrashTPM(ctx, o.bench)
	if err != nil {
		o.t.Fatal(err)
	}
	defer b.tpm.Close()
	report, err := audit.Verify(ctx, r, audit.Anchors{Keys: []*record.Verifier{b.verifier(o.t)}, Known: notes})
	if err != nil {
		o.t.Fatal(err)
	}
	if !report.OK() || !report.Proven {
		wrong = append(wrong, report.Verdict())
	}
	return wrong
}

const leftUnrecorded = "bytes of a certificate left that is not on record"

// unrecorded are certificates that came over a wire, the first bytes of one
// included, and that the ledger does not have for that board.
func (o *blackout) unrecorded(r *reader.Reader, issued []record.Entry) (wrong []string) {
	o.t.Helper()
	known := map[string][][]byte{} // by uid
	for _, e := range issued {
		der, err := r.Blob(o.t.Context(), e.Body.Cert)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("certificate of entry %d: %v", e.Seq, err))
		}
		known[e.Body.UID] = append(known[e.Body.UID], der)
	}
	for _, w := range o.wires {
		for _, leaf := range w.leaves() {
			if !slices.ContainsFunc(known[w.uid], func(der []byte) bool { return bytes.HasPrefix(der, leaf) }) {
				wrong = append(wrong, fmt.Sprintf("board %s: %s", w.uid, leftUnrecorded))
			}
		}
	}
	return wrong
}

// twice are keys, certificate serials and labels that were given away twice.
func twice(issued []record.Entry) (wrong []string) {
	for what, of := range map[string]func(record.Body) (name, holder string){
		"key":                func(b record.Body) (string, string) { return b.SPKI, b.Cert },
		"certificate serial": func(b record.Body) (string, string) { return b.CertSerial, b.Cert },
		"label":              func(b record.Body) (string, string) { return b.Serial, b.UID },
	} {
		holders := map[string]string{}
		for _, e := range issued {
			name, holder := of(e.Body)
			if h, taken := holders[name]; taken && h != holder {
				wrong = append(wrong, fmt.Sprintf("%s %s was given away twice", what, name))
			}
			holders[name] = holder
		}
	}
	return wrong
}

// commitPoints are where the station's state changes for good, in the order of
// a run, then those of a seal (internal/ledger/seal.go).
var commitPoints = []string{
	"key", "issuing", "signed", "issued", "installed", "proven", "locked", "end", "checkpoint", "passed",
	"seal", "increment", "incremented", "certify", "certified",
}

const wireCuts = 3

// TestPowerCut takes the power away from a whole station at every commit point
// and, by a seed, in the middle of its conversations: whatever left it is on
// record afterwards, every board ends with one certificate, the ledger is
// valid. The rig is seen to catch a station that sends before it records.
func TestPowerCut(t *testing.T) {
	if !powercut.Enter(t) {
		return
	}
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) { newPowerCuts(t, kind).everywhere() })
		t.Run(kind+" mutant sends first", func(t *testing.T) { newPowerCuts(t, kind).caught() })
	}
}

// everywhere has the station die at every point, and lets it end at last.
func (o *blackout) everywhere() {
	o.t.Helper()
	points := slices.Concat(commitPoints, slices.Repeat([]string{"wire"}, wireCuts))
	for _, point := range append(points, "") {
		o.round(point)
		if wrong := o.survey(); len(wrong) > 0 {
			o.t.Fatalf("after its death at %q: %q", point, wrong)
		}
	}
	if len(o.open) > 0 || len(o.passed) != newBoards*len(points) {
		o.t.Errorf("%d boards passed, %d did not", len(o.passed), len(o.open))
	}
	o.t.Logf("%d deaths, %d boards, nothing lost", len(points), len(o.passed))
}

// caught demands that the rig notices a station that sends before it records.
func (o *blackout) caught() {
	o.t.Helper()
	o.mutant = true
	o.round("installed")
	if wrong := o.survey(); len(wrong) == 0 || !strings.HasSuffix(wrong[0], leftUnrecorded) {
		o.t.Errorf("a station that sends before it records is not noticed: the rig is blind: %q", wrong)
	}
}

// verifier is that of the bench's checkpoint key.
func (b *crashOpen) verifier(t *testing.T) *record.Verifier {
	t.Helper()
	key, err := b.tpm.Key(t.Context(), b.keys.Checkpoint, crashPIN)
	if err != nil {
		t.Fatal(err)
	}
	o, err := record.ParseOrigin(origin)
	if err != nil {
		t.Fatal(err)
	}
	v, err := record.NewVerifier(o, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return v
}
