// SPDX-License-Identifier: Apache-2.0

package label

import (
	"context"
	"time"
)

// Bounded lets a test give the printer something that does not come back.
func (p *Printer) Bounded(ctx context.Context, do func(context.Context) error) error {
	return p.bounded(ctx, do)
}

// Wait sets how long the other side of a connection may keep it open.
func (p *Printer) Wait(d time.Duration) { p.patience = d }

// MaxWaiting is how many labels may wait.
const MaxWaiting = maxWaiting
