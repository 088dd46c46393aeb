// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/creack/pty"

	"provisioning.example/station/internal/powercut"
	"provisioning.example/station/internal/record"
)

// TestDisk puts a home on a disk of its own, which loses its power while boards
// are at work, gets full and turns read-only. Whatever was said to have passed
// is on record, each trouble is named, and the line goes on afterwards.
func TestDisk(t *testing.T) {
	if !powercut.Enter(t) {
		return
	}
	disk := powercut.New(t, "ext4", 160)
	p := newPlantWith(t, posixProduct, func(p *plant) string {
		if err := os.Symlink(disk.Dir(), p.path("home")); err != nil {
			t.Fatal(err)
		}
		p.manufacture()
		p.startTPM()
		return "unix:" + p.path("sock")
	})
	p.config("min_free_mib = 512", "min_free_mib = 32")
	ports := p.agents(6)
	p.must(p.batchArgs(ports[:1])...)
	ballast := p.path("home/ledger/ballast")
	if !exists(ballast) {
		t.Error("there is no ballast")
	}

	disk.Flush()                           // of the product's file, which nobody wrote as the station writes
	serials := p.batchCut(disk, ports[:4]) // the first has passed before: it tells of its PASS at once
	if !exists(p.path("home/ledger/ledger.db")) {
		t.Fatal("the ledger is gone")
	}
	for _, s := range serials {
		p.sqlite("select count(*) > 0 from entry where kind = 'end' and outcome = 'passed' and serial = '"+s+"'", "1")
	}
	p.must(p.batchArgs(ports[:4])...)
	p.content()

	disk.Fill()
	code, out, errs := p.do(p.batchArgs(ports[4:5])...)
	if code == exitPassed || !strings.Contains(out+errs, "are free in") {
		t.Errorf("on a full disk: exit %d\n%s%s", code, out, errs)
	}
	if exists(ballast) {
		t.Error("on a full disk the ballast was not used")
	}
	if code, out, _ := p.do("doctor"); code != exitUnfit || !hasStop(out, "disk") {
		t.Errorf("doctor: exit %d\n%s", code, out)
	}
	disk.Empty()
	p.must(p.batchArgs(ports[4:5])...)
	if !exists(ballast) {
		t.Error("there is room, and no ballast")
	}

	issued := p.count(record.KindIssued)
	disk.TurnReadOnly()
	if code, out, errs := p.do(p.batchArgs(ports[5:])...); code != exitUnfit || !strings.Contains(out+errs, "read-only") {
		t.Errorf("on a read-only disk: exit %d\n%s%s", code, out, errs)
	}
	disk.Restore()
	if n := p.count(record.KindIssued); n != issued {
		t.Errorf("%d certificates were issued on a read-only disk", n-issued)
	}
	p.must(p.batchArgs(ports[5:])...)
	p.content()
}

// batchCut runs a batch until it tells of the first PASS, and takes the disk's
// power away. It returns the serials of the units that were said to have passed.
func (p *plant) batchCut(disk *powercut.Disk, ports []string) (passed []string) {
	p.t.Helper()
	// Nobody answers at the last port: the batch is not over when its power is cut.
	master, silent, err := pty.Open()
	if err != nil {
		p.t.Fatal(err)
	}
	defer master.Close()
	defer silent.Close()
	c := p.station(p.batchArgs(append(slices.Clone(ports), silent.Name()))...)
	said, err := c.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	for lines := bufio.NewScanner(said); lines.Scan(); {
		var e unitEvent
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Outcome != record.Passed {
			continue
		}
		if passed = append(passed, e.Serial); len(passed) == 1 {
			disk.CutUnder(c.Process)
		}
	}
	if err := c.Wait(); err == nil || len(passed) == 0 {
		p.t.Fatalf("the batch ended before its power was cut: %v, %q passed", err, passed)
	}
	disk.Restore()
	return passed
}
