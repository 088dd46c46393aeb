// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "provisioning.example/station/"

// floors is the plan of the house: which rooms of ours each room may import.
// A room imports only rooms below it; rooms on one floor do not import each
// other, but for parent and child. CONTRIBUTING shows the picture.
var floors = map[string][]string{
	// ground
	"internal/smp":            {},
	"internal/port":           {},
	"internal/record":         {},
	"internal/record/bundle":  {"internal/record"},
	"internal/record/dossier": {"internal/record"},
	"internal/issuer":         {},
	"internal/tpm":            {},
	"internal/attest":         {},
	"internal/settings":       {},
	"internal/filter":         {},
	"internal/operator":       {"internal/settings"},
	"internal/order":          {"internal/settings"},
	"internal/label":          {"internal/settings"},
	"internal/vector":         {},
	"assets":                  {},
	// floor 1
	"internal/enroll":         {"internal/smp"},
	"internal/flasher":        {"internal/smp", "internal/settings"},
	"internal/virtual":        {"internal/smp"},
	"internal/ledger":         {"internal/record", "internal/ledger/reader"},
	"internal/ledger/reader":  {"internal/record"},
	"internal/figures":        {"internal/record"},
	"internal/audit":          {"internal/record", "internal/record/bundle", "internal/record/dossier", "internal/issuer", "internal/attest", "internal/audit/ceremony"},
	"internal/audit/ceremony": {"internal/record", "internal/attest"},
	// floor 2
	"internal/provision": {
		"internal/enroll", "internal/smp", "internal/ledger", "internal/ledger/reader", "internal/record",
		"internal/issuer", "internal/tpm", "internal/settings", "internal/flasher", "internal/filter", "internal/order", "internal/operator", "internal/label",
	},
	"internal/authority": {"internal/tpm", "internal/attest", "internal/audit/ceremony", "internal/issuer", "internal/ledger", "internal/ledger/reader", "internal/record", "internal/settings"},
	"internal/export":    {"internal/ledger/reader", "internal/figures", "internal/record", "internal/record/bundle", "internal/record/dossier", "internal/issuer"},
	"internal/conform":   {"internal/enroll", "internal/smp"},
	"internal/plant":     {"internal/record", "internal/record/bundle", "internal/audit"},
	// a throw-away PostgreSQL for tests and benchmarks
	"internal/plant/postgres": {},
	// signed ledgers of any length, for the same
	"internal/plant/specimen": {"internal/record", "internal/record/bundle"},
	// disks that lose their power, fill up or break, for tests
	"internal/powercut": {},
	// floor 3
	"ui": {"internal/provision", "internal/figures", "internal/ledger/reader", "internal/record", "assets"},
	// roof
	"cmd/station": {
		"ui", "assets", "internal/provision", "internal/authority", "internal/export", "internal/conform", "internal/enroll", "internal/virtual",
		"internal/audit", "internal/audit/ceremony", "internal/ledger", "internal/ledger/reader", "internal/smp", "internal/port", "internal/record", "internal/record/bundle",
		"internal/issuer", "internal/tpm", "internal/attest", "internal/settings", "internal/operator", "internal/order", "internal/filter", "internal/plant", "internal/label",
	},
	"cmd/ledger-verify": {"internal/audit", "internal/record", "internal/record/bundle", "internal/record/dossier"},
	// beside
	"firmware":    {"internal/vector"},
	".ci/testsum": {},
	// a module of its own, for the peers it measures against
	"bench": {
		"bench/clock", "bench/line", "bench/lot", "bench/proxy", "internal/authority", "internal/enroll", "internal/issuer",
		"internal/ledger", "internal/ledger/reader", "internal/record", "internal/smp", "internal/tpm", "internal/virtual",
		"internal/plant", "internal/plant/postgres", "internal/plant/specimen",
	},
	"bench/clock":  {},
	"bench/second": {}, // only tests: another's tools read what the station makes
	"bench/line":   {"bench/clock"},
	"bench/proxy":  {"bench/clock"},
	// real signed ledgers of any length
	"bench/lot":            {"internal/authority", "internal/ledger", "internal/ledger/reader", "internal/record", "internal/settings", "internal/tpm"},
	"bench/cmd/make-lot":   {"bench/lot"},
	"bench/cmd/paced-line": {"bench/line"},
	"bench/cmd/tpm-proxy":  {"bench/proxy"},
}

// only names the rooms that may import a package that is not ours.
var only = map[string][]string{
	"fyne.io/fyne/":                   {"ui", "assets", "cmd/station"},
	"go.bug.st/serial":                {"internal/port"},
	"github.com/google/go-tpm":        {"internal/tpm", "internal/attest"},
	"github.com/xuri/excelize":        {"internal/export"},
	"github.com/boombuler/barcode":    {"internal/label"},
	"database/sql":                    {"internal/ledger", "internal/ledger/reader", "bench", "bench/lot"},
	"github.com/mattn/go-sqlite3":     {"internal/ledger", "internal/ledger/reader"},
	"github.com/jackc/pgx":            {"internal/plant", "bench"},
	"github.com/spf13/cobra":          {"cmd/station"},
	"github.com/pelletier/go-toml/v2": {"internal/settings", "internal/issuer", "cmd/station", "internal/provision", "internal/operator"},
}

// external test packages may reach any room below the roof.
func isTest(path string) bool { return strings.HasSuffix(path, "_test.go") }

func TestFloors(t *testing.T) {
	seen := map[string]bool{}
	for path, imports := range sources(t, "../..") {
		room := filepath.ToSlash(filepath.Dir(path))
		allowed, planned := floors[room]
		if !planned {
			t.Errorf("%s: the room %s is not on the plan", path, room)
			continue
		}
		seen[room] = true
		for _, imp := range imports {
			if own, ok := strings.CutPrefix(imp, module); ok && own != room && !isTest(path) && !slices.Contains(allowed, own) {
				t.Errorf("%s: %s may not import %s", path, room, own)
			}
			for prefix, rooms := range only {
				if strings.HasPrefix(imp, prefix) && !slices.Contains(rooms, room) && !isTest(path) {
					t.Errorf("%s: %s may not import %s", path, room, imp)
				}
			}
		}
	}
	for room := range floors {
		if !seen[room] {
			t.Errorf("%s is on the plan, but has no source", room)
		}
	}
}

// TestPlanPointsDown checks the table itself: no two rooms import each other,
// over any number of rooms between.
func TestPlanPointsDown(t *testing.T) {
	var visit func(room string, path []string)
	visit = func(room string, path []string) {
		if slices.Contains(path, room) {
			t.Fatalf("the plan has a circle: %v %s", path, room)
		}
		for _, below := range floors[room] {
			visit(below, append(slices.Clone(path), room))
		}
	}
	for room := range floors {
		visit(room, nil)
	}
}

// sources reads the imports of every Go file of the repository.
func sources(t *testing.T, root string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == ".git" || name == ".cache" || name == "bin" || name == "artifacts" || name == "build") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		imports := []string{}
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			imports = append(imports, p)
		}
		out[rel] = imports
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
