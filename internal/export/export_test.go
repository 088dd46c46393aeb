// SPDX-License-Identifier: Apache-2.0

package export_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// filled is a real ledger with an entry for each of the details.
func filled(t *testing.T, details ...string) *reader.Reader {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Origin: "ulm/st-07/1", Signer: key}
	if err := ledger.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	var bodies []record.Body
	for i, d := range details {
		b := record.Body{Kind: record.KindStop, Operator: "op-17", Software: "test", Detail: d}
		if i%2 == 1 {
			b.Kind, b.Role = record.KindLogin, "qa"
		}
		bodies = append(bodies, b)
	}
	for some := range slices.Chunk(bodies, 64) {
		if _, err := l.Append(t.Context(), ledger.Batch{Bodies: some}); err != nil {
			t.Fatal(err)
		}
	}
	return l.Reader()
}

func TestJSONLIsTheStoredBytes(t *testing.T) {
	r := filled(t, "one", "two, \"three\"", "ü")
	var out bytes.Buffer
	result, err := export.Write(t.Context(), &out, "jsonl", r, export.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for e, err := range r.Raw(t.Context(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(append(want, e.Raw...), '\n')
	}
	if !bytes.Equal(out.Bytes(), want) || len(want) == 0 {
		t.Errorf("exported\n%s\nstored\n%s", out.Bytes(), want)
	}
	sum := sha256.Sum256(want)
	if result != (export.Result{Rows: 3, Bytes: int64(len(want)), SHA256: hex.EncodeToString(sum[:])}) {
		t.Errorf("%+v", result)
	}
	out.Reset()
	if result, err = export.Write(t.Context(), &out, "jsonl", r, export.Options{Kinds: []string{record.KindLogin}}); err != nil || result.Rows != 1 {
		t.Errorf("one kind: %+v, %v", result, err)
	}
	if _, err := export.Write(t.Context(), &out, "xml", r, export.Options{}); err == nil || !strings.Contains(err.Error(), "csv, html, jsonl, xlsx") {
		t.Errorf("unknown format: %v", err)
	}
}

func TestCSVReadsBackAndIsNoFormula(t *testing.T) {
	details := []string{
		"plain", "a, b", `say "so"`, "=1+1", "+49 731", "-1", "@SUM(A1)", "＝1", "＋1", "－1", "＠x", "0007", " =1", "ü€😀", "'=1",
	}
	r := filled(t, details...)
	var out bytes.Buffer
	result, err := export.Write(t.Context(), &out, "csv", r, export.Options{})
	if err != nil || result.Rows != int64(len(details)) {
		t.Fatalf("%+v, %v", result, err)
	}
	if lines := strings.Count(out.String(), "\r\n"); lines != len(details)+1 || strings.Count(out.String(), "\n") != lines {
		t.Errorf("%d lines end in CRLF", lines)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.Index(rows[0], "detail")
	for i, d := range details {
		got := rows[i+1][at]
		want := d
		if strings.ContainsAny(string([]rune(d)[:1]), "=+-@＝＋－＠") {
			want = "'" + d
		}
		if got != want {
			t.Errorf("%q is exported as %q, want %q", d, got, want)
		}
		if rows[i+1][1] != strconv.Itoa(i+1) || len(rows[i+1][slices.Index(rows[0], "leaf_hash")]) != 64 {
			t.Errorf("row %d is %q", i+1, rows[i+1])
		}
	}
}

// stopping is a source that ends with what happens after some entries.
type stopping struct {
	export.Source
	after int
	then  func() error
}

func (s stopping) Raw(ctx context.Context, epoch int, seq int64) iter.Seq2[record.Entry, error] {
	return func(yield func(record.Entry, error) bool) {
		n := 0
		for e, err := range s.Source.Raw(ctx, epoch, seq) {
			if n++; n > s.after {
				err = s.then()
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func TestFileIsWholeOrNotThere(t *testing.T) {
	r := filled(t, "one", "two", "three")
	dir := t.TempDir()
	path := filepath.Join(dir, "out.csv")
	cancelled, cancel := context.WithCancel(t.Context())
	broken := errors.New("the disk is broken")
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	for name, try := range map[string]struct {
		ctx    context.Context
		source export.Source
		record func(export.Result) (*export.Proof, error)
		want   error
	}{
		"cancelled":    {cancelled, stopping{r, 1, func() error { cancel(); return nil }}, nil, context.Canceled},
		"source fails": {t.Context(), stopping{r, 1, func() error { return broken }}, nil, broken},
		"not recorded": {t.Context(), r, func(export.Result) (*export.Proof, error) { return nil, broken }, broken},
	} {
		for _, format := range export.Formats() {
			if _, err := export.File(try.ctx, path, format, try.source, export.Options{Record: try.record}); !errors.Is(err, try.want) {
				t.Errorf("%s, %s: %v", name, format, err)
			}
			for _, place := range []string{dir, temp} {
				if names, err := os.ReadDir(place); err != nil || len(names) != 0 {
					t.Errorf("%s, %s: left behind %v, %v", name, format, names, err)
				}
			}
		}
	}
	if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := export.File(t.Context(), path, "nonsense", r, export.Options{}); err == nil {
		t.Error("an unknown format was written")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "before" {
		t.Errorf("a failed export left %q, %v", b, err)
	}
	result, err := export.File(t.Context(), path, "csv", r, export.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	if result.SHA256 != hex.EncodeToString(sum[:]) || result.Bytes != int64(len(b)) || result.Rows != 3 {
		t.Errorf("%+v of a file of %d bytes", result, len(b))
	}
	if _, err := export.File(t.Context(), filepath.Join(dir, "no", "folder.csv"), "csv", r, export.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing folder: %v", err)
	}
}

// TestProofStandsBesideItsFile: the digest that is recorded is the file's, before the file has its name; and without the file nothing
// of the proof stays.
func TestProofStandsBesideItsFile(t *testing.T) {
	r := filled(t, "one")
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	recorded := ""
	o := export.Options{Record: func(res export.Result) (*export.Proof, error) {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file has its name before it is on record: %v", err)
		}
		recorded = res.SHA256
		return &export.Proof{Entry: []byte("{}"), Proof: record.Proof{Checkpoint: []byte("a note\n")}, Certificates: []byte("none")}, nil
	}}
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := export.File(t.Context(), filepath.Join(dir, "taken"), "jsonl", r, o); err == nil {
		t.Error("a file takes a folder's place")
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("left behind %v, %v", names, err)
	}
	if _, err := export.File(t.Context(), path, "jsonl", r, o); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"out.entry.json": "{}", "out.certificates.pem": "none"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != want {
			t.Errorf("%s holds %q, %v", name, b, err)
		}
	}
	b, err := os.ReadFile(path)
	sum := sha256.Sum256(b)
	if err != nil || recorded != hex.EncodeToString(sum[:]) {
		t.Errorf("%s is on record, %x is there, %v", recorded, sum, err)
	}
	text, err := os.ReadFile(path + ".tlog-proof")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := record.ParseProof(text); err != nil || p.Index != 0 {
		t.Errorf("proof of leaf %d, %v", p.Index, err)
	}
}

func TestProgressIsToldAndFormatsAreNamed(t *testing.T) {
	r := filled(t, slices.Repeat([]string{"x"}, 2001)...)
	var told []int64
	var out bytes.Buffer
	if _, err := export.Write(t.Context(), &out, "jsonl", r, export.Options{Progress: func(n int64) { told = append(told, n) }}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(told, []int64{1000, 2000}) {
		t.Errorf("progress was told as %v", told)
	}
	if got := export.Formats(); !slices.Equal(got, []string{"csv", "html", "jsonl", "xlsx"}) {
		t.Errorf("formats are %v", got)
	}
}
