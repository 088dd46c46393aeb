// SPDX-License-Identifier: Apache-2.0

package smp

import (
	"bytes"
	"sync"
)

// console keeps the last MaxConsole bytes of a board's text.
type console struct {
	mu   sync.Mutex // guards text: Console may be called during a request
	text []byte     // at most twice MaxConsole
}

func (c *console) write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b = b[max(0, len(b)-MaxConsole):]
	if len(c.text)+len(b) > 2*MaxConsole {
		c.text = append(c.text[:0], c.text[len(c.text)-MaxConsole:]...)
	}
	c.text = append(c.text, b...)
}

func (c *console) last() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.text[max(0, len(c.text)-MaxConsole):])
}
