// SPDX-License-Identifier: Apache-2.0

package plant

import (
	"iter"
	"sync"
)

// ahead is how many values are read before they are asked for.
const ahead = 64

type pulled[T any] struct {
	value T
	err   error
}

// pull is iter.Pull2 for values that are asked for by more than one goroutine, one at a time: what is copied to the
// server is read by a goroutine of the driver's, and the coroutine of iter.Pull2 does not bear that when this one is locked to
// its thread. stop waits until nothing is read any more.
func pull[T any](seq iter.Seq2[T, error]) (next func() (T, error, bool), stop func()) {
	values, stopped := make(chan pulled[T], ahead), make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(values)
		for v, err := range seq {
			select {
			case values <- pulled[T]{v, err}:
			case <-stopped:
				return
			}
		}
	})
	next = func() (T, error, bool) {
		p, more := <-values
		return p.value, p.err, more
	}
	return next, sync.OnceFunc(func() {
		close(stopped)
		reading.Wait()
	})
}
