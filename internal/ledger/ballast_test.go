// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/ledger"
)

// TestBallast fills the database up: the ballast goes, once, and comes back when it is asked for.
func TestBallast(t *testing.T) {
	c := create(t)
	c.Ballast = 3<<20 + 5
	l := open(t, c)
	path := filepath.Join(filepath.Dir(c.Path), "ballast")
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	if size() != c.Ballast {
		t.Fatalf("the ballast has %d bytes", size())
	}
	ledger.Pragma(t, l, "max_page_count = 100")
	acked, err := fillUp(t, l, nil)
	var we *ledger.WriteError
	if !errors.As(err, &we) || !we.Full || we.Final || size() != 0 {
		t.Fatalf("%v, ballast of %d bytes", err, size())
	}
	ledger.Pragma(t, l, "max_page_count = 200")
	appendTo(t, l, bodies(stop("there is room")))
	content(t, l, append(acked, "there is room"))
	if err := l.KeepBallast(); err != nil || size() != c.Ballast {
		t.Errorf("%v, %d bytes", err, size())
	}
	if err := os.Truncate(path, 1); err != nil {
		t.Fatal(err)
	}
	if err := l.KeepBallast(); err != nil || size() != c.Ballast {
		t.Errorf("one that was cut off: %v, %d bytes", err, size())
	}
}

// TestBallastThatDoesNotFit is no reason not to open, and leaves nothing behind.
func TestBallastThatDoesNotFit(t *testing.T) {
	c := create(t)
	c.Ballast = 1 << 62
	l := open(t, c)
	if err := l.KeepBallast(); err == nil || !strings.Contains(err.Error(), "ballast") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(c.Path), "ballast")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}
