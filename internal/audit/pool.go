// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"runtime"
	"sync"
)

// pool checks signatures on all processors while one goroutine walks the ledger.
type pool struct {
	work  chan func()
	ended sync.WaitGroup
}

func (p *pool) start(ctx context.Context) {
	p.work = make(chan func(), 64)
	for range runtime.GOMAXPROCS(0) {
		p.ended.Go(func() {
			for f := range p.work {
				if ctx.Err() == nil {
					f()
				}
			}
		})
	}
}

// do hands over a check. It waits while all processors are busy, which bounds memory.
func (p *pool) do(f func()) { p.work <- f }

func (p *pool) wait() {
	close(p.work)
	p.ended.Wait()
}
