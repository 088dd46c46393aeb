// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"slices"
	"time"

	"provisioning.example/station/internal/port"
	"provisioning.example/station/internal/provision"
)

// lookAgain is the pause between two looks at what no event tells of: ports
// that were named, and boards that wait for a busy slot. It is well within the
// 300 ms a technician is promised.
const lookAgain = 200 * time.Millisecond

// seen is one port on the bench.
type seen struct {
	name, usb string // usb: its location
	plug      string // another one each time the device is plugged in, "" where nothing tells
}

// lookout tells what is on the bench: at once, and again after each change,
// until ctx ends.
type lookout func(ctx context.Context, tell func([]seen))

// lookout watches for boards of a product, at the named ports or at all.
func (g *globals) lookout(named []string, p *provision.Product) lookout {
	if len(named) == 0 {
		return func(ctx context.Context, tell func([]seen)) {
			g.ports().Watch(ctx, func(ports []port.Info) { tell(onBench(ports, nil, p)) })
		}
	}
	return func(ctx context.Context, tell func([]seen)) { g.lookAtNamed(ctx, named, p, tell) }
}

// lookAtNamed looks at the named paths again and again: a pseudo-terminal comes
// and goes without an event.
func (g *globals) lookAtNamed(ctx context.Context, named []string, p *provision.Product, tell func([]seen)) {
	plugged := make(chan []port.Info)
	go g.ports().Watch(ctx, func(ports []port.Info) { pass(ctx, plugged, ports) })
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	var ports []port.Info
	var last []seen
	for first := true; ; {
		select {
		case <-ctx.Done():
			return
		case ports = <-plugged:
		case <-tick.C:
			if first {
				continue // without the list, a port's location is not known
			}
		}
		if now := onBench(ports, named, p); first || !slices.Equal(now, last) {
			first, last = false, now
			tell(now)
		}
	}
}

// pass hands v over unless ctx ends first.
func pass[T any](ctx context.Context, to chan<- T, v T) {
	select {
	case to <- v:
	case <-ctx.Done():
	}
}

// fixed is a lookout over boards that never come or go.
func fixed(boards []seen) lookout {
	return func(ctx context.Context, tell func([]seen)) {
		tell(boards)
		<-ctx.Done()
	}
}

// onBench are the ports that may hold a board of this product: the named ones
// that exist, or every USB port that matches. It opens none of them.
func onBench(ports []port.Info, named []string, p *provision.Product) []seen {
	var out []seen
	for _, name := range named {
		if node, err := os.Stat(name); err == nil {
			i := infoOf(ports, name, node)
			out = append(out, seen{name, i.USB.Location, i.USB.Address})
		}
	}
	if len(named) > 0 {
		return out
	}
	for _, i := range ports {
		if p.MatchesUSB(i.USB.VID, i.USB.PID) {
			out = append(out, seen{i.Name, i.USB.Location, i.USB.Address})
		}
	}
	return out
}

// infoOf finds a named port in the list, under its own name or another one
// (/dev/serial/by-id); a pseudo-terminal is not in it.
func infoOf(ports []port.Info, name string, node os.FileInfo) port.Info {
	for _, i := range ports {
		if i.Name == name {
			return i
		}
		if other, err := os.Stat(i.Name); err == nil && os.SameFile(node, other) {
			return i
		}
	}
	return port.Info{}
}

// watch attaches and detaches boards as they come and go, until ctx ends.
func watch(ctx context.Context, st *provision.Station, look lookout, s *seats) {
	told := make(chan []seen)
	go look(ctx, func(boards []seen) { pass(ctx, told, boards) })
	var boards []seen
	again := time.NewTimer(lookAgain)
	again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case boards = <-told:
		case <-again.C:
		}
		again.Stop()
		if waiting := step(st, s, boards); waiting {
			again.Reset(lookAgain)
		}
	}
}

// step brings the station from the boards that were seated to those that are
// there now. It reports whether one waits for the end of a run.
func step(st *provision.Station, s *seats, now []seen) (waiting bool) {
	for _, gone := range s.leave(now) {
		st.Detach(gone.name)
	}
	slots := st.Snapshot().Slots
	for _, b := range now {
		if s.has(b) {
			continue
		}
		n := s.choose(b, func(slot int) bool {
			v := slots[slot-1]
			// A run may wait for its board to come back; another must not take its place.
			busy := v.State == provision.Busy && seen{name: v.Port, usb: v.USB}.place() != b.place()
			waiting = waiting || busy
			return !busy
		})
		if n > 0 && st.Attach(n, b.name, b.usb) == n {
			s.sit(n, b)
		}
	}
	return waiting
}
