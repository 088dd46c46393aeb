// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// GoldenWhat is what selfcheck entries call the check with a golden unit.
const GoldenWhat = "golden unit"

// ErrGolden marks a check with the golden unit that did not pass: it is on
// record, and the bench is not fit until somebody found out why.
var ErrGolden = errors.New("the golden unit did not pass")

// Golden tries bench and station with a unit that is known to be good: it passed
// here, and is kept for this. Over the same port, cable and fixture as any board
// it is read back and compared with the ledger, proves its key, restarts and
// proves it again. Nothing on it changes. How it went is put on record.
//
// It returns the entry's number. Errors: ErrRefused where the unit is none for
// this (nothing is recorded then), ErrGolden where it did not pass, the ledger's.
func (d Desk) Golden(ctx context.Context, name UnitName, line Line) (int64, error) {
	u, err := d.unit(ctx, name)
	if err != nil {
		return 0, err
	}
	if u.history.last == nil || !u.history.passed || u.history.scrapped {
		return 0, refused("unit %s did not pass here, or not since it was reworked: a golden unit did", u.serial)
	}
	began := time.Now()
	g := &golden{visit: visit{desk: d, unit: u, line: line}}
	failed := g.check(ctx)
	b := d.stamp(record.Body{
		Kind: record.KindSelfcheck, What: GoldenWhat + " " + u.serial, Outcome: record.Passed,
		Detail: fmt.Sprintf("board %s/%s at %s: read back, proven, restarted and proven again in %d ms", u.model, u.uid, line.Port, time.Since(began).Milliseconds()),
	})
	if failed != nil {
		b.Outcome, b.Detail = record.Failed, record.Plain(fmt.Sprintf("board %s/%s at %s: %v", u.model, u.uid, line.Port, failed), 500)
	}
	seqs, err := d.Ledger.Append(context.WithoutCancel(ctx), ledger.Batch{Bodies: []record.Body{b}})
	if err == nil {
		err = d.Ledger.Cover(context.WithoutCancel(ctx), seqs[0])
	}
	if err != nil {
		return 0, err
	}
	if failed != nil {
		return seqs[0], fmt.Errorf("%w: %w", ErrGolden, failed)
	}
	return seqs[0], nil
}

type golden struct{ visit }

// check is the whole of it.
func (g *golden) check(ctx context.Context) error {
	if err := g.meet(ctx); err != nil {
		return err
	}
	defer g.leave()
	if g.info.State < enroll.Installed || g.info.SPKI == nil || hexOf(g.info.SPKI[:]) != g.unit.history.last.SPKI {
		return fmt.Errorf("it is %s, with another key than the ledger's or none", g.info.State)
	}
	if err := g.readBack(ctx); err != nil {
		return err
	}
	if err := g.prove(ctx); err != nil {
		return err
	}
	state := g.info.State
	info, err := g.session.Reset(ctx)
	if err != nil {
		return err
	}
	if g.info = info; info.State != state {
		return fmt.Errorf("after the restart it is %s, not %s", info.State, state)
	}
	return g.prove(ctx)
}

// readBack compares the stored certificate with the ledger's, and the chain with
// what the board says of it.
func (g *golden) readBack(ctx context.Context) error {
	chain, err := g.session.Get(ctx, "chain")
	if err != nil {
		return err
	}
	cert, err := g.certificate(ctx)
	if err != nil {
		return err
	}
	if g.unit.history.last.Kind != record.KindRenewed && !bytes.HasPrefix(chain, cert.Raw) {
		return fmt.Errorf("%w: its certificate is not the ledger's", enroll.ErrReadBack)
	}
	if sha256.Sum256(chain) != orZero(g.info.Chain) {
		return fmt.Errorf("%w: the chain differs from its digest", enroll.ErrReadBack)
	}
	return nil
}

// GoldenCheck is a check with the golden unit that is on record.
type GoldenCheck struct {
	At     time.Time
	Passed bool
}

// LastGolden is the last check with a golden unit, however it ended; a zero time:
// there was none.
func LastGolden(ctx context.Context, r *reader.Reader, serial string) (GoldenCheck, error) {
	for at, more := (reader.Cursor{}), true; more; {
		page, next, older, err := r.Page(ctx, reader.Filter{Kinds: []string{record.KindSelfcheck}}, at, reader.MaxPage)
		if err != nil {
			return GoldenCheck{}, err
		}
		for _, e := range page {
			if e.Body.What == GoldenWhat+" "+serial {
				when, err := record.ParseTime(e.Body.Time)
				return GoldenCheck{when, e.Body.Outcome == record.Passed}, err
			}
		}
		at, more = next, older
	}
	return GoldenCheck{}, nil
}
