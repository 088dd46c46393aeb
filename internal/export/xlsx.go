// SPDX-License-Identifier: Apache-2.0

package export

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/xuri/excelize/v2"

	"provisioning.example/station/internal/record"
)

// workbook writes XLSX (ISO/IEC 29500), row by row. Its library keeps rows beyond some megabytes in a file of its own in the
// system's folder for such, and takes it away when it is closed.
type workbook struct {
	out    io.Writer
	file   *excelize.File
	sheet  *excelize.StreamWriter
	limit  int // rows of a sheet, its header included
	sheets int
	rows   int // in the sheet at hand
	header []any
	cells  []any

	columns []column
}

// maxSheets keeps a workbook to what a person can open: eight sheets are more than eight million entries.
const maxSheets = 8

func newWorkbook(w io.Writer, o Options) (rowWriter, error) {
	return newSheets(w, excelize.TotalRows, columnsOf(o))
}

func newSheets(out io.Writer, limit int, columns []column) (*workbook, error) {
	w := &workbook{out: out, file: excelize.NewFile(), limit: limit, cells: make([]any, len(columns)), columns: columns}
	bold, err := w.file.NewStyle(&excelize.Style{Font: &excelize.Font{Bold: true}})
	if err != nil {
		w.close()
		return nil, err
	}
	for _, c := range columns {
		w.header = append(w.header, excelize.Cell{StyleID: bold, Value: c.name})
	}
	if err := w.next(); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// next ends the sheet at hand and begins one: Excel takes no more than 1,048,576 rows.
func (w *workbook) next() (err error) {
	if w.sheets == maxSheets {
		return fmt.Errorf("a workbook of %d sheets is full: narrow the export, or take csv", maxSheets)
	}
	if err := w.end(); err != nil {
		return err
	}
	w.sheets++
	name := fmt.Sprintf("entries %d", w.sheets)
	if w.sheets == 1 {
		err = w.file.SetSheetName("Sheet1", name)
	} else {
		_, err = w.file.NewSheet(name)
	}
	if err != nil {
		return err
	}
	if w.sheet, err = w.file.NewStreamWriter(name); err != nil {
		return err
	}
	if err := w.sheet.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
		return err
	}
	// The time whole, kind to uid as far as most are.
	if err := errors.Join(w.sheet.SetColWidth(3, 3, 28), w.sheet.SetColWidth(4, 8, 20)); err != nil {
		return err
	}
	w.rows = 0
	return w.write(w.header)
}

func (w *workbook) write(cells []any) error {
	w.rows++
	return w.sheet.SetRow("A"+strconv.Itoa(w.rows), cells)
}

func (w *workbook) row(e record.Entry) error {
	if w.rows == w.limit {
		if err := w.next(); err != nil {
			return err
		}
	}
	for i, c := range w.columns {
		text := c.value(&e)
		w.cells[i] = nil
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && c.numeric() {
			w.cells[i] = n
		} else if text != "" {
			// No cell is a formula here, but sheets are saved as CSV and pasted.
			w.cells[i] = guard(text)
		}
	}
	return w.write(w.cells)
}

func (w *workbook) end() error {
	if w.sheet == nil {
		return nil
	}
	return w.sheet.Flush()
}

func (w *workbook) flush() error {
	if err := w.end(); err != nil {
		return err
	}
	return w.file.Write(w.out)
}

func (w *workbook) close() { w.file.Close() } //nolint:errcheck // only temporary files are left
