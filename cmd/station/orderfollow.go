// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/settings"
)

// followEvery is how often an order's file is looked at.
const followEvery = time.Second

// followOrder takes over what is changed in an order's file while the station
// works, until ctx ends. A mistake is told once, with file and line, and the
// station goes on with what it had. It may be that what belongs to the order, its
// signature or its list of units, is still being copied: so it is tried again.
func (b *bench) followOrder(ctx context.Context, st *provision.Station, f *orderFile, tell func(error)) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	last, told := sha256.Sum256(f.Text()), "" // the mistake in what the file holds
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		text, err := settings.Read(f.path)
		sum := sha256.Sum256(text)
		if errors.Is(err, fs.ErrNotExist) || err == nil && sum == last && told == "" {
			continue // an editor may replace the file: it comes back
		}
		var next *orderFile
		if err == nil {
			next, err = b.takeOver(ctx, st, f)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			f, told = next, ""
		case sum != last || err.Error() != told:
			tell(fmt.Errorf("the order goes on as it was: %w", err))
			told = err.Error()
		}
		last = sum
	}
}

// takeOver makes the station build what the order's file says now.
func (b *bench) takeOver(ctx context.Context, st *provision.Station, f *orderFile) (*orderFile, error) {
	next, err := b.home.loadOrder(f.path)
	if err != nil {
		return nil, err
	}
	if next.Product() != f.Product() {
		return nil, fmt.Errorf("%s: another product needs a new start", f.path)
	}
	units, err := b.takeOrder(ctx, next)
	if err != nil {
		return nil, err
	}
	return next, st.Take(ctx, next.Order, units)
}
