// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/port"
	"provisioning.example/station/internal/provision"
)

// newSlots teaches the station its bench.
func newSlots(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "slots", Short: "the places on the bench: bind, list, clear"}
	c.AddCommand(newSlotsBind(g), newSlotsList(g), newSlotsClear(g))
	return c
}

func newSlotsBind(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "bind [SLOT|SLOT=LOCATION]...", Short: "teach slots by plugging a board into each place",
		Long: `bind asks for a board in each slot that is not bound yet, or in each slot that is
named, and remembers the USB location where one is plugged in. From then on a board
there always belongs to that slot. What is bound stays bound when the command is
interrupted. SLOT=LOCATION binds without a board, with a location that station
ports shows; --yes takes the boards that are plugged in, in the order of their
locations.`,
		RunE: func(c *cobra.Command, args []string) error {
			b, err := newBinder(c, g)
			if err != nil {
				return err
			}
			defer b.home.release()
			return b.bind(c.Context(), args)
		},
	}
}

func newSlotsList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "the slots, their USB locations and what is plugged in there", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := openHome(g.home)
			if err != nil {
				return err
			}
			ports, err := g.ports().List()
			if err != nil {
				return unfit(err, "the system's list of devices must be readable")
			}
			return listSlots(c.OutOrStdout(), g.json, h.cfg, ports)
		},
	}
}

func listSlots(w io.Writer, asJSON bool, cfg homeConfig, ports []port.Info) error {
	at := map[string]port.Info{}
	for _, p := range ports {
		at[p.USB.Location] = p
	}
	locations := cfg.bySlot()
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	if !asJSON {
		fmt.Fprintln(t, "SLOT\tLOCATION\tPORT\tPRODUCT")
	}
	for n := 1; n <= cfg.Slots; n++ {
		usb := locations[n]
		p := port.Info{}
		if usb != "" {
			p = at[usb]
		}
		if asJSON {
			if err := json.NewEncoder(w).Encode(slotObject{Slot: n, USB: usb, Port: p.Name}); err != nil {
				return err
			}
			continue
		}
		if usb == "" {
			usb = "any"
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", n, usb, p.Name, p.USB.Product)
	}
	return t.Flush()
}

// slotObject is a slot for scripts.
type slotObject struct {
	Event string `json:"event,omitempty"` // of bind: wait, bound, refused
	Slot  int    `json:"slot"`
	USB   string `json:"usb"` // "" when it is not bound
	Port  string `json:"port,omitempty"`
	Other int    `json:"other,omitempty"` // refused: the slot that has the location
}

func newSlotsClear(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "clear [SLOT]...", Short: "forget the USB locations of slots",
		RunE: func(c *cobra.Command, args []string) error {
			b, err := newBinder(c, g)
			if err != nil {
				return err
			}
			defer b.home.release()
			if len(args) == 0 && !g.yes {
				return usage(errors.New("this would clear every slot"), "name the slots to clear, or say --yes for all")
			}
			bench := map[string]string{}
			if len(args) > 0 {
				bench = maps.Clone(b.home.cfg.Bench)
			}
			for _, a := range args {
				n, err := b.slot(a)
				if err != nil {
					return err
				}
				delete(bench, strconv.Itoa(n))
			}
			return b.home.rebind(bench)
		},
	}
}

// A binder binds slots of a home.
type binder struct {
	home    *home
	bus     port.Bus
	product *provision.Product // nil: every USB port may be a board's
	yes     bool
	json    bool
	out     io.Writer // objects for scripts, or text
	people  io.Writer // text

	wanted []int           // slots that are asked for, the first one now
	old    map[string]bool // USB devices that are plugged in and were looked at
}

func newBinder(c *cobra.Command, g *globals) (*binder, error) {
	h, err := openHome(g.home)
	if err != nil {
		return nil, err
	}
	b := &binder{home: h, bus: g.ports(), yes: g.yes, json: g.json, out: c.OutOrStdout(), people: c.OutOrStdout()}
	if g.json {
		b.people = c.ErrOrStderr()
	}
	if name := h.cfg.Product; name != "" {
		if b.product, err = (&bench{home: h}).loadProduct(name); err != nil {
			return nil, err
		}
	}
	if err := h.acquire(); err != nil {
		return nil, err
	}
	if _, err := g.signIn(h); err != nil {
		h.release()
		return nil, err
	}
	return b, nil
}

// slot reads the number of a slot.
func (b *binder) slot(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > b.home.cfg.Slots {
		return 0, usage(fmt.Errorf("there is no slot %q", s), fmt.Sprintf("slots are 1 to %d; station.toml says how many", b.home.cfg.Slots))
	}
	return n, nil
}

// bind binds what is said outright, then asks for the rest.
func (b *binder) bind(ctx context.Context, args []string) error {
	direct := map[int]string{}
	for _, a := range args {
		number, location, given := strings.Cut(a, "=")
		n, err := b.slot(number)
		switch {
		case err != nil:
			return err
		case slices.Contains(b.wanted, n) || direct[n] != "":
			return usage(fmt.Errorf("slot %d is named twice", n), "name each slot once")
		case given && !port.IsLocation(location):
			return usage(fmt.Errorf("%q is no USB location", location), "see the locations with: station ports")
		case given:
			direct[n] = location
		default:
			b.wanted = append(b.wanted, n)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(direct)) {
		if other := b.home.cfg.bound()[direct[n]]; other != 0 && other != n {
			return usage(fmt.Errorf("%s is slot %d already", direct[n], other), fmt.Sprintf("clear it first: station slots clear %d", other))
		}
		var p port.Info
		p.USB.Location = direct[n]
		if err := b.take(n, p); err != nil {
			return err
		}
	}
	if len(args) == 0 {
		bySlot := b.home.cfg.bySlot()
		for n := 1; n <= b.home.cfg.Slots; n++ {
			if bySlot[n] == "" {
				b.wanted = append(b.wanted, n)
			}
		}
		if len(b.wanted) == 0 {
			b.say("all %d slots are bound; to bind one anew, name it or clear it\n", b.home.cfg.Slots)
		}
	}
	if len(b.wanted) > 0 && b.yes {
		return b.takePlugged()
	}
	return b.ask(ctx)
}

// takePlugged binds the boards that are there now.
func (b *binder) takePlugged() error {
	ports, err := b.bus.List()
	if err != nil {
		return unfit(err, "the system's list of devices must be readable")
	}
	taken := 0
	for _, p := range b.boards(ports) {
		if b.home.cfg.bound()[p.USB.Location] != 0 || len(b.wanted) == 0 {
			continue
		}
		if err := b.take(b.wanted[0], p); err != nil {
			return err
		}
		b.wanted = b.wanted[1:]
		taken++
	}
	if taken == 0 {
		return usage(errors.New("no board is plugged in at a place that is not bound"), "plug boards in; see: station ports")
	}
	if len(b.wanted) > 0 {
		b.say("%d slots are still not bound: there were no more boards\n", len(b.wanted))
	}
	return nil
}

// ask waits for a board in each wanted slot.
func (b *binder) ask(ctx context.Context) error {
	if len(b.wanted) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	done := false
	b.bus.Watch(ctx, func(ports []port.Info) {
		if failed == nil && !done {
			failed = b.see(b.boards(ports))
		}
		if done = len(b.wanted) == 0; done || failed != nil {
			cancel()
		}
	})
	if failed != nil || done {
		return failed
	}
	return ctx.Err()
}

// boards are the USB ports that may be a board's, in the order of their
// locations.
func (b *binder) boards(ports []port.Info) []port.Info {
	var out []port.Info
	for _, p := range ports {
		if p.USB.Location != "" && (b.product == nil || b.product.MatchesUSB(p.USB.VID, p.USB.PID)) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(x, y port.Info) int { return port.CompareLocations(x.USB.Location, y.USB.Location) })
	return out
}

// see is told all boards that are plugged in, at first and after each change.
// One that was not there before is the answer to the question.
func (b *binder) see(boards []port.Info) error {
	here := map[string]bool{}
	for _, p := range boards {
		here[port.Device(p.USB.Location)] = true
	}
	if b.old == nil {
		if len(here) > 0 {
			b.say("what is plugged in already does not count: pull it out, or use --yes\n")
		}
		b.old = here
		b.next()
		return nil
	}
	maps.DeleteFunc(b.old, func(device string, _ bool) bool { return !here[device] })
	for _, p := range boards {
		device := port.Device(p.USB.Location)
		if b.old[device] || len(b.wanted) == 0 {
			continue
		}
		b.old[device] = true // a second port of the same board is no answer
		slot := b.wanted[0]
		if other := b.home.cfg.bound()[p.USB.Location]; other != 0 && other != slot {
			b.tell(slotObject{"refused", slot, p.USB.Location, p.Name, other})
			b.say("%s is slot %d already; take another place\n", p.USB.Location, other)
			continue
		}
		if err := b.take(slot, p); err != nil {
			return err
		}
		b.wanted = b.wanted[1:]
		b.next()
	}
	return nil
}

// next asks for the board of the next slot.
func (b *binder) next() {
	if len(b.wanted) > 0 {
		b.tell(slotObject{Event: "wait", Slot: b.wanted[0]})
		b.say("slot %d: plug a board in\n", b.wanted[0])
	}
}

// take binds a slot to where a port is, on disk at once.
func (b *binder) take(slot int, p port.Info) error {
	bench := maps.Clone(b.home.cfg.Bench)
	if bench == nil {
		bench = map[string]string{}
	}
	bench[strconv.Itoa(slot)] = p.USB.Location
	if err := b.home.rebind(bench); err != nil {
		return err
	}
	b.tell(slotObject{"bound", slot, p.USB.Location, p.Name, 0})
	b.say("%s\n", strings.TrimRight(fmt.Sprintf("slot %d is %s  %s  %s", slot, p.USB.Location, p.Name, p.USB.Product), " "))
	return nil
}

func (b *binder) tell(o slotObject) {
	if b.json {
		_ = json.NewEncoder(b.out).Encode(o) // what is bound is in station.toml, too
	}
}

func (b *binder) say(format string, a ...any) { fmt.Fprintf(b.people, format, a...) }
