// SPDX-License-Identifier: Apache-2.0

package export

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"provisioning.example/station/internal/record"
)

// decode reads a body without checking that it is canonical: that is the auditor's work, and takes longer.
func decode(raw []byte) (record.Body, error) { return record.Read(raw) }

// lines writes a format in which each entry is a text of its own, so that many can be made at a time.
type lines struct {
	w     io.Writer
	blind bool // text does not look into bodies
	text  func(b *bytes.Buffer, entries []record.Entry) error
}

func newJSONL(w io.Writer, _ Options) (rowWriter, error) { return &lines{w, true, jsonLines}, nil }

func newCSV(w io.Writer, o Options) (rowWriter, error) {
	columns := columnsOf(o)
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	_, err := io.WriteString(w, strings.Join(names, ",")+"\r\n")
	return &lines{w, false, func(b *bytes.Buffer, entries []record.Entry) error { return csvLines(b, columns, entries) }}, err
}

func (l *lines) row(e record.Entry) error {
	var b bytes.Buffer
	if err := l.text(&b, []record.Entry{e}); err != nil {
		return err
	}
	_, err := l.w.Write(b.Bytes())
	return err
}

func (l *lines) flush() error { return nil }
func (l *lines) close()       {}

// jsonLines writes the stored bytes, one entry a line.
func jsonLines(b *bytes.Buffer, entries []record.Entry) error {
	for i := range entries {
		e := &entries[i]
		if len(e.Raw) == 0 || e.Raw[0] != '{' || bytes.IndexByte(e.Raw, '\n') >= 0 {
			return fmt.Errorf("entry %d of epoch %d is not an object on one line", e.Seq, e.Epoch)
		}
		b.Write(e.Raw)
		b.WriteByte('\n')
	}
	return nil
}

// csvLines writes CSV (RFC 4180): CRLF, UTF-8.
func csvLines(b *bytes.Buffer, columns []column, entries []record.Entry) error {
	w := csv.NewWriter(b)
	w.UseCRLF = true
	cells := make([]string, len(columns))
	for i := range entries {
		for n := range columns {
			cells[n] = guard(columns[n].value(&entries[i]))
		}
		if err := w.Write(cells); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// column is one column of the tables. New ones are added at the end, since people's sheets count on the order.
type column struct {
	name  string
	value func(*record.Entry) string
}

// numeric are the columns that a workbook holds as numbers; all others are text, so that a serial keeps its zeros.
func (c column) numeric() bool {
	switch c.name {
	case "epoch", "seq", "slot", "attempt", "duration_ms":
		return true
	}
	return false
}

var columns = []column{
	{"epoch", func(e *record.Entry) string { return strconv.Itoa(e.Epoch) }},
	{"seq", func(e *record.Entry) string { return strconv.FormatInt(e.Seq, 10) }},
	{"time", func(e *record.Entry) string { return e.Body.Time }},
	{"kind", func(e *record.Entry) string { return e.Body.Kind }},
	{"outcome", func(e *record.Entry) string { return e.Body.Outcome }},
	{"serial", func(e *record.Entry) string { return e.Body.Serial }},
	{"model", func(e *record.Entry) string { return e.Body.Model }},
	{"uid", func(e *record.Entry) string { return e.Body.UID }},
	{"slot", func(e *record.Entry) string { return number(int64(e.Body.Slot)) }},
	{"order", func(e *record.Entry) string { return e.Body.Order }},
	{"product", func(e *record.Entry) string { return e.Body.Product }},
	{"profile", func(e *record.Entry) string { return e.Body.Profile }},
	{"attempt", func(e *record.Entry) string { return number(int64(e.Body.Attempt)) }},
	{"duration_ms", func(e *record.Entry) string { return number(e.Body.Duration) }},
	{"fault", func(e *record.Entry) string { return e.Body.Fault }},
	{"fault_step", func(e *record.Entry) string { return e.Body.FaultStep }},
	{"detail", func(e *record.Entry) string { return e.Body.Detail }},
	{"operator", func(e *record.Entry) string { return e.Body.Operator }},
	{"approver", func(e *record.Entry) string { return e.Body.Approver }},
	{"reason", func(e *record.Entry) string { return e.Body.Reason }},
	{"firmware", func(e *record.Entry) string { return e.Body.Firmware }},
	{"firmware_version", func(e *record.Entry) string { return e.Body.FirmwareVersion }},
	{"firmware_sha256", func(e *record.Entry) string { return e.Body.FirmwareDigest }},
	{"alg", func(e *record.Entry) string { return e.Body.Alg }},
	{"spki_sha256", func(e *record.Entry) string { return e.Body.SPKI }},
	{"csr_sha256", func(e *record.Entry) string { return e.Body.CSR }},
	{"cert_serial", func(e *record.Entry) string { return e.Body.CertSerial }},
	{"cert_sha256", func(e *record.Entry) string { return e.Body.Cert }},
	{"not_before", func(e *record.Entry) string { return e.Body.NotBefore }},
	{"not_after", func(e *record.Entry) string { return e.Body.NotAfter }},
	{"issuer_key", func(e *record.Entry) string { return e.Body.IssuerKey }},
	{"chain_sha256", func(e *record.Entry) string { return e.Body.ChainReadBack }},
	{"run", func(e *record.Entry) string { return e.Body.Run }},
	{"station", func(e *record.Entry) string { return e.Body.Station }},
	{"software", func(e *record.Entry) string { return e.Body.Software }},
	{"tpm", func(e *record.Entry) string { return e.Body.TPM }},
	{"simulated", func(e *record.Entry) string { return flag(e.Body.Simulated) }},
	{"leaf_hash", func(e *record.Entry) string { return hex.EncodeToString(e.Leaf[:]) }},
	{"corrects", corrects},
	{"what", func(e *record.Entry) string { return e.Body.What }},
	{"old", func(e *record.Entry) string { return e.Body.Old }},
	{"new", func(e *record.Entry) string { return e.Body.New }},
}

// corrects is the entry that a correction is about, as EPOCH/NUMBER.
func corrects(e *record.Entry) string {
	if e.Body.Kind != record.KindCorrection {
		return ""
	}
	return fmt.Sprintf("%d/%d", e.Body.EntryEpoch, e.Body.EntrySeq)
}

// columnsOf are the columns of an export: the last one says what an entry should have said, and by which correction.
func columnsOf(o Options) []column {
	return append(slices.Clone(columns), column{"corrected", func(e *record.Entry) string {
		if o.Corrections == nil {
			return ""
		}
		var parts []string
		for _, c := range o.Corrections.Newest(e.Place()) {
			parts = append(parts, fmt.Sprintf("%s=%s (entry %d/%d)", c.Body.What, c.Body.New, c.Epoch, c.Seq))
		}
		return strings.Join(parts, "; ")
	}})
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func flag(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

// guard keeps a spreadsheet from taking a text for a formula (OWASP ASVS 1.2.10): a leading = + - @, their full-width forms,
// tab, line break and NUL get an apostrophe before them.
func guard(s string) string {
	if s != "" && strings.ContainsAny(s[:1], "=+-@\t\r\n\x00") || hasAnyPrefix(s, "＝", "＋", "－", "＠") {
		return "'" + s
	}
	return s
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
