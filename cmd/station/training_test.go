// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"
)

// TestTraining: what is practised with a real order goes by its numbers, is
// marked, and leaves no trace in the station's own home.
func TestTraining(t *testing.T) {
	p := newPlant(t, posixProduct)
	p.must("order", "import", p.order3(t))
	before := p.read("home/ledger/ledger.db")
	args := []string{"training", "--headless", "--json", "--boards", "3", "--order", "WO-7", "--dir", p.path("practice")}
	code, out, errs := p.do(append(args, "--faults")...)
	units, sum := events(t, out)
	if code != exitUnits || sum.Passed != 2 || sum.Failed != 1 || !strings.Contains(errs, "TRAINING, SIMULATED TPM") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	for _, u := range units {
		if u.Outcome == "passed" && !strings.HasPrefix(u.Serial, "PC-01") {
			t.Errorf("%+v", u)
		}
	}
	raw, err := os.ReadFile(p.path("practice/root/root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil || root.Subject.CommonName != "TRAINING root" {
		t.Errorf("%v, %v", root.Subject, err)
	}
	out = p.must("--home", p.path("practice/home"), "ledger", "list", "--json", "--limit", "1")
	if !strings.Contains(out, `"station":"training/station"`) || !strings.Contains(out, "TRAINING board") {
		t.Error(out)
	}
	if !bytes.Equal([]byte(before), []byte(p.read("home/ledger/ledger.db"))) || p.orders()["WO-7"].Done != 0 {
		t.Error("training changed the station's ledger")
	}
}

// TestTrainingSmallOrder: with more boards than the order wants, as many are
// practised with as it wants.
func TestTrainingSmallOrder(t *testing.T) {
	p := newPlant(t, posixProduct)
	p.must("order", "import", p.order3(t))
	code, out, errs := p.do("training", "--headless", "--json", "--boards", "5", "--order", "WO-7", "--dir", p.path("practice"))
	if _, sum := events(t, out); code != exitPassed || sum.Passed != 3 {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if out := p.must("--home", p.path("practice/home"), "ledger", "list", "--json"); strings.Count(out, "\n") != 3 {
		t.Errorf("ends on record:\n%s", out)
	}
}
