// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// backupConfig is [backup] of station.toml: where copies of the ledger go, how
// often, and how many stay.
type backupConfig struct {
	Dir   string `toml:"dir"`   // a relative one lies in the home
	Every period `toml:"every"` // 0: defaultBackupEvery
	Keep  int    `toml:"keep"`  // 0: all
}

const (
	defaultBackupEvery = 24 * time.Hour
	minBackupEvery     = time.Minute
	maxBackupEvery     = 31 * 24 * time.Hour
	maxBackupKeep      = 10000
	// backupAgain is how long after a failure the next attempt is made.
	backupAgain = 10 * time.Minute
)

// period is a time span in a configuration file, as "24h" or "30m".
type period time.Duration

// UnmarshalText reads a span.
func (p *period) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if *p = period(d); err != nil || !p.ok() {
		return fmt.Errorf("%q: %s", text, backupEveryAllowed)
	}
	return nil
}

const backupEveryAllowed = "a time span from 1m to 744h, as \"24h\""

// ok refuses also a bare number, which the file's parser takes for nanoseconds.
func (p period) ok() bool { d := time.Duration(p); return d >= minBackupEvery && d <= maxBackupEvery }

// MarshalText writes it so that UnmarshalText takes it.
func (p period) MarshalText() ([]byte, error) {
	if p == 0 {
		p = period(defaultBackupEvery)
	}
	return []byte(time.Duration(p).String()), nil
}

func (c *backupConfig) every() time.Duration {
	return cmp.Or(time.Duration(c.Every), defaultBackupEvery)
}

// backupDir is where the schedule's copies go.
func (h *home) backupDir() string {
	if dir := h.cfg.Backup.Dir; filepath.IsAbs(dir) {
		return dir
	}
	return h.path(h.cfg.Backup.Dir)
}

// lastBackup is when the newest copy was made that is on record and still in
// the schedule's folder; zero if there is none.
func (h *home) lastBackup(ctx context.Context, r *reader.Reader) (time.Time, error) {
	page, _, _, err := r.Page(ctx, reader.Filter{Kinds: []string{record.KindBackup}}, reader.Cursor{}, reader.MaxPage)
	if err != nil {
		return time.Time{}, err
	}
	for _, e := range page {
		if i, err := os.Stat(filepath.Join(h.backupDir(), e.Body.File)); err == nil && i.Mode().IsRegular() {
			return record.ParseTime(e.Body.Time)
		}
	}
	return time.Time{}, nil
}

// schedule makes copies while a station works: one when it is due at the start,
// and one each time a period has passed. What it cannot do is told, and tried
// again; the line never waits for it.
type schedule struct {
	every time.Duration
	last  func(context.Context) (time.Time, error)
	make  func(context.Context) error
	log   *slog.Logger

	mu      sync.Mutex // guards trouble
	trouble error      // of the last attempt
}

// run works until idle ends. A copy that was begun is finished, unless ctx ends.
func (s *schedule) run(ctx context.Context, idle <-chan struct{}) {
	for {
		wait := time.Duration(0)
		last, err := s.last(ctx)
		if err == nil {
			if wait = time.Until(last.Add(s.every)); wait <= 0 {
				err, wait = s.make(ctx), s.every
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("no copy of the ledger was made; the line goes on", "error", err)
			wait = min(backupAgain, s.every)
		}
		s.tell(err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-idle:
			timer.Stop()
			return
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (s *schedule) tell(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = err
}

// Err is why the last attempt failed, or nil; also for a station without a
// schedule, which is nil.
func (s *schedule) Err() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble
}

// keepBackups starts the schedule of station.toml, if there is one. end waits
// for a copy that was begun; ctx ends that, too.
func (b *bench) keepBackups(ctx context.Context) (end func()) {
	c := b.home.cfg.Backup
	if c == nil {
		return func() {}
	}
	b.schedule = &schedule{
		every: c.every(),
		last:  func(ctx context.Context) (time.Time, error) { return b.home.lastBackup(ctx, b.reader) },
		make: func(ctx context.Context) error {
			_, err := b.backup(ctx, b.home.backupDir(), c.Keep)
			return err
		},
		log: b.log,
	}
	idle := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() { b.schedule.run(ctx, idle) })
	return func() {
		close(idle)
		ended.Wait()
	}
}

// backupRemedy is what to do about copies that are not made.
const backupRemedy = "mend the folder of [backup] in station.toml, then: station ledger backup"

func lookBackup(ctx context.Context, x *examination) finding {
	c := x.home.cfg.Backup
	if c == nil {
		return warn("set [backup] in station.toml, to a folder on another disk", "nothing copies the ledger")
	}
	dir := x.home.backupDir()
	if i, err := os.Stat(dir); err != nil || !i.IsDir() {
		return warn(backupRemedy, "there is no folder %s", dir)
	}
	r, err := reader.Open(ctx, x.home.ledgerPath())
	if err != nil {
		return warn("see the ledger's line", "no ledger to copy")
	}
	defer r.Close()
	last, err := x.home.lastBackup(ctx, r)
	age := x.now.Sub(last)
	switch {
	case err != nil:
		return warn("see the ledger's line", "%v", err)
	case last.IsZero():
		return warn(backupRemedy, "there is no copy of the ledger in %s", dir)
	case age > c.every()+backupAgain:
		return warn(backupRemedy, "the newest copy of the ledger is of %s UTC, one is due every %s", last.Format(time.DateTime), c.every())
	}
	return ok("the newest copy is of %s UTC", last.Format(time.DateTime))
}
