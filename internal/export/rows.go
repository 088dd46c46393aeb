// SPDX-License-Identifier: Apache-2.0

package export

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"provisioning.example/station/internal/record"
)

const (
	// chunkSize is how many entries go through the processors together.
	chunkSize = 250
	// progressStep is how many entries are read between two calls of Progress, whole chunks.
	progressStep = 4 * chunkSize
)

// chunk is a number of entries on their way: read in order, decoded and made into text on any processor, written in order.
type chunk struct {
	read    int64
	entries []record.Entry // read; when it is ready, those that are taken
	text    bytes.Buffer   // of them, in a format of [lines]
	err     error          // after the entries before it
	ready   chan struct{}
}

// writeRows writes what the options take of a source. Memory is bounded by the chunks that are on their way.
func writeRows(ctx context.Context, rows rowWriter, source Source, o Options) (n int64, err error) {
	ctx, stop := context.WithCancel(ctx)
	var ended sync.WaitGroup
	defer ended.Wait()
	defer stop()
	processors := runtime.GOMAXPROCS(0)
	work, order := make(chan *chunk), make(chan *chunk, 2*processors)
	text, _ := rows.(*lines)
	var used sync.Pool // chunks that were written: their memory serves again
	ended.Go(func() {
		defer close(work)
		defer close(order)
		readChunks(ctx, source, &used, work, order)
	})
	for range processors {
		ended.Go(func() {
			for c := range work {
				c.prepare(&o, text)
				close(c.ready)
			}
		})
	}
	var read int64
	for c := range order {
		<-c.ready
		if err := ctx.Err(); err != nil {
			return n, err
		}
		if err := c.write(rows, text); err != nil {
			return n, fmt.Errorf("export: %w", err)
		}
		n += int64(len(c.entries))
		if c.err != nil {
			return n, fmt.Errorf("export: %w", c.err)
		}
		if read += c.read; o.Progress != nil && read%progressStep == 0 {
			o.Progress(n)
		}
		used.Put(c)
	}
	return n, ctx.Err()
}

// readChunks reads a source to its end, its first error or the end of the context. Every chunk that comes out of order goes to work, too.
func readChunks(ctx context.Context, source Source, used *sync.Pool, work, order chan<- *chunk) {
	c := newChunk(used)
	hand := func() bool {
		c.read = int64(len(c.entries))
		full := c
		c = newChunk(used)
		select {
		case order <- full:
			work <- full
			return true
		case <-ctx.Done():
			return false
		}
	}
	for e, err := range source.Raw(ctx, 0, 0) {
		if err != nil {
			c.err = err
			break
		}
		if ctx.Err() != nil {
			return
		}
		if c.entries = append(c.entries, e); len(c.entries) == chunkSize && !hand() {
			return
		}
	}
	hand()
}

func newChunk(used *sync.Pool) *chunk {
	c, ok := used.Get().(*chunk)
	if !ok {
		c = &chunk{entries: make([]record.Entry, 0, chunkSize)}
	}
	c.entries, c.err, c.ready = c.entries[:0], nil, make(chan struct{})
	c.text.Reset()
	return c
}

// prepare decodes, drops what is not taken, and makes the text.
func (c *chunk) prepare(o *Options, text *lines) {
	if text == nil || !text.blind || len(o.Kinds) > 0 || o.Selection != (Selection{}) {
		c.decode(o)
	}
	if text == nil {
		return
	}
	if err := text.text(&c.text, c.entries); err != nil {
		c.err = err
	}
}

func (c *chunk) decode(o *Options) {
	taken := c.entries[:0]
	for _, e := range c.entries {
		var err error
		if e.Body, err = decode(e.Raw); err != nil {
			c.err = fmt.Errorf("entry %d of epoch %d: %w", e.Seq, e.Epoch, err)
			break
		}
		if (len(o.Kinds) == 0 || slices.Contains(o.Kinds, e.Body.Kind)) && o.selects(e) {
			taken = append(taken, e)
		}
	}
	c.entries = taken
}

func (c *chunk) write(rows rowWriter, text *lines) error {
	if text != nil {
		_, err := text.w.Write(c.text.Bytes())
		return err
	}
	for i := range c.entries {
		if err := rows.row(c.entries[i]); err != nil {
			return err
		}
	}
	return nil
}
