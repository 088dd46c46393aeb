// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

// dated appends a start and a stop of another time, as a station does whose clock
// is wrong.
func (p *plant) dated(at time.Time) {
	p.t.Helper()
	g := &globals{home: p.path("home"), operator: "op-1", logLevel: "error"}
	b, err := openBare(g)
	if err != nil {
		p.t.Fatal(err)
	}
	defer b.Close()
	if err := b.openTPM(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	auth, err := makeAuth(b.home.authPath())
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := ledgerConfig(p.t.Context(), b.tpm, b.home.cfg.Keys, auth, "op-1", b.log)
	if err != nil {
		p.t.Fatal(err)
	}
	c.Path, c.Origin = b.home.ledgerPath(), b.home.origin()
	c.Now = func() time.Time { return at }
	l, err := ledger.Open(p.t.Context(), c)
	if err != nil {
		p.t.Fatal(err)
	}
	defer l.Close()
	ms, _, _, err := b.tpm.Clock(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	start := record.Body{Kind: record.KindStart, TPM: "swtpm", TPMClock: int64(ms), Operator: "op-1", Software: "test", Time: record.Timestamp(at)}
	stop := record.Body{Kind: record.KindStop, Operator: "op-1", Software: "test", Time: record.Timestamp(at)}
	if _, err := l.Append(p.t.Context(), ledger.Batch{Bodies: []record.Body{start, stop}}); err != nil {
		p.t.Fatal(err)
	}
}

// TestAcceptClock writes entries of another year: nothing opens the ledger for
// work until somebody else than who acts says that the clock is right, on
// record. An entry dated 2036 does not end the station.
func TestAcceptClock(t *testing.T) {
	for name, c := range map[string]struct {
		at   time.Time
		want string
		what string
	}{
		"in ten years":  {time.Now().AddDate(10, 0, 0), "set the clock", "accepted behind what was known"},
		"ten weeks ago": {time.Now().AddDate(0, 0, -70), "70 days after all that", "accepted after a gap"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlant(t, posixProduct)
			ports := p.agents(1)
			p.dated(c.at)
			entries := p.count(record.KindStart)
			p.refused(c.want, p.batchArgs(ports)...)
			p.refused("station doctor --accept-clock", "ca", "request", "--pin-file", p.path("pin"))
			if code, out, _ := p.do("doctor"); code != exitUnfit || !hasStop(out, "clock") || !strings.Contains(out, "--accept-clock") {
				t.Errorf("doctor: exit %d\n%s", code, out)
			}
			p.refused("--reason", "doctor", "--accept-clock", "--approver", "qa-1")
			p.refused("--approver", "doctor", "--accept-clock", "--reason", "the battery was empty")
			p.refused("somebody else", "doctor", "--accept-clock", "--reason", "x", "--operator", "a", "--approver", "a")
			if n := p.count(record.KindStart); n != entries {
				t.Errorf("the ledger was opened for work %d times with a clock that is not believed", n-entries)
			}
			p.must("doctor", "--accept-clock", "--reason", "the battery was empty", "--approver", "qa-1")
			p.must(p.batchArgs(ports)...)
			p.content()
			p.must("doctor", "--accept-clock", "--reason", "once more", "--approver", "qa-1") // there is nothing to accept
			p.sqlite(`select count(*), json_extract(body, '$.what'), json_extract(body, '$.approver') from entry where kind = 'clock'`, "1|"+c.what+"|qa-1")
		})
	}
}

// TestStartNotesTPMClock: every start notes how long the TPM was powered.
func TestStartNotesTPMClock(t *testing.T) {
	p := newPlant(t, posixProduct)
	var now uint64
	p.withTPM(func(m *tpm.TPM) {
		var err error
		if now, _, _, err = m.Clock(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	p.sqlite(`select count(*) = count(json_extract(body, '$.tpm_clock_ms')) and count(*) > 1 from entry where kind = 'start'`, "1")
	if now == 0 {
		t.Error("the TPM's clock stands at 0")
	}
}
