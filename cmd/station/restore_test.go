// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// keepLedger copies the ledger as it is now, and returns where.
func (p *plant) keepLedger(name string) string {
	p.t.Helper()
	if _, err := ledger.TakeIn(p.t.Context(), p.path("home/ledger/ledger.db"), p.path(name)); err != nil {
		p.t.Fatal(err)
	}
	return p.path(name)
}

// putLedger puts a file in the ledger's place, as somebody with the disk does.
func (p *plant) putLedger(name string) {
	p.t.Helper()
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(p.path("home/ledger/ledger.db" + suffix)); err != nil && !os.IsNotExist(err) {
			p.t.Fatal(err)
		}
	}
	p.copy(name, "home/ledger/ledger.db")
}

func (p *plant) restoreArgs(more ...string) []string {
	return append([]string{"ledger", "restore", "--reason", "the disk died", "--approver", "qa-1"}, more...)
}

// certifyAgain has the root certify the new checkpoint key.
func (p *plant) certifyAgain() {
	p.t.Helper()
	p.must("ca", "request", "--replace", "--pin-file", p.path("pin"))
	if err := os.RemoveAll(p.path("answer.pem")); err != nil {
		p.t.Fatal(err)
	}
	p.must("root", "sign", "--root", p.path("root"), "--passphrase-file", p.path("passphrase"),
		"--in", p.path("home/ca/request.pem"), "--out", p.path("answer.pem"))
	p.must("ca", "install", "--replace", p.path("answer.pem"))
}

// TestRestore loses a ledger that went on after its last copy. What is lost is
// said before anything is done, as far as the TPM and a bundle know of it; then the line goes on, and what was lost is on record.
func TestRestore(t *testing.T) {
	t.Parallel()
	p := newPlant(t, posixProduct)
	ports := p.agents(4)
	p.must(p.batchArgs(ports[:1])...)
	p.must("ledger", "backup")
	made := p.copies("home/backup")
	p.refused("there is nothing to restore", p.restoreArgs(made[0])...)
	p.must(p.batchArgs(ports[1:3])...)
	p.must("ca", "crl", "--pin-file", p.path("pin"), "--out", p.path("lost.crl"))
	p.must("ledger", "export", "--format", "bundle", "--out", p.path("all.bundle"))
	p.proofOf(1, 30, "a.tlog-proof")
	raw, err := os.ReadFile(p.path("a.tlog-proof"))
	if err != nil {
		t.Fatal(err)
	}
	p.write("b.tlog-proof", strings.Replace(string(raw), "plant/line-1/1\n", "plant/line-1/1\n1", 1))
	if err := os.RemoveAll(p.path("home/ledger")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(p.path("home/ledger"), 0o700); err != nil {
		t.Fatal(err)
	}

	p.refused("restore a backup", p.batchArgs(ports[3:])...)
	if code, out, _ := p.do("doctor"); code != exitUnfit || !hasStop(out, "ledger") || !strings.Contains(out, "station ledger restore FILE") {
		t.Errorf("doctor: exit %d\n%s", code, out)
	}
	p.refused("--reason", "ledger", "restore", made[0], "--approver", "qa-1")
	p.refused("--approver", "ledger", "restore", made[0], "--reason", "x")
	for name, spoil := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"foreign": func([]byte) []byte { return []byte("no ledger") },
		"flipped": func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `"kind":"start"`, `"kind":"stop","`, 1))
		},
	} {
		raw, err := os.ReadFile(made[0])
		if err != nil {
			t.Fatal(err)
		}
		p.write(name, string(spoil(raw)))
		p.refused("is refused", p.restoreArgs("--accept-loss", p.path(name))...)
	}
	code, out, errs := p.do(p.restoreArgs(made[0])...)
	if code != exitUnfit || !strings.Contains(out, "seals are missing") || !strings.Contains(out, "no entry is known") || !strings.Contains(errs, "--accept-loss") {
		t.Errorf("without a witness: exit %d\n%s%s", code, out, errs)
	}
	code, out, _ = p.do(p.restoreArgs(made[0], "--known", p.path("all.bundle"))...)
	if code != exitUnfit || !strings.Contains(out, "2 ends of runs, 2 certificates") || !strings.Contains(out, "7 serials, boards, keys and revocation list numbers of lost entries stay taken") || !strings.Contains(out, "of unit 00c0ffee0003") {
		t.Errorf("with a bundle: exit %d\n%s", code, out)
	}
	code, out, _ = p.do(p.restoreArgs(made[0], "--known", p.path("a.tlog-proof"))...)
	if code != exitUnfit || !strings.Contains(out, "entries are lost: 0 ends of runs, 0 certificates") || !strings.Contains(out, "of the lost entries took, nobody here knows") {
		t.Errorf("with a proof: exit %d\n%s", code, out)
	}
	p.refused("--known", p.restoreArgs(made[0], "--accept-loss", "--known", p.path("b.tlog-proof"))...)
	p.refused("--known", p.restoreArgs(made[0], "--accept-loss", "--known", p.path("pin"))...)
	foreign := newPlant(t, posixProduct)
	foreign.must("ledger", "export", "--format", "bundle", "--out", foreign.path("other.bundle"))
	for _, other := range []string{foreign.path("other.bundle"), foreign.path("home/ledger/ledger.db")} {
		p.refused("another ledger", p.restoreArgs(made[0], "--accept-loss", "--known", other)...)
	}
	if names, err := os.ReadDir(p.path("home/ledger")); err != nil || len(names) != 0 || exists(p.path("home/handover.toml")) {
		t.Errorf("refused, and there is %v, %v", names, err)
	}
	out = p.must(p.restoreArgs(made[0], "--known", p.path("all.bundle"), "--accept-loss")...)
	if !strings.Contains(out, "plant/line-1/2") || !strings.Contains(out, "2 certificates that lost entries name") {
		t.Errorf("restore says: %s", out)
	}
	p.sqlite(`select count(*), json_extract(body, '$.approver'), json_extract(body, '$.file') from entry where kind = 'restored'`, "1|qa-1|"+filepath.Base(made[0]))
	p.sqlite(`select count(*), json_extract(body, '$.count'), (select count(*) from blob where lower(hex(sha256)) = json_extract(body, '$.file_sha256')) from entry where kind = 'import' and json_extract(body, '$.what') = 'certificates of lost entries'`, "1|2|1")
	// What the entry names is later than what the ledger has.
	p.sqlite(`select json_extract(body, '$.size') > json_extract(body, '$.count') from entry where kind = 'restored'`, "1")

	p.lostStaysTaken(ports[3:])
	p.must(p.batchArgs(ports[3:])...) // with the intermediate that was there
	if code, out, _ := p.do("ledger", "verify", "--root", p.path("root/root.pem")); code != exitUnproven || !strings.Contains(out, "origin not proven") {
		t.Errorf("before the root has certified the new key: exit %d, %s", code, out)
	}
	p.certifyAgain()
	p.content()
	if code, out, errs := p.do("doctor"); code != exitPassed {
		t.Errorf("doctor: exit %d\n%s%s", code, out, errs)
	}
}

// lostStaysTaken: what only lost entries had is not given out again.
func (p *plant) lostStaysTaken(port []string) {
	p.t.Helper()
	p.sqlite(`select kind, count(*) from claim where value like '%00c0ffee0003' or kind = 'spki' group by kind order by kind`, "serial|1\nspki|3\nuid|1")
	p.write("units.csv", "serial,uid\n00c0ffee0003,00c0ffee0004\n")
	_, out, _ := p.do(p.batchArgs(port, "--units", p.path("units.csv"))...)
	if units, _ := events(p.t, out); len(units) != 1 || units[0].Fault != "F-CONNECT-09" {
		p.t.Errorf("the serial of a lost unit for another board: %+v", units)
	}
	p.must("ca", "crl", "--pin-file", p.path("pin"), "--out", p.path("new.crl"))
	was, now := p.lists("lost.crl"), p.lists("new.crl")
	if len(was) != 1 || len(now) != 1 || now[0].Number.Cmp(was[0].Number) <= 0 {
		p.t.Errorf("the list after the restore has number %s, one that is lost %s", now[0].Number, was[0].Number)
	}
}

// proofOf writes the proof of an entry, as who got it keeps it.
func (p *plant) proofOf(epoch int, seq int64, name string) {
	p.t.Helper()
	r, err := reader.Open(p.t.Context(), p.path("home/ledger/ledger.db"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Close()
	proof, err := r.Proof(p.t.Context(), epoch, seq)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(name, string(proof.Marshal()))
}

// TestGoOnWithoutACopy puts an older copy in the ledger's place, and there is no
// newer one: the station refuses to work until qa has recorded it, and the same
// command is the way out.
func TestGoOnWithoutACopy(t *testing.T) {
	t.Parallel()
	p := newPlant(t, posixProduct)
	ports := p.agents(3)
	p.must(p.batchArgs(ports[:1])...)
	older := p.keepLedger("older.db")
	p.must(p.batchArgs(ports[1:2])...)
	p.putLedger("older.db")
	before, err := os.ReadFile(older)
	if err != nil {
		t.Fatal(err)
	}
	p.refused("leave FILE out", p.batchArgs(ports[2:])...)
	p.refused("--accept-loss", p.restoreArgs()...)
	p.must(p.restoreArgs("--accept-loss")...)
	kept, err := filepath.Glob(p.path("home/ledger/aside-*/ledger.db"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept: %v, %v", kept, err)
	}
	if after, err := os.ReadFile(kept[0]); err != nil || string(after) != string(before) {
		t.Errorf("what was there is not kept as it was: %v", err)
	}
	p.must(p.batchArgs(ports[2:])...)
	p.certifyAgain()
	p.content()
	if n := p.count(record.KindRestored); n != 1 {
		t.Errorf("%d restored entries", n)
	}
}

// TestRestoreInterrupted lets the power fail after each step: nothing else
// writes the ledger until the same command has finished it.
func TestRestoreInterrupted(t *testing.T) {
	steps := len((&restoring{handing: &handing{}}).steps())
	for done := 1; done < steps; done++ {
		t.Run(fmt.Sprint("after step ", done), func(t *testing.T) {
			t.Parallel()
			p := newPlant(t, posixProduct)
			ports := p.agents(3)
			p.must(p.batchArgs(ports[:1])...)
			p.must("ledger", "backup")
			p.must(p.batchArgs(ports[1:2])...)
			// Here the present ledger is the witness: readable, and not what was written.
			p.sql("update entry set body = replace(body, '\"op-', '\"oq-') where kind = 'stop'; update entry set body = replace(body, 'os:', 'OS:') where seq = 3")
			p.halfARestore(done)
			if pending := exists(p.path("home/handover.toml")); pending != (done > 1 && done < steps-1) {
				t.Errorf("handover.toml is there: %v", pending)
			} else if pending {
				p.refused("finish it with: station ledger restore", p.batchArgs(ports[2:])...)
				p.refused("finish it with: station ledger restore", p.handoverArgs()...)
				if code, out, _ := p.do("doctor"); code != exitUnfit || !strings.Contains(out, "finish it with: station ledger restore") {
					t.Errorf("doctor: exit %d\n%s", code, out)
				}
				p.must("ledger", "restore")
			} else if done == 1 {
				p.must(p.restoreArgs("--accept-loss", p.copies("home/backup")[0])...)
			}
			p.certifyAgain()
			p.must(p.batchArgs(ports[2:])...)
			p.content()
			p.sqlite(`select count(*) from entry where kind = 'restored'`, "1")
			if exists(p.path("home/ledger/restoring")) {
				t.Error("the copy that was taken in is left behind")
			}
		})
	}
}

// halfARestore does the first steps in this process, and then nothing more.
func (p *plant) halfARestore(done int) {
	p.t.Helper()
	g := &globals{home: p.path("home"), operator: "op-1", approver: "qa-1", logLevel: "error"}
	c := newLedgerRestore(g)
	c.SetContext(p.t.Context())
	c.SetOut(new(strings.Builder))
	x, err := prepareRestore(c, g, restoreFlags{reason: "the disk died", accept: true}, p.copies("home/backup")[:1])
	if err != nil {
		p.t.Fatal(err)
	}
	for _, step := range x.steps()[:done] {
		if err := step(p.t.Context()); err != nil {
			p.t.Fatal(err)
		}
	}
	if x.b.tpm != nil {
		x.b.tpm.Close()
	}
	x.b.home.release()
}
