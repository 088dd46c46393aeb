// SPDX-License-Identifier: Apache-2.0

package line

import (
	"testing"
	"time"
)

// TestPacer checks the arithmetic: a busy line queues, an idle one does not
// save its idle time up, and no pause between two calls is lost or counted twice.
func TestPacer(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	const ms = time.Millisecond
	for _, c := range []struct {
		name  string
		baud  int
		calls []struct {
			at   time.Duration
			n    int
			want time.Duration
		}
	}{
		{"one byte in ten bit times", 10000, []struct {
			at   time.Duration
			n    int
			want time.Duration
		}{{0, 1, 1 * ms}}},
		{"bytes handed in at once queue", 10000, []struct {
			at   time.Duration
			n    int
			want time.Duration
		}{{0, 3, 3 * ms}, {1 * ms, 2, 5 * ms}, {5 * ms, 1, 6 * ms}}},
		{"idle time is not saved up", 10000, []struct {
			at   time.Duration
			n    int
			want time.Duration
		}{{0, 1, 1 * ms}, {100 * ms, 4, 104 * ms}}},
		{"a second of 115200 baud holds 11520 bytes", 115200, []struct {
			at   time.Duration
			n    int
			want time.Duration
		}{{0, 11520, time.Second}, {0, 5760, 1500 * ms}}},
		{"no speed, no time", 0, []struct {
			at   time.Duration
			n    int
			want time.Duration
		}{{7 * ms, 1 << 20, 7 * ms}}},
	} {
		p := NewPacer(c.baud)
		for i, call := range c.calls {
			if got := p.Cross(at(call.at), call.n); !got.Equal(at(call.want)) {
				t.Errorf("%s: call %d is across at %v, want %v", c.name, i+1, got.Sub(start), call.want)
			}
		}
	}
}

// TestPieces checks that cutting a message into pieces neither loses nor gains
// time beyond the rounding of each piece.
func TestPieces(t *testing.T) {
	for _, baud := range []int{9600, 115200, 921600, 2000000} {
		start := time.Unix(1000, 0)
		whole := NewPacer(baud).Cross(start, 8000)
		p, last := NewPacer(baud), start
		for left := 8000; left > 0; {
			n := min(left, grain(baud))
			last = p.Cross(start, n)
			left -= n
		}
		if d := whole.Sub(last); d < 0 || d > 8000 {
			t.Errorf("%d baud: in pieces the line is free %v earlier than for the whole", baud, d)
		}
	}
}
