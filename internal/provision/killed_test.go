// SPDX-License-Identifier: Apache-2.0

//go:build linux

package provision_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/powercut"
	"provisioning.example/station/internal/record"
)

// newKills is a station that is killed.
func newKills(t *testing.T) *blackout {
	t.Helper()
	return newBlackout(t, &blackout{dir: t.TempDir(), back: func() {}, die: func(p *os.Process) {
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
	}})
}

// TestKilledEverywhere is the same with a station that is killed.
func TestKilledEverywhere(t *testing.T) {
	newKills(t).everywhere()
	t.Run("mutant sends first", func(t *testing.T) { newKills(t).caught() })
}

// TestKilledWhileSigningOff kills a station before each step that lasts while
// somebody signs off: at last there is one sign-off, and the ledger is valid
// each time.
func TestKilledWhileSigningOff(t *testing.T) {
	o := newKills(t)
	o.round("end")
	o.round("")
	raw, err := json.Marshal(outagePlan{Bench: o.bench, Disk: o.dir, SignOff: true})
	if err != nil {
		t.Fatal(err)
	}
	sign := func(n int) (killed bool) {
		said, err := os.Create(filepath.Join(o.bench, "said"))
		if err != nil {
			t.Fatal(err)
		}
		defer said.Close()
		c := exec.Command(os.Args[0])
		c.Env, c.Stdout, c.Stderr = append(os.Environ(), outageEnv+"="+string(raw)), said, said
		if killed, err = powercut.KillAtStep(c, n); err != nil {
			t.Fatal(err)
		}
		if wrong := o.survey(); len(wrong) > 0 {
			t.Fatalf("killed before step %d: %q", n, wrong)
		}
		return killed
	}
	n := 1
	for ; sign(n); n++ {
	}
	r, err := reader.Open(t.Context(), filepath.Join(o.dir, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	signed, err := r.EntriesOf(t.Context(), reader.Query{Kinds: []string{record.KindSignoff}})
	if err != nil || len(signed) != 1 || signed[0].Body.From != 1 || signed[0].Body.RunsPassed < newBoards {
		t.Errorf("after %d deaths there are %d sign-offs, want one of all %d units: %+v %v", n-1, len(signed), newBoards, signed, err)
	}
	t.Logf("killed before each of %d steps", n-1)
}
