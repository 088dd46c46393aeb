// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// labelSettings appends [label] to the plant's station.toml.
func (p *plant) labelSettings(text string) {
	p.t.Helper()
	raw, err := os.ReadFile(p.path("home/station.toml"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.write("home/station.toml", string(raw)+"\n[label]\n"+text)
}

// batchOf provisions what is at the ports.
func (p *plant) batchOf(ports []string) ([]unitEvent, unitEvent) {
	p.t.Helper()
	return events(p.t, p.must(p.batchArgs(ports)...))
}

// TestBatchLabels prints the labels of a batch over TCP, with a product's own template,
// and then with the printer off: the units pass as before.
func TestBatchLabels(t *testing.T) {
	p := newPlant(t, posixProduct+"label_pass = \"own.zpl\"\n")
	p.write("home/products/own.zpl", "^XA^PW400^LL200^FO8,8^A0N,30^FDOWN {serial}^FS^FO8,60^BXN,4,200^FD{serial} {witness}^FS^XZ\n")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(got)
				return
			}
			if all, _ := io.ReadAll(c); len(all) > 0 { // else it was only looked for
				got <- string(all)
			}
			c.Close()
		}
	}()
	p.labelSettings("printer = 'tcp:" + l.Addr().String() + "'\nfail = 'none'\ntimeout = '2m'\n")
	units, sum := p.batchOf(p.agents(2))
	if sum.Passed != 2 {
		t.Fatalf("%+v", units)
	}
	l.Close()
	labels := map[string]bool{}
	for zpl := range got {
		labels[zpl] = true
	}
	for _, u := range units {
		if !anyHolds(labels, "^FDOWN "+u.Serial+"^FS") {
			t.Errorf("no label for %s in %v", u.Serial, labels)
		}
	}
	if n := p.count("label"); len(labels) != 2 || n != 2 {
		t.Errorf("%d labels, %d entries", len(labels), n)
	}
	// Nobody listens any more.
	if units, sum = p.batchOf(portNames(p, 2)); sum.Passed != 2 {
		t.Errorf("with the printer off: %+v", units)
	}
	if out := p.must("doctor", "--pin-file", p.path("pin")); !strings.Contains(out, "warn  printer") {
		t.Errorf("doctor: %s", out)
	}
	p.must("label", "print", "--missing", "--printer", "file:"+p.path("spool"))
	spool, err := os.ReadFile(p.path("spool"))
	if err != nil || strings.Count(string(spool), "^XA") != 2 || strings.Count(string(spool), "^FDOWN ") != 2 {
		t.Errorf("%v %s", err, spool)
	}
	p.content()
}

func anyHolds(labels map[string]bool, part string) bool {
	for zpl := range labels {
		if strings.Contains(zpl, part) {
			return true
		}
	}
	return false
}

func portNames(p *plant, n int) (ports []string) {
	for i := range n {
		ports = append(ports, p.path("port"+string(rune('1'+i))))
	}
	return ports
}

// TestLabelSettings holds that mistakes in [label] are told with file and line before
// anything is provisioned.
func TestLabelSettings(t *testing.T) {
	p := newPlantWith(t, posixProduct, func(p *plant) string { return "sim:" + p.path("sim") })
	was, err := os.ReadFile(p.path("home/station.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(p.path("home/labels"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.write("home/labels/bad.toml", "width_mm = 50\nheight_mm = 2\n")
	for _, try := range []struct{ text, want string }{
		{"printer = 'lpr:x'\n", "printer: allowed: dev:PATH"},
		{"copies = 1\n", "printer: allowed: dev:PATH"},
		{"printer = 'folder:x'\ndpi = 204\n", "dpi: allowed: 203, 300, 600"},
		{"printer = 'folder:x'\npass = '../x.toml'\n", "pass: the name of a file in labels"},
		{"printer = 'folder:x'\nfail = 'x.txt'\n", "fail: the name of a file in labels"},
		{"printer = 'folder:x'\ncopies = 100\n", "copies: 1 to 99"},
		{"printer = 'folder:x'\ntimeout = '1h'\n", "a time span from 1s to 2m"},
		{"printer = 'folder:x'\ntimeout = 10\n", "timeout: a time span from 1s to 2m"},
		{"printer = 'folder:x'\nspeed = 10\n", "unknown key \"label.speed\""},
		{"printer = 'folder:x'\npass = 'none'\nfail = 'bad.toml'\n", filepath.Join("labels", "bad.toml") + ":2: height_mm: 5 to 250"},
		{"printer = 'folder:x'\npass = 'gone.toml'\n", "no such file"},
	} {
		p.write("home/station.toml", string(was)+"\n[label]\n"+try.text)
		if code, _, said := p.do("batch", "--pin-file", p.path("pin"), "--port", "/dev/null"); code != exitUsage || !strings.Contains(said, try.want) {
			t.Errorf("%q: %d %s, want %s", try.text, code, said, try.want)
		}
	}
	if n := p.count("begun"); n != 0 {
		t.Errorf("%d runs began", n)
	}
}

// TestLabelRead: a label is good for as long as what it says holds: a unit that passed
// again has it still, one that was scrapped has not.
func TestLabelRead(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(1)
	units, _ := p.batchOf(ports)
	serial := units[0].Serial
	out := p.must("label", "preview", serial, "-o", p.path("label.png"))
	_, witness, _ := strings.Cut(strings.TrimSpace(out), "witness ")
	read := func() (int, string) {
		code, out, errs := p.do("label", "read", serial+" "+witness)
		return code, out + errs
	}
	if code, said := read(); code != exitPassed || !strings.Contains(said, "genuine: unit "+serial+" passed") {
		t.Errorf("exit %d, %s", code, said)
	}
	p.batchOf(ports)
	if code, said := read(); code != exitPassed {
		t.Errorf("after another pass: exit %d, %s", code, said)
	}
	p.must("scrap", serial, "--reason", "superseded", "--approver", "qa-1")
	if code, said := read(); code != exitUnits || !strings.Contains(said, "genuine, but no longer true: the certificate of unit \""+serial+"\" was revoked since") {
		t.Errorf("after it was scrapped: exit %d, %s", code, said)
	}
}
