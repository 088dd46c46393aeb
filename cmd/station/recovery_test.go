// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
)

// forge changes the ledger as somebody does who knows it: the triggers are gone
// meanwhile, and as they were afterwards.
func (p *plant) forge(statements string) {
	p.t.Helper()
	path := p.path("home/ledger/ledger.db")
	ask := func(text string) string {
		p.t.Helper()
		out, err := exec.Command("sqlite3", path, text).CombinedOutput()
		if err != nil {
			p.t.Fatalf("sqlite3: %v\n%s", err, out)
		}
		return string(out)
	}
	triggers := ask("select sql || ';' from sqlite_schema where type = 'trigger'")
	drop := ask("select 'drop trigger ' || name || ';' from sqlite_schema where type = 'trigger'")
	ask(drop + statements + ";" + triggers)
}

// bytes is the ledger with its log, as they lie on the disk.
func (p *plant) bytes() string {
	p.t.Helper()
	var all strings.Builder
	for _, name := range []string{"ledger.db", "ledger.db-wal"} {
		raw, err := os.ReadFile(p.path("home/ledger/" + name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.t.Fatal(err)
		}
		all.Write(raw)
		all.WriteByte(0xff)
	}
	return all.String()
}

// otherKeyLedger makes a ledger of the same name under a key that somebody else
// has.
func (p *plant) otherKeyLedger() {
	p.t.Helper()
	if err := os.Remove(p.path("home/ledger/ledger.db")); err != nil {
		p.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	c := ledger.Config{Path: p.path("home/ledger/ledger.db"), Origin: "plant/line-1/1", Signer: key}
	if err := ledger.Create(p.t.Context(), c); err != nil {
		p.t.Fatal(err)
	}
	l, err := ledger.Open(p.t.Context(), c)
	if err != nil {
		p.t.Fatal(err)
	}
	stop := record.Body{Kind: record.KindStop, Operator: "op-1", Software: "station"}
	_, err = l.Append(p.t.Context(), ledger.Batch{Bodies: []record.Body{stop}})
	if err = errors.Join(err, l.Cover(p.t.Context(), 1), l.Close()); err != nil {
		p.t.Fatal(err)
	}
}

// TestTamperedLedgerStops does each thing that a person with the disk can do to
// the ledger. Each is found and named before anything is written, the way on is
// said, and the newest copy is the way back.
func TestTamperedLedgerStops(t *testing.T) {
	t.Parallel()
	p := newPlant(t, posixProduct)
	ports := p.agents(3)
	p.must(p.batchArgs(ports[:1])...)
	p.keepLedger("older.db")
	p.must(p.batchArgs(ports[1:2])...)
	p.keepLedger("newest.db")
	const epoch = "1099511627776"
	const tail = "(select max(size) from checkpoint where size < (select max(size) from checkpoint))"
	for _, c := range []struct {
		name string
		do   func()
		want string
	}{
		{"tail cut", func() { p.forge("delete from entry where seq > (select max(seq) - 3 from entry)") }, "entries were cut off"},
		{"tail and its checkpoints cut", func() {
			p.forge("delete from checkpoint where size > 20; delete from entry where seq > (select max(size) from checkpoint);" +
				"delete from claim where seq > (select max(seq) from entry)")
		}, "seals are missing"},
		{"file cut", func() {
			if err := os.Truncate(p.path("home/ledger/ledger.db"), 64<<10); err != nil {
				t.Fatal(err)
			}
		}, "is damaged"},
		{"empty file", func() { p.write("home/ledger/ledger.db", "") }, "is an empty file"},
		{"no file", func() {
			if err := os.Remove(p.path("home/ledger/ledger.db")); err != nil {
				t.Fatal(err)
			}
		}, "restore a backup"},
		{"edited row", func() { p.forge("update entry set body = replace(body, 'os:', 'OS:') where id = " + epoch + " + 5") }, "entry 5 was changed after it was written"},
		{"edited tree", func() { p.forge("update node set hash = zeroblob(32)") }, "is not the one its checkpoint was signed for"},
		{"dropped trigger", func() { p.sql("select 1") }, "its schema was tampered with"},
		{"swapped checkpoint", func() {
			p.forge("update checkpoint set note = (select note from checkpoint where size = " + tail + ") where size = (select max(size) from checkpoint)")
		}, "but stored as"},
		{"checkpoint of another text", func() {
			p.forge("update checkpoint set note = replace(note, 'plant/line-1/1' || char(10), 'plant/line-2/1' || char(10)) where size = (select max(size) from checkpoint)")
		}, "is the ledger of plant/line-2/1"},
		{"rewritten under another key", p.otherKeyLedger, "was not signed by this station's checkpoint key"},
		{"older copy", func() { p.putLedger("older.db") }, "this is an older copy of the ledger"},
		{"cut just before its last seal", func() {
			p.forge("delete from entry where seq >= (select max(seq) from entry where kind = 'seal' and json_extract(body, '$.attest') is null);" +
				"delete from checkpoint where size > (select max(seq) from entry)")
		}, "1 seals are missing"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			p.t = t
			p.putLedger("newest.db")
			c.do()
			before := p.bytes()
			code, out, errs := p.do(p.batchArgs(ports[2:])...)
			if code != exitUnfit || !strings.Contains(errs, c.want) || !strings.Contains(errs, "station ledger restore FILE") {
				t.Errorf("batch: exit %d, want %q\n%s%s", code, c.want, out, errs)
			}
			if code, out, _ := p.do("doctor"); code != exitUnfit || !hasStop(out, "ledger") || !strings.Contains(out, "station ledger restore FILE") {
				t.Errorf("doctor: exit %d\n%s", code, out)
			}
			if p.bytes() != before {
				t.Error("the refused ledger was modified")
			}
		})
	}
	p.t = t
	p.must(p.restoreArgs(p.path("newest.db"))...) // nothing is lost: no --accept-loss
	p.must(p.batchArgs(ports[2:])...)
	p.certifyAgain()
	p.content()
}

// TestTPMPutBack puts an older state of a software TPM back: the counter is
// behind the ledger. Qa records what was done, and the line goes on.
func TestTPMPutBack(t *testing.T) {
	t.Parallel()
	p := newPlant(t, posixProduct)
	ports := p.agents(2)
	p.stopTPM()
	if out, err := exec.Command("cp", "-a", p.path("tpm"), p.path("tpm-before")).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	p.startTPM()
	p.must(p.batchArgs(ports[:1])...)
	p.stopTPM()
	if err := errors.Join(os.RemoveAll(p.path("tpm")), os.Rename(p.path("tpm-before"), p.path("tpm"))); err != nil {
		t.Fatal(err)
	}
	p.startTPM()
	before := p.bytes()
	if code, _, errs := p.do(p.batchArgs(ports[1:])...); code != exitUnfit || !strings.Contains(errs, "the counter is behind") || p.bytes() != before {
		t.Errorf("exit %d\n%s", code, errs)
	}
	if code, out, _ := p.do("doctor"); code != exitUnfit || !hasStop(out, "ledger") || !strings.Contains(out, "the counter is behind") {
		t.Errorf("doctor: exit %d\n%s", code, out)
	}
	p.must(p.restoreArgs("--accept-loss")...)
	p.must(p.batchArgs(ports[1:])...)
	p.certifyAgain()
	p.content()
}
