// SPDX-License-Identifier: Apache-2.0

package export

import (
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"provisioning.example/station/internal/record"
)

// decode reads a body without checking that it is canonical: that is the auditor's work, and takes five times as long.
func decode(raw []byte) (b record.Body, err error) {
	err = json.Unmarshal(raw, &b)
	return b, err
}

// jsonl writes the stored bytes, one entry a line.
type jsonl struct{ w io.Writer }

func newJSONL(w io.Writer, _ Options) (rowWriter, error) { return jsonl{w}, nil }

func (j jsonl) row(e record.Entry) error {
	if _, err := j.w.Write(e.Raw); err != nil {
		return err
	}
	_, err := io.WriteString(j.w, "\n")
	return err
}

func (j jsonl) flush() error { return nil }
func (j jsonl) close()       {}

// table writes CSV (RFC 4180): CRLF, a header, UTF-8.
type table struct {
	w       *csv.Writer
	columns []column
	cells   []string
}

// column is one column of the tables. New ones are added at the end, since people's sheets count on the order.
type column struct {
	name  string
	value func(record.Entry) string
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
	{"epoch", func(e record.Entry) string { return strconv.Itoa(e.Epoch) }},
	{"seq", func(e record.Entry) string { return strconv.FormatInt(e.Seq, 10) }},
	{"time", func(e record.Entry) string { return e.Body.Time }},
	{"kind", func(e record.Entry) string { return e.Body.Kind }},
	{"outcome", func(e record.Entry) string { return e.Body.Outcome }},
	{"serial", func(e record.Entry) string { return e.Body.Serial }},
	{"model", func(e record.Entry) string { return e.Body.Model }},
	{"uid", func(e record.Entry) string { return e.Body.UID }},
	{"slot", func(e record.Entry) string { return number(int64(e.Body.Slot)) }},
	{"order", func(e record.Entry) string { return e.Body.Order }},
	{"product", func(e record.Entry) string { return e.Body.Product }},
	{"profile", func(e record.Entry) string { return e.Body.Profile }},
	{"attempt", func(e record.Entry) string { return number(int64(e.Body.Attempt)) }},
	{"duration_ms", func(e record.Entry) string { return number(e.Body.Duration) }},
	{"fault", func(e record.Entry) string { return e.Body.Fault }},
	{"fault_step", func(e record.Entry) string { return e.Body.FaultStep }},
	{"detail", func(e record.Entry) string { return e.Body.Detail }},
	{"operator", func(e record.Entry) string { return e.Body.Operator }},
	{"approver", func(e record.Entry) string { return e.Body.Approver }},
	{"reason", func(e record.Entry) string { return e.Body.Reason }},
	{"firmware", func(e record.Entry) string { return e.Body.Firmware }},
	{"firmware_version", func(e record.Entry) string { return e.Body.FirmwareVersion }},
	{"firmware_sha256", func(e record.Entry) string { return e.Body.FirmwareDigest }},
	{"alg", func(e record.Entry) string { return e.Body.Alg }},
	{"spki_sha256", func(e record.Entry) string { return e.Body.SPKI }},
	{"csr_sha256", func(e record.Entry) string { return e.Body.CSR }},
	{"cert_serial", func(e record.Entry) string { return e.Body.CertSerial }},
	{"cert_sha256", func(e record.Entry) string { return e.Body.Cert }},
	{"not_before", func(e record.Entry) string { return e.Body.NotBefore }},
	{"not_after", func(e record.Entry) string { return e.Body.NotAfter }},
	{"issuer_key", func(e record.Entry) string { return e.Body.IssuerKey }},
	{"chain_sha256", func(e record.Entry) string { return e.Body.ChainReadBack }},
	{"run", func(e record.Entry) string { return e.Body.Run }},
	{"station", func(e record.Entry) string { return e.Body.Station }},
	{"software", func(e record.Entry) string { return e.Body.Software }},
	{"tpm", func(e record.Entry) string { return e.Body.TPM }},
	{"simulated", func(e record.Entry) string { return flag(e.Body.Simulated) }},
	{"leaf_hash", func(e record.Entry) string { return hex.EncodeToString(e.Leaf[:]) }},
	{"corrects", corrects},
	{"what", func(e record.Entry) string { return e.Body.What }},
	{"old", func(e record.Entry) string { return e.Body.Old }},
	{"new", func(e record.Entry) string { return e.Body.New }},
}

// corrects is the entry that a correction is about, as EPOCH/NUMBER.
func corrects(e record.Entry) string {
	if e.Body.Kind != record.KindCorrection {
		return ""
	}
	return fmt.Sprintf("%d/%d", e.Body.EntryEpoch, e.Body.EntrySeq)
}

// columnsOf are the columns of an export: the last one says what an entry should have said, and by which correction.
func columnsOf(o Options) []column {
	return append(slices.Clone(columns), column{"corrected", func(e record.Entry) string {
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

func newCSV(w io.Writer, o Options) (rowWriter, error) {
	t := &table{w: csv.NewWriter(w), columns: columnsOf(o)}
	t.cells = make([]string, len(t.columns))
	t.w.UseCRLF = true
	for i, c := range t.columns {
		t.cells[i] = c.name
	}
	return t, t.w.Write(t.cells)
}

func (t *table) row(e record.Entry) error {
	for i, c := range t.columns {
		t.cells[i] = guard(c.value(e))
	}
	return t.w.Write(t.cells)
}

func (t *table) flush() error {
	t.w.Flush()
	return t.w.Error()
}

func (t *table) close() {}

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
