// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	plantdb "provisioning.example/station/internal/plant"
	"provisioning.example/station/internal/plant/postgres"
)

// TestPlantOfTwoStations carries bundles of two stations into PostgreSQL and
// the plant's word back, as people with a stick do.
func TestPlantOfTwoStations(t *testing.T) {
	t.Parallel()
	server, err := postgres.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	db := server.URL("postgres")
	p := newPlant(t, posixProduct)
	ports := p.agents(2)
	p.must(p.batchArgs(ports[:1])...)
	_, must := p.neighbour("line-2")
	must(p.batchArgs(ports[1:])...)
	first, second := p.path("first.bundle"), p.path("second.bundle")
	p.must("ledger", "export", "--format", "bundle", "--out", first)
	must("ledger", "export", "--format", "bundle", "--out", second)

	vkey := strings.TrimSpace(p.must("plant", "init", "--key", p.path("plant.key"), "--name", "plant.example/ulm"))
	p.refused("is there already", "plant", "init", "--key", p.path("plant.key"), "--name", "plant.example/ulm")
	into := []string{"plant", "import", "--db", db, "--root", p.path("root/root.pem"), "--key", p.path("plant.key"), "--cosigned", p.path("back")}
	out := p.must(append(into, first, second)...)
	if !strings.Contains(out, "first.bundle: plant/line-1, ") || !strings.Contains(out, "second.bundle: plant/line-2, ") || strings.Contains(out, "nothing new") {
		t.Errorf("imported: %s", out)
	}
	if out := p.must(append(into, first)...); !strings.Contains(out, "plant/line-1, nothing new in ") {
		t.Errorf("again: %s", out)
	}
	if out := p.must("plant", "duplicates", "--db", db); strings.Contains(out, "line-") {
		t.Errorf("duplicates: %s", out)
	}
	if out := p.must("plant", "status", "--db", db); !strings.Contains(out, "plant/line-1/1  ") || !strings.Contains(out, "plant/line-2/1  ") {
		t.Errorf("status: %s", out)
	}
	p.plantRefuses(db, first)

	cosigned := p.path("back/plant_line-1_1.cosigned")
	p.refused("no plant is known", "ledger", "cosign", cosigned)
	p.refused("it is of ledger plant/line-2/1", "ledger", "cosign", p.path("back/plant_line-2_1.cosigned"), "--key", vkey)
	if out := p.must("ledger", "cosign", cosigned, "--key", p.path("plant.key.vkey")); !strings.Contains(out, "plant.example/ulm confirmed ") {
		t.Errorf("cosign: %s", out)
	}
	p.must("ledger", "cosign", cosigned) // the key is known now
	if out := p.must("ledger", "verify"); !strings.Contains(out, "valid") {
		t.Errorf("the ledger: %s", out)
	}
	p.cosignedBundle(first, cosigned)
	if out := p.must(append(into, p.path("third.bundle"))...); !strings.Contains(out, " are new") {
		t.Errorf("the station's next bundle: %s", out)
	}
}

// plantRefuses imports what may not come in beside what may.
func (p *plant) plantRefuses(db, good string) {
	t := p.t
	t.Helper()
	raw, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/3] ^= 4
	p.write("bad.bundle", string(raw))
	code, out, errs := p.do("--json", "plant", "import", "--db", db, "--root", p.path("root/root.pem"), p.path("bad.bundle"), good)
	if code != exitUnits || !strings.Contains(errs, "1 of 2 bundles are in quarantine") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	var results []plantdb.Result
	for line := range strings.Lines(out) {
		var r plantdb.Result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
	}
	if len(results) != 2 || results[0].Quarantine != plantdb.Invalid || results[1].Quarantine != "" || !results[1].Known {
		t.Errorf("%+v", results)
	}
	if out := p.must("plant", "quarantine", "--db", db); !strings.Contains(out, "bad.bundle") || !strings.Contains(out, "invalid") {
		t.Errorf("quarantine: %s", out)
	}
	p.refused("holds a password", "plant", "status", "--db", "postgres://plant:secret@localhost/plant")
	p.refused("--root is needed", "plant", "import", "--db", db, good)
	p.refused("belong together", "plant", "import", "--db", db, "--root", p.path("root/root.pem"), "--cosigned", p.path("back"), good)
}

// cosignedBundle wants the next bundle to carry the cosigned checkpoint, and the
// auditor to take that for one seen before.
func (p *plant) cosignedBundle(first, cosigned string) {
	t := p.t
	t.Helper()
	third := p.path("third.bundle")
	p.must("ledger", "export", "--format", "bundle", "--out", third)
	raw, err := os.ReadFile(third)
	if err != nil {
		t.Fatal(err)
	}
	note, err := os.ReadFile(cosigned)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), string(note)) {
		t.Error("the bundle does not carry the cosigned checkpoint")
	}
	verify := ledgerVerify(t)
	judge := func(bundle string) (string, error) {
		out, err := exec.Command(verify, "--root", p.path("root/root.pem"), "--known", cosigned, bundle).CombinedOutput()
		return string(out), err
	}
	if out, err := judge(third); err != nil || !strings.Contains(out, "valid, origin proven") {
		t.Errorf("%v\n%s", err, out)
	}
	// The first bundle ends before the checkpoint it was made under, which the plant has confirmed.
	if out, err := judge(first); err == nil || !strings.Contains(out, "rolled back") {
		t.Errorf("%s with %s: %v\n%s", filepath.Base(first), cosigned, err, out)
	}
}
