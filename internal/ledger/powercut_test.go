// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ledger_test

import (
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/powercut"
	"provisioning.example/station/internal/record"
)

// outage is a ledger on a disk that loses its power, again and again.
type outage struct {
	t      *testing.T
	disk   *powercut.Disk
	config ledger.Config
	seed   *rand.Rand
	acked  map[int64]string
	shown  [][]byte
}

func newOutage(t *testing.T, kind string) *outage {
	t.Helper()
	o := &outage{t: t, disk: powercut.New(t, kind, 0), seed: rand.New(rand.NewPCG(1, 1)), acked: map[int64]string{}}
	der, err := x509.MarshalECPrivateKey(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.disk.Dir(), "key.der"), der, 0o600); err != nil {
		t.Fatal(err)
	}
	if o.config, err = crashConfig(o.disk.Dir()); err != nil {
		t.Fatal(err)
	}
	o.disk.Flush() // of the key only: the ledger looks after itself
	if err := ledger.Create(t.Context(), o.config); err != nil {
		t.Fatal(err)
	}
	return o
}

// cut lets the station write until it has told of some commits, and takes the power away.
func (o *outage) cut(weak string) {
	o.t.Helper()
	// Up to where SQLite folds its log into the file, and beyond.
	after := 20 + o.seed.IntN(400)
	o.shown = append(o.shown, end(o.t, o.disk.Dir(), weak, after, o.acked, o.disk.CutUnder)...)
	o.disk.Restore()
}

// survey starts the ledger again and says what is missing of what left the station, or wrong.
func (o *outage) survey() (wrong []string) {
	o.t.Helper()
	l, err := ledger.Open(o.t.Context(), o.config)
	if err != nil {
		return []string{err.Error()}
	}
	defer l.Close() //nolint:errcheck // it is opened again
	missing := 0
	for seq, detail := range o.acked {
		e, err := l.Reader().Entry(o.t.Context(), 1, seq)
		if err != nil || e.Body.Detail != detail {
			missing++
		}
		if b, err := l.Reader().Blob(o.t.Context(), hexOf(detail)); err != nil || string(b) != detail {
			missing++
		}
	}
	if missing > 0 {
		wrong = append(wrong, fmt.Sprintf("%d entries and blobs are missing, %s", missing, wereAcknowledged))
	}
	s, err := l.Reader().Snapshot(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // read only
	report, err := audit.Verify(o.t.Context(), s, audit.Anchors{Keys: []*record.Verifier{l.Verifier()}, Known: o.shown})
	if err != nil {
		o.t.Fatal(err)
	}
	if !report.OK() || !report.Proven {
		wrong = append(wrong, report.Verdict())
	}
	return wrong
}

const (
	wereAcknowledged = "which were acknowledged"

	cuts      = 6
	cutsAtMax = 40 // until the mutant is caught: about every second cut does
)

// TestPowerCut takes the power of the disk away while a station writes its ledger: what was acknowledged is there afterwards, once and in
// place, and every checkpoint that was ever shown is one of its history. The rig is seen to catch a ledger that is not flushed:
// with synchronous=NORMAL acknowledged entries must be lost.
func TestPowerCut(t *testing.T) {
	if !powercut.Enter(t) {
		return
	}
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			o := newOutage(t, kind)
			for i := range cuts {
				o.cut("")
				if wrong := o.survey(); len(wrong) > 0 {
					t.Fatalf("cut %d: %q", i+1, wrong)
				}
			}
			t.Logf("%d cuts, %d acknowledged batches, %d checkpoints, nothing lost", cuts, len(o.acked), len(o.shown))
		})
		t.Run(kind+" mutant NORMAL", func(t *testing.T) {
			o := newOutage(t, kind)
			for i := range cutsAtMax {
				o.cut("NORMAL")
				switch wrong := o.survey(); {
				case len(wrong) > 0 && strings.HasSuffix(wrong[0], wereAcknowledged):
					t.Logf("caught at cut %d: %q", i+1, wrong)
					return
				case len(wrong) > 0:
					t.Fatalf("cut %d: %q", i+1, wrong)
				}
			}
			t.Fatalf("a ledger with synchronous=NORMAL lost nothing in %d power cuts: the rig is blind", cutsAtMax)
		})
	}
}
