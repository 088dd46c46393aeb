// SPDX-License-Identifier: Apache-2.0

package export

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/xuri/excelize/v2"

	"provisioning.example/station/internal/record"
)

// TestGuard holds each first character of OWASP ASVS 1.2.10 against the guard.
func TestGuard(t *testing.T) {
	for _, first := range []string{"=", "+", "-", "@", "\t", "\r", "\n", "\x00", "＝", "＋", "－", "＠"} {
		if got := guard(first + "1"); got != "'"+first+"1" {
			t.Errorf("%q becomes %q", first+"1", got)
		}
	}
	for _, text := range []string{"", "0007", " =1", "a=1", "'=1", "ü"} {
		if got := guard(text); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

// TestWorkbookIsSplit writes more rows than a sheet takes, here three with the header.
func TestWorkbookIsSplit(t *testing.T) {
	var out bytes.Buffer
	w, err := newSheets(&out, 3, columnsOf(Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	for n := range 5 {
		e := record.Entry{Epoch: 1, Seq: int64(n + 1), Body: record.Body{Kind: record.KindEnd, Serial: fmt.Sprintf("%04d", n), Detail: "=1+1", Duration: 1500}}
		if err := w.row(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	f, err := excelize.OpenReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // test
	if got := f.GetSheetList(); !slices.Equal(got, []string{"entries 1", "entries 2", "entries 3"}) {
		t.Fatalf("sheets %v", got)
	}
	serial, detail, seq := 0, 0, 0
	for i, c := range columns {
		switch c.name {
		case "serial":
			serial = i
		case "detail":
			detail = i
		case "seq":
			seq = i
		}
	}
	n := 0
	for s, sheet := range f.GetSheetList() {
		rows, err := f.GetRows(sheet)
		if err != nil {
			t.Fatal(err)
		}
		if want := []int{3, 3, 2}[s]; len(rows) != want || rows[0][serial] != "serial" {
			t.Fatalf("%s has %d rows, the first %q", sheet, len(rows), rows[0])
		}
		for i, row := range rows[1:] {
			if row[serial] != fmt.Sprintf("%04d", n) || row[detail] != "'=1+1" || row[seq] != fmt.Sprint(n+1) {
				t.Errorf("%s row %d: %q", sheet, i+2, row)
			}
			cell := func(column int) excelize.CellType {
				name, err := excelize.CoordinatesToCellName(column+1, i+2)
				if err != nil {
					t.Fatal(err)
				}
				if formula, err := f.GetCellFormula(sheet, name); err != nil || formula != "" {
					t.Errorf("%s %s is the formula %q, %v", sheet, name, formula, err)
				}
				kind, err := f.GetCellType(sheet, name)
				if err != nil {
					t.Fatal(err)
				}
				return kind
			}
			if kind := cell(serial); kind != excelize.CellTypeInlineString && kind != excelize.CellTypeSharedString {
				t.Errorf("%s row %d: a serial is of type %v", sheet, i+2, kind)
			}
			if kind := cell(seq); kind != excelize.CellTypeNumber && kind != excelize.CellTypeUnset {
				t.Errorf("%s row %d: a number is of type %v", sheet, i+2, kind)
			}
			n++
		}
	}
	if n != 5 {
		t.Errorf("%d rows read back", n)
	}
}

func TestWorkbookHasAnEnd(t *testing.T) {
	w, err := newSheets(&bytes.Buffer{}, 2, columnsOf(Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	for range maxSheets {
		if err := w.row(record.Entry{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.row(record.Entry{}); err == nil {
		t.Error("a workbook without end")
	}
}
