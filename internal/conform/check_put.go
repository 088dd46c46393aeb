// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"bytes"
	"context"
	"fmt"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
)

// text is an object of n bytes that was never put before.
func text(n int) []byte {
	label := random32()
	return append(label[:], bytes.Repeat([]byte{'t'}, n-len(label))...)
}

// staged puts the first n bytes of a fresh object of 150 as chain.
func (b *bench) staged(ctx context.Context, n int) ([]byte, error) {
	object := text(150)
	return object, b.put(ctx, fmt.Sprintf("put of %d bytes of 150", n), putCall("chain", 0, object[:n], object), n)
}

// wants puts and demands rc 4 with the offset wanted.
func (b *bench) wants(ctx context.Context, step string, c call, off int) error {
	r, err := b.refusal(ctx, step, c, enroll.RCOffset)
	if err != nil {
		return err
	}
	if r.Off == nil || *r.Off != uint64(off) {
		return wrong(step, fmt.Sprintf("a top-level off %d beside rc 4", off), "%v", r)
	}
	return nil
}

func (b *bench) putEmpty(ctx context.Context) error {
	object := text(100)
	for _, s := range []struct{ from, to, next int }{{0, 0, 0}, {0, 50, 50}, {50, 50, 50}, {50, 100, 100}, {100, 100, 100}} {
		step := fmt.Sprintf("put of bytes %d to %d of 100", s.from, s.to)
		if err := b.put(ctx, step, putCall("anchors", s.from, object[s.from:s.to], object), s.next); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) putResume(ctx context.Context) error {
	object, err := b.staged(ctx, 50)
	if err != nil {
		return err
	}
	for _, n := range []int{0, 20, 50, 60} {
		step := fmt.Sprintf("put of %d bytes at 0 where 50 are staged", n)
		if err := b.put(ctx, step, putCall("chain", 0, object[:n], object), 50); err != nil {
			return err
		}
	}
	return b.put(ctx, "put of bytes 50 to 60", putCall("chain", 50, object[50:60], object), 60)
}

func (b *bench) putAnew(ctx context.Context) error {
	object, err := b.staged(ctx, 50)
	if err != nil {
		return err
	}
	if err := b.put(ctx, "put of another object, 10 bytes at 0", putCall("chain", 0, object[40:50], object[40:]), 10); err != nil {
		return err
	}
	// The same digest with another len is another object too.
	longer := putCall("chain", 0, object[40:45], object[40:])
	longer.body["len"] = 111
	return b.put(ctx, "put with another len, 5 bytes at 0", longer, 5)
}

func (b *bench) putGap(ctx context.Context) error {
	object, err := b.staged(ctx, 50)
	if err != nil {
		return err
	}
	if err := b.wants(ctx, "put at 60 where 50 are staged", putCall("chain", 60, object[60:70], object), 50); err != nil {
		return err
	}
	if err := b.makeKey(ctx, "ES256", true); err != nil { // drops staging
		return err
	}
	return b.wants(ctx, "put at 60 where nothing is staged", putCall("chain", 60, object[60:70], object), 0)
}

func (b *bench) putRepeat(ctx context.Context) error {
	object, err := b.staged(ctx, 40)
	if err != nil {
		return err
	}
	second := putCall("chain", 40, object[40:80], object)
	for range 2 {
		if err := b.put(ctx, "put of bytes 40 to 80, and again", second, 80); err != nil {
			return err
		}
	}
	other := bytes.Clone(object[40:80])
	other[39] ^= 1
	if err := b.wants(ctx, "put of other bytes 40 to 80", putCall("chain", 40, other, object), 80); err != nil {
		return err
	}
	first := bytes.Clone(object[:40])
	first[0] ^= 1
	if err := b.wants(ctx, "put of other bytes 0 to 40 with the same len and sha", putCall("chain", 0, first, object), 80); err != nil {
		return err
	}
	return b.put(ctx, "put of bytes 80 to 140", putCall("chain", 80, object[80:140], object), 140)
}

func (b *bench) putOverlap(ctx context.Context) error {
	object, err := b.staged(ctx, 50)
	if err != nil {
		return err
	}
	if err := b.put(ctx, "put of bytes 50 to 90", putCall("chain", 50, object[50:90], object), 90); err != nil {
		return err
	}
	return b.wants(ctx, "put of bytes 80 to 100 where 90 are staged", putCall("chain", 80, object[80:100], object), 90)
}

func (b *bench) putBeyond(ctx context.Context) error {
	object, err := b.staged(ctx, 50)
	if err != nil {
		return err
	}
	if err := b.put(ctx, "put of bytes 50 to 110", putCall("chain", 50, object[50:110], object), 110); err != nil {
		return err
	}
	return b.refuseAll(ctx, []refusalStep{
		{"put of 41 bytes at 110 of 150", putCall("chain", 110, append(bytes.Clone(object[110:]), 0), object), enroll.RCMalformed},
		{"put at 151 of 150", putCall("chain", 151, nil, object), enroll.RCMalformed},
		{"put at 2^40 of 150", putCall("chain", 1<<40, []byte{0}, object), enroll.RCMalformed},
		{"put of 30 bytes at 0 with len 29", putCall("chain", 0, object[:30], object[:29]), enroll.RCMalformed},
	})
}

func (b *bench) putMax(ctx context.Context) error {
	if b.facts.Max == nil {
		return unchecked("info has no max")
	}
	c := putCall("chain", 0, nil, nil)
	c.body["len"] = *b.facts.Max + 1
	if err := b.refuse(ctx, fmt.Sprintf("put with len %d, max is %d", *b.facts.Max+1, *b.facts.Max), c, enroll.RCMalformed); err != nil {
		return err
	}
	c.body["len"] = *b.facts.Max
	return b.put(ctx, fmt.Sprintf("put with len %d, the max", *b.facts.Max), c, 0)
}

func (b *bench) putChunk(ctx context.Context) error {
	if b.facts.Chunk == nil || *b.facts.Chunk > 2048 {
		return unchecked("info has no chunk in range")
	}
	n := int(*b.facts.Chunk) + 1
	object := text(2048 + 32)[:max(n, 64)]
	c := putCall("chain", 40, object[:n], object)
	m, err := b.message(c)
	if err != nil {
		return err
	}
	if size := len(m.Append(nil)) + 4; b.buf == 0 || size > b.buf || size > smp.MaxPacket {
		return outside("a put of %d bytes does not fit the board's buffer", n)
	}
	first := putCall("chain", 0, object[:40], object)
	first.body["len"] = 2048
	if err := b.put(ctx, "put of 40 bytes of 2048", first, 40); err != nil {
		return err
	}
	return b.refuse(ctx, fmt.Sprintf("put of %d bytes, chunk is %d", n, n-1), c, enroll.RCMalformed)
}
