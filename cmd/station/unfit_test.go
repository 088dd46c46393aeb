// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/record"
)

// TestDoctorStops makes every organ say stop, each by its own trouble.
func TestDoctorStops(t *testing.T) {
	p := newPlant(t, posixProduct)
	if code, out, errs := p.do("doctor"); code != exitPassed {
		t.Fatalf("a fit station: exit %d\n%s%s", code, out, errs)
	}
	saved := func(name string) []byte {
		raw, err := os.ReadFile(p.path(name))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	config, chain := saved("home/station.toml"), saved("home/ca/certificates.pem")
	for _, c := range []struct {
		organ, trouble string
		make, mend     func()
		args           []string
	}{
		{
			organ: "ports", trouble: "a port that is not there",
			make: func() {}, mend: func() {}, args: []string{"--port", p.path("nothing")},
		},
		{
			organ: "disk", trouble: "less space than wanted",
			make: func() { p.config("min_free_mib = 512", "min_free_mib = 1000000000") },
			mend: func() { p.write("home/station.toml", string(config)) },
		},
		{
			organ: "certificate", trouble: "no intermediate",
			make: func() { p.rename("home/ca/certificates.pem", "home/ca/away") },
			mend: func() { p.rename("home/ca/away", "home/ca/certificates.pem") },
		},
		{
			organ: "certificate", trouble: "half an intermediate",
			make: func() { p.write("home/ca/certificates.pem", string(chain[:len(chain)/2])) },
			mend: func() { p.write("home/ca/certificates.pem", string(chain)) },
		},
		{
			organ: "keys", trouble: "a key of another TPM",
			make: func() { p.write("home/station.toml", otherKey.ReplaceAllString(string(config), "${1}ffffffff")) },
			mend: func() { p.write("home/station.toml", string(config)) },
		},
		{
			organ: "ledger", trouble: "no ledger",
			make: func() { p.rename("home/ledger", "home/away") },
			mend: func() { p.rename("home/away", "home/ledger") },
		},
		{
			organ: "ledger", trouble: "an edited entry",
			make: func() {
				p.keepLedger("saved.db")
				p.sql("drop trigger if exists entry_no_update; update entry set body = replace(body, 'os:', 'OS:') where seq = 2")
			},
			mend: func() { p.putLedger("saved.db") },
		},
		{
			organ: "TPM", trouble: "no TPM",
			make: func() { p.stopTPM() },
			mend: func() { p.startTPM() },
		},
	} {
		t.Run(c.organ+"/"+strings.ReplaceAll(c.trouble, " ", "_"), func(t *testing.T) {
			p.t = t
			c.make()
			code, out, errs := p.do(append([]string{"doctor"}, c.args...)...)
			c.mend()
			if code != exitUnfit && code != exitUsage || !hasStop(out, c.organ) {
				t.Errorf("exit %d, and %s does not say stop:\n%s%s", code, c.organ, out, errs)
			}
			if code, out, errs := p.do("doctor"); code != exitPassed {
				t.Errorf("mended, doctor still says:\n%s%s", out, errs)
			}
		})
	}
}

// otherKey finds the first digits of the CA key's Name.
var otherKey = regexp.MustCompile(`(8100a000:000b)[0-9a-f]{8}`)

func hasStop(out, organ string) bool {
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) > 1 && f[0] == "stop" && f[1] == organ {
			return true
		}
	}
	return false
}

// TestClock: a clock behind the ledger's last entry stops doctor and batch.
func TestClock(t *testing.T) {
	x := &examination{home: &home{}, now: time.Now()}
	p := newPlant(t, posixProduct)
	var err error
	if x.home, err = openHome(p.path("home")); err != nil {
		t.Fatal(err)
	}
	if f := lookClock(t.Context(), x); f.Level.String() != "ok" {
		t.Errorf("now: %+v", f)
	}
	x.now = x.now.Add(-time.Hour)
	if f := lookClock(t.Context(), x); f.Level.String() != "stop" {
		t.Errorf("an hour before the last entry: %+v", f)
	}
}

func (p *plant) rename(from, to string) {
	p.t.Helper()
	if err := os.Rename(p.path(from), p.path(to)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) copy(from, to string) {
	p.t.Helper()
	raw, err := os.ReadFile(p.path(from))
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(to, string(raw))
}

// sql changes the ledger's file behind the station's back.
func (p *plant) sql(statement string) {
	p.t.Helper()
	// Triggers first: whoever can write the file can drop them.
	names, err := exec.Command("sqlite3", p.path("home/ledger/ledger.db"), "select name from sqlite_schema where type = 'trigger'").Output()
	if err != nil {
		p.t.Fatal(err)
	}
	for name := range strings.Lines(string(names)) {
		statement = "drop trigger " + strings.TrimSpace(name) + "; " + statement
	}
	if out, err := exec.Command("sqlite3", p.path("home/ledger/ledger.db"), statement).CombinedOutput(); err != nil {
		p.t.Fatalf("sqlite3: %v\n%s", err, out)
	}
}

func (p *plant) stopTPM() {
	p.t.Helper()
	_ = p.swtpm.Process.Kill()
	_ = p.swtpm.Wait()
}

// TestLedgerCannotWrite fills the ledger's disk in the middle of a batch: no
// certificate leaves that is not in the ledger, the line stops with the
// reason, and after the disk is freed the same command finishes.
func TestLedgerCannotWrite(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(12)
	// The small disk is a tmpfs in a mount namespace of its own. The ballast there
	// has a second name, so that it gives no room back when it is given up: with
	// that room the batch would come to its end.
	script := `set -e
cp -a "$HOME_DIR/ledger/." "$HOME_DIR/away/"
rm -f "$HOME_DIR/away/ballast"
used=$(du -sk "$HOME_DIR/away" | cut -f1)
mount -t tmpfs -o size=$((used + 16384 + 160))k tmpfs "$HOME_DIR/ledger"
cp -a "$HOME_DIR/away/." "$HOME_DIR/ledger/"
head -c 16777216 /dev/zero > "$HOME_DIR/ledger/ballast"
ln "$HOME_DIR/ledger/ballast" "$HOME_DIR/ledger/held"
code=0
"$@" || code=$?
cp -a "$HOME_DIR/ledger/." "$HOME_DIR/away/"
exit $code`
	if err := os.Mkdir(p.path("home/away"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := p.station(p.batchArgs(ports)...)
	code, told := p.inNamespace(script, c)
	if code != exitUnfit {
		t.Fatalf("exit %d, want %d\n%s", code, exitUnfit, told)
	}
	if !strings.Contains(told, `"fault":"F-RECORD-01"`) || !strings.Contains(told, "station doctor") {
		t.Errorf("no unit was stopped by the ledger: %s", told)
	}
	// What the small disk held is now the ledger of a large one.
	for _, name := range []string{"ledger.db", "ledger.db-wal", "ledger.db-shm"} {
		if exists(p.path("home/away/" + name)) {
			p.rename("home/away/"+name, "home/ledger/"+name)
		}
	}
	p.must(p.batchArgs(ports)...)
	p.content()
	p.readBack(ports)
}

// TestOpensslRoot installs an intermediate that a root signed which only
// openssl ever touched: everything works, and says what was not proven.
func TestOpensslRoot(t *testing.T) {
	p := newPlant(t, posixProduct)
	p.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650", "-subj", "/CN=openssl root",
		"-keyout", p.path("o.key"), "-out", p.path("o.pem"),
		"-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
	p.openssl("x509", "-req", "-in", p.path("home/ca/request.pem"), "-CA", p.path("o.pem"), "-CAkey", p.path("o.key"), "-CAcreateserial",
		"-days", "730", "-sha256", "-extfile", p.path("home/ca/intermediate.cnf"), "-out", p.path("o-intermediate.pem"))
	out := p.must("ca", "install", p.path("o-intermediate.pem"), "--root", p.path("o.pem"), "--replace")
	if !strings.Contains(out, "TPM not proven") || !strings.Contains(out, "certified no checkpoint key") {
		t.Errorf("install says: %s", out)
	}
	ports := p.agents(2)
	p.must(p.batchArgs(ports)...)
	for _, name := range ports {
		leaf := p.path("leaf.pem")
		p.write("leaf.pem", string(p.chainOf(name)))
		p.openssl("verify", "-CAfile", p.path("o.pem"), "-untrusted", leaf, leaf)
	}
	if code, out, _ := p.do("ledger", "verify", "--root", p.path("o.pem")); code != exitUnproven || !strings.Contains(out, "origin not proven") {
		t.Errorf("verify says: %s", out)
	}
}

// TestUnitsList gives boards the serials of a list.
func TestUnitsList(t *testing.T) {
	p := newPlant(t, posixProduct+"serial = \"list\"\n")
	ports := p.agents(3)
	p.write("units.csv", "serial,uid,batch\nSN-3,,b\nSN-2,00c0ffee0002,b\nSN-1,,b\n")
	p.write("bad.csv", "serial\nSN-1\n=1+1\n")
	if code, _, errs := p.do(p.batchArgs(ports, "--units", p.path("bad.csv"))...); code != exitUsage || !strings.Contains(errs, "bad.csv:3: ") {
		t.Errorf("a wrong list: exit %d, %s", code, errs)
	}
	p.write("far.csv", "serial,slot\nSN-1,8\nSN-2,9\n")
	if code, _, errs := p.do(p.batchArgs(ports, "--units", p.path("far.csv"))...); code != exitUsage || !strings.Contains(errs, "far.csv:3: slot 9: this bench has slots 1 to 8") {
		t.Errorf("a list with a slot that is not there: exit %d, %s", code, errs)
	}
	if n := p.count(record.KindBegun); n != 0 {
		t.Errorf("%d units were begun with a wrong list", n)
	}
	units, sum := events(t, p.must(p.batchArgs(ports, "--units", p.path("units.csv"))...))
	serials := map[string]string{}
	for _, u := range units {
		serials[u.Serial] = u.UID
	}
	if sum.Passed != 3 || len(serials) != 3 || serials["SN-2"] != "00c0ffee0002" {
		t.Errorf("serials went to %v, %+v", serials, sum)
	}
	if out := p.must("unit", "SN-2"); !strings.Contains(out, "passed") {
		t.Errorf("unit SN-2: %s", out)
	}
}

// TestStationctlNeedsNoDisplay reads which libraries the program without a
// window asks the system for.
func TestStationctlNeedsNoDisplay(t *testing.T) {
	path, err := filepath.Abs("../../bin/stationctl")
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatalf("%v (run make build first)", err)
	}
	defer f.Close()
	libs, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, lib := range libs {
		for _, bad := range []string{"libGL", "libEGL", "libX", "libxcb", "libwayland", "libxkb"} {
			if strings.HasPrefix(lib, bad) {
				t.Errorf("stationctl needs %s", lib)
			}
		}
	}
}
