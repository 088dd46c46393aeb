// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/powercut"
)

// killed runs a command that is killed when it is about to do its n-th step
// that lasts; false: it ended before.
func (p *plant) killed(n int, args ...string) bool {
	p.t.Helper()
	c := p.station(args...)
	said, err := os.Create(p.path("said"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer said.Close()
	c.Stdout, c.Stderr = said, said
	killed, err := powercut.KillAtStep(c, n)
	if err != nil {
		p.t.Fatal(err)
	}
	return killed
}

// everyStep runs a command again and again, each time with SIGKILL at a step
// further on, until it ends by itself; check looks at what is left each time.
func (p *plant) everyStep(check func(n int), args ...string) {
	p.t.Helper()
	n := 1
	for ; p.killed(n, args...); n++ {
		check(n)
	}
	p.t.Logf("station %s: killed before each of its %d steps", strings.Join(args, " "), n-1)
	if n < 4 {
		p.t.Errorf("that is too few to prove anything")
	}
	check(n)
}

// TestKilledAtEveryStep kills the commands that make copies and files of the
// ledger, with SIGKILL before each flush to the disk and each change of a name.
// A file is whole under its name or not there, the ledger stays valid, and the
// next try goes on.
func TestKilledAtEveryStep(t *testing.T) {
	p := newPlant(t, posixProduct)
	p.must(p.batchArgs(p.agents(1))...)
	valid := func(int) {
		p.t.Helper()
		p.must("ledger", "verify", "--root", p.path("root/root.pem"))
	}
	for _, c := range []struct {
		name string
		args []string
	}{
		{"backup", []string{"ledger", "backup", "--to", p.path("out")}},
		{"bundle", []string{"ledger", "export", "--format", "bundle", "--out", p.path("out/all.bundle")}},
		{"csv", []string{"ledger", "export", "--format", "csv", "--out", p.path("out/all.csv")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.t = t
			if err := os.Mkdir(p.path("out"), 0o700); err != nil {
				t.Fatal(err)
			}
			p.everyStep(func(n int) {
				for _, made := range p.visible("out") {
					p.whole(made)
				}
				valid(n)
			}, c.args...)
			if len(p.visible("out")) == 0 {
				t.Error("it was not killed at last, and made nothing")
			}
			if err := os.RemoveAll(p.path("out")); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("restore", func(t *testing.T) {
		p.t = t
		kept := p.keepLedger("kept.db")
		if err := os.RemoveAll(p.path("home/ledger")); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(p.path("home/ledger"), 0o700); err != nil {
			t.Fatal(err)
		}
		p.everyStep(func(int) {}, p.restoreArgs(kept, "--accept-loss")...)
		p.certifyAgain()
		p.content()
	})
}

// visible are the files in a folder that are not hidden, without those that
// who reads a copy makes beside it.
func (p *plant) visible(dir string) (all []string) {
	p.t.Helper()
	names, err := filepath.Glob(filepath.Join(p.path(dir), "[^.]*"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, "-wal") && !strings.HasSuffix(name, "-shm") {
			all = append(all, name)
		}
	}
	return all
}

// whole demands that a file is complete.
func (p *plant) whole(path string) {
	p.t.Helper()
	switch filepath.Ext(path) {
	case ".db":
		r, err := reader.Open(p.t.Context(), path)
		if err != nil {
			p.t.Errorf("%s: %v", path, err)
			return
		}
		defer r.Close()
		if err := r.Check(p.t.Context()); err != nil {
			p.t.Errorf("%s: %v", path, err)
		}
	default:
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			p.t.Errorf("%s: %v %v", path, info, err)
		}
	}
}
