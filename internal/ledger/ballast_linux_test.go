// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestBallastOfNothing: a file that is a hole, as a copied home may have one, is no ballast.
func TestBallastOfNothing(t *testing.T) {
	c := create(t)
	c.Ballast = 3 << 20
	path := filepath.Join(filepath.Dir(c.Path), "ballast")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, c.Ballast); err != nil {
		t.Fatal(err)
	}
	l := open(t, c)
	if err := l.KeepBallast(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if taken := info.Sys().(*syscall.Stat_t).Blocks * 512; taken < c.Ballast {
		t.Errorf("the ballast takes %d bytes of the disk, want %d", taken, c.Ballast)
	}
}
