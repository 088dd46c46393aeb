// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"provisioning.example/station/internal/provision"
)

var update = flag.Bool("update", false, "write docs/faults.md anew")

const faultsPage = "../../docs/faults.md"

// TestFaultsPage compares docs/faults.md with the catalogue; -update writes it.
func TestFaultsPage(t *testing.T) {
	want := faultsText()
	if *update {
		if err := os.WriteFile(faultsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(faultsPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/faults.md differs from the catalogue; write it anew with: go test ./internal/provision -run TestFaultsPage -update")
	}
}

func faultsText() string {
	var b strings.Builder
	b.WriteString(`# Faults

Every run that does not pass ends with one code: F-STEP-NN. Codes are never
renumbered. The action is the one thing to do: retry (always safe), reject unit
(put the board aside), stop station (nothing starts until it is mended).

This page is written by the program's own table:
` + "`go test ./internal/provision -run TestFaultsPage -update`" + `.

`)
	b.WriteString("| code | what happened | what to do | action |\n|---|---|---|---|\n")
	row := func(f provision.Fault) {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.Code, f.Sentence, f.Remedy, f.Action)
	}
	for _, f := range provision.Catalogue() {
		row(f)
	}
	b.WriteString("\nAt every step that talks to the board, besides, with STEP one of")
	for _, s := range provision.Steps() {
		b.WriteString(" " + s.Code)
	}
	b.WriteString(":\n\n| code | what happened | what to do | action |\n|---|---|---|---|\n")
	for _, f := range provision.Common("STEP") {
		row(f)
	}
	return b.String()
}

var codePattern = regexp.MustCompile(`^F-[A-Z]+-[0-9]{2}$`)

// TestCatalogue: codes are well-formed, unique, of an existing step, and each
// sentence is short enough for a card.
func TestCatalogue(t *testing.T) {
	steps := map[string]bool{"RECORD": true, "LINE": true} // of no step: the ledger, and the stop rules
	for _, s := range provision.Steps() {
		steps[s.Code] = true
	}
	seen := map[string]bool{}
	for _, f := range provision.Catalogue() {
		switch {
		case !codePattern.MatchString(f.Code) || !strings.HasPrefix(f.Code, "F-"+f.Step+"-") || !steps[f.Step]:
			t.Errorf("%s at step %s is malformed", f.Code, f.Step)
		case seen[f.Code]:
			t.Errorf("%s stands twice", f.Code)
		case f.Sentence == "" || f.Remedy == "" || len(f.Sentence) > 75 || len(f.Remedy) > 60:
			t.Errorf("%s: sentence of %d, remedy of %d bytes", f.Code, len(f.Sentence), len(f.Remedy))
		}
		seen[f.Code] = true
	}
}
