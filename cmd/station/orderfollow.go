// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"time"

	"provisioning.example/station/internal/provision"
)

// followEvery is how often an order's file is looked at.
const followEvery = time.Second

// followOrder takes over what is changed in an order's file while the station
// works, until ctx ends. A mistake is told once, with file and line, and the
// station goes on with what it had.
func (b *bench) followOrder(ctx context.Context, st *provision.Station, f *orderFile, tell func(error)) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	last := sha256.Sum256(f.Text())
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		text, err := os.ReadFile(f.path)
		sum := sha256.Sum256(text)
		if err != nil || sum == last {
			continue // an editor may replace the file: it comes back
		}
		last = sum
		next, err := b.home.loadOrder(f.path)
		if err == nil && next.Product() != f.Product() {
			err = fmt.Errorf("%s: another product needs a new start", f.path)
		}
		var units *provision.Units
		if err == nil {
			units, err = b.takeOrder(ctx, next)
		}
		if err == nil {
			err = st.Take(ctx, next.Order, units)
		}
		if err != nil {
			tell(fmt.Errorf("the order goes on as it was: %w", err))
			continue
		}
		f = next
	}
}
