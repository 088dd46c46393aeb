// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"provisioning.example/station/bench/lot"
	"provisioning.example/station/internal/ledger/reader"
)

// lots are the long ledgers: made once, kept in a folder outside of the repository.
type lots struct {
	dir   string
	sizes []int64 // entries
	turns int     // of what takes long; 0: by the size
}

// newLots reads sizes as 1000000,10000000. Without a folder the user's cache is taken.
func newLots(dir, sizes string) (lots, error) {
	l := lots{dir: dir}
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return l, err
		}
		l.dir = filepath.Join(cache, "station-bench")
	}
	for text := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1000 {
			return l, fmt.Errorf("%q is no number of entries from 1000", text)
		}
		l.sizes = append(l.sizes, n)
	}
	return l, nil
}

// lot finds the ledger of a size, or makes it.
func (p *plant) lot(ctx context.Context, entries int64) (string, error) {
	dir := filepath.Join(p.lots.dir, fmt.Sprintf("lot-%d", entries))
	if there(dir) {
		return dir, nil
	}
	began := time.Now()
	err := lot.New(ctx, p.station, lot.Config{Dir: dir, Entries: entries, Progress: func(n int64) {
		fmt.Fprintf(os.Stderr, "\rmaking %s: %d entries, %.0f s", dir, n, time.Since(began).Seconds())
	}})
	fmt.Fprintln(os.Stderr)
	return dir, err
}

// turnsFor is how often something is measured that takes long with a long ledger.
func (l lots) turnsFor(entries int64) int {
	switch {
	case l.turns > 0:
		return l.turns
	case entries > 2_000_000:
		return 1
	}
	return 3
}

// run is what a process took.
type run struct {
	seconds, cpu float64
	peak         int64 // bytes of memory that were its own at once
}

// measure runs a program to its end. Its memory is what /proc says of it at
// the last look before that; what wait4 says may be this process's own.
func measure(c *exec.Cmd) (run, error) {
	var errs bytes.Buffer
	c.Stderr = &errs
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	if err := c.Start(); err != nil {
		return run{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var r run
	for {
		select {
		case <-tick.C:
			if now, err := highWater(c.Process.Pid); err == nil {
				r.peak = max(r.peak, now)
			}
		case err := <-ended:
			r.seconds = time.Since(began).Seconds()
			if err != nil {
				return r, fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, &errs)
			}
			r.cpu = (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
			return r, nil
		}
	}
}

// highWater is the most memory that a process had until now, in bytes.
func highWater(pid int) (int64, error) {
	text, err := field(fmt.Sprintf("/proc/%d/status", pid), "VmHWM")
	if err != nil {
		return 0, err
	}
	number, _, _ := strings.Cut(text, " ")
	kib, err := strconv.ParseInt(number, 10, 64)
	return kib << 10, err
}

// count asks a ledger for numbers.
func count(ctx context.Context, path, query string, into ...any) (err error) {
	db, err := sql.Open("sqlite3", reader.DSN(path, "mode=ro&_query_only=on"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.QueryRowContext(ctx, query).Scan(into...)
}

// home is the station's home of a lot.
func home(dir string) string { return filepath.Join(dir, "home") }

// million writes a number of entries.
func million(n int64) string {
	if n%1_000_000 == 0 {
		return fmt.Sprintf("%d M", n/1_000_000)
	}
	return fmt.Sprintf("%d k", n/1000)
}
