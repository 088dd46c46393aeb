// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"provisioning.example/station/internal/record"
)

// office gives the plant an office that signs orders, and a stick.
func (p *plant) office() {
	p.t.Helper()
	if err := os.Mkdir(p.path("stick"), 0o700); err != nil {
		p.t.Fatal(err)
	}
	p.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", p.path("office.key"))
	p.openssl("ec", "-in", p.path("office.key"), "-pubout", "-out", p.path("home/office.pem"))
	p.config("[keys]", "order_key = 'office.pem'\n[keys]")
}

// order writes an order onto the stick, signed.
func (p *plant) order(name, text string) string {
	p.t.Helper()
	file := "stick/" + name + ".toml"
	p.write(file, fmt.Sprintf("order = %q\nproduct = \"gw\"\n", name)+text)
	p.openssl("dgst", "-sha256", "-sign", p.path("office.key"), "-out", p.path(file+".sig"), p.path(file))
	return p.path(file)
}

// orders are what list says, by name.
func (p *plant) orders(args ...string) map[string]orderRow {
	p.t.Helper()
	rows := map[string]orderRow{}
	for line := range strings.Lines(p.must(append([]string{"order", "list", "--json"}, args...)...)) {
		var o orderRow
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			p.t.Fatal(err)
		}
		rows[o.Order] = o
	}
	return rows
}

// TestOrder: a signed order of 3 is taken from a stick and built on 4 boards,
// over two batches; no number is given twice, no fourth unit is made.
func TestOrder(t *testing.T) {
	p := newPlant(t, posixProduct)
	file := p.order3(t)
	ports := p.agents(4)
	p.must("order", "import", file)
	if o := p.orders()["WO-7"]; o.Quantity != 3 || o.Done != 0 || o.State != "late" || !o.Signed || o.Serial != "range" {
		t.Errorf("%+v", o)
	}
	units, _ := events(t, p.must(p.batchArgs(ports[:2], "--order", "WO-7")...))
	got := map[string]string{}
	for _, u := range units {
		got[u.Serial] = u.UID
	}
	if len(got) != 2 || got["PC-0101"] == "" || got["PC-0102"] == "" {
		t.Errorf("the first two: %v", got)
	}
	units, _ = events(t, p.must(p.batchArgs(ports[2:], "--order", "WO-7")...))
	if len(units) != 1 || units[0].Serial != "PC-0103" {
		t.Errorf("the third: %+v", units)
	}
	code, _, errs := p.do(p.batchArgs(ports[3:], "--order", "WO-7")...)
	if code != exitUsage || !strings.Contains(errs, "order WO-7 is complete: 3 of 3 units") {
		t.Errorf("a fourth: exit %d, %s", code, errs)
	}
	if o := p.orders()["WO-7"]; o.State != "complete" || o.Done != 3 {
		t.Errorf("%+v", o)
	}
	p.must("order", "close", "WO-7", "--reason", "delivered")
	if len(p.orders()) != 0 || p.orders("--all")["WO-7"].State != "closed" {
		t.Errorf("closed: %+v", p.orders("--all"))
	}
	for _, args := range [][]string{{"order", "import", file}, {"order", "close", "WO-7"}, p.batchArgs(ports[3:], "--order", "WO-7")} {
		if code, _, errs := p.do(args...); code != exitUsage || !strings.Contains(errs, "was closed") {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
	if p.count(record.KindOrder) != 2 {
		t.Errorf("%d order entries", p.count(record.KindOrder))
	}
	p.sqlite("SELECT group_concat(n) FROM (SELECT count(DISTINCT uid) n FROM entry WHERE kind = 'issued' GROUP BY serial)", "1,1,1")
	p.content()
}

func (p *plant) order3(t *testing.T) string {
	t.Helper()
	p.office()
	return p.order("WO-7", "quantity = 3\nserial = \"range\"\nfirst = \"PC-0101\"\nlast = \"PC-0110\"\ndue = \"2026-01-31\"\n")
}

// TestOrderRefused: what the office did not sign, what was changed since, and
// what cannot be built, with file and line; the order before goes on.
func TestOrderRefused(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(1)
	refused := func(want string, args ...string) {
		t.Helper()
		if code, out, errs := p.do(args...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%v: exit %d, want %q\n%s%s", args, code, want, out, errs)
		}
	}
	refused("order_key is not set", "order", "import", p.path("stick/WO-7.toml"))
	refused("there is no order WO-1", p.batchArgs(ports, "--order", "WO-1")...)
	refused("is no order's name", p.batchArgs(ports, "--order", "a/b")...)
	file := p.order3(t)
	p.must("order", "import", file)
	text := p.read("stick/WO-7.toml")
	p.write("home/orders/WO-7.toml", strings.Replace(text, "quantity = 3", "quantity = 4", 1))
	refused("not signed by the office's key, or was changed since", p.batchArgs(ports, "--order", "WO-7")...)
	refused("WO-7.toml", "order", "list")
	p.write("stick/WO-7.toml", strings.Replace(text, "quantity = 3", "quantity = 4", 1))
	refused("not signed", "order", "import", file)
	p.order("WO-7", "quantity = 3\nserial = \"range\"\nfirst = \"PC-0101\"\nlast = \"PC-0102\"\n")
	refused("WO-7.toml:6: last: 2 numbers", "order", "import", file)
	p.write("stick/other.toml", text)
	refused("other.toml", "order", "import", p.path("stick/other.toml"))
	list := "serial\nA-1\nA-2\n"
	p.write("stick/list.csv", list)
	manifest := "serial = \"manifest\"\nmanifest = \"list.csv\"\nmanifest_sha256 = %q\n"
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(list)))
	refused("2 units, order WO-8 wants 3", "order", "import", p.order("WO-8", "quantity = 3\n"+fmt.Sprintf(manifest, sum)))
	p.write("stick/list.csv", list+"A-3\n")
	refused("is not the manifest that order WO-8 names", "order", "import", p.order("WO-8", "quantity = 2\n"+fmt.Sprintf(manifest, sum)))
	p.write("stick/list.csv", list)
	p.must("order", "import", p.path("stick/WO-8.toml"))
	refused("order WO-8 gives serials by manifest", p.batchArgs(ports, "--order", "WO-8", "--units", p.path("stick/list.csv"))...)
	units, _ := events(t, p.must(p.batchArgs(ports, "--order", "WO-8")...))
	if len(units) != 1 || units[0].Serial != "A-1" {
		t.Errorf("%+v", units)
	}
	p.write("stick/list.csv", "serial\nB-1\n")
	other := p.order("WO-9", "quantity = 1\n"+fmt.Sprintf(manifest, fmt.Sprintf("%x", sha256.Sum256([]byte("serial\nB-1\n")))))
	refused("order WO-8 has another manifest that is called list.csv", "order", "import", other)
	p.must("order", "export", "WO-8", "--out", p.dir)
	if p.read("WO-8.toml") != p.read("stick/WO-8.toml") || p.read("list.csv") != list || !exists(p.path("WO-8.toml.sig")) {
		t.Error("what was exported is not what was imported")
	}
	refused("is there already", "order", "export", "WO-8", "--out", p.dir)
	p.must("order", "close", "WO-8")
	p.must("order", "import", other)
	p.content()
}

// TestOrderByHand: without an office an order is a file; a change of it is on
// record, a mistake in it names file and line.
func TestOrderByHand(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(1)
	write := func(rest string) { p.write("home/orders/WO-1.toml", "order = \"WO-1\"\nproduct = \"gw\"\n"+rest) }
	write("quantity = 1\n")
	p.must(p.batchArgs(ports, "--order", "WO-1")...)
	write("quantity = two\n")
	for _, args := range [][]string{p.batchArgs(ports, "--order", "WO-1"), {"order", "list"}} {
		if code, _, errs := p.do(args...); code != exitUsage || !strings.Contains(errs, "WO-1.toml:3: ") {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
	write("quantity = 2\n")
	p.must(p.batchArgs(ports, "--order", "WO-1")...)
	p.sqlite("SELECT group_concat(body ->> '$.action') FROM entry WHERE kind = 'order'", "created,changed")
	if o := p.orders()["WO-1"]; o.Done != 1 || o.State != "open" || o.Signed {
		t.Errorf("%+v", o)
	}
	var serials []string
	units, _ := events(t, p.must(p.batchArgs(ports, "--order", p.path("home/orders/WO-1.toml"))...))
	for _, u := range units {
		serials = append(serials, u.Serial)
	}
	if !slices.Equal(serials, []string{"00c0ffee0001"}) || p.count(record.KindOrder) != 2 {
		t.Errorf("%v, %d order entries", serials, p.count(record.KindOrder))
	}
	p.content()
}
