// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/port"
)

func newPorts(g *globals) *cobra.Command {
	var follow bool
	c := &cobra.Command{
		Use: "ports", Short: "what is plugged in; opens nothing", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			bound, err := boundAt(g.home)
			if err != nil {
				return err
			}
			s := portShow{g.ports(), bound, g.json, c.OutOrStdout()}
			if follow {
				s.follow(c)
				return nil
			}
			ports, err := s.bus.List()
			if err != nil {
				return unfit(err, "the system's list of devices must be readable")
			}
			return s.table(ports)
		},
	}
	c.Flags().BoolVar(&follow, "watch", false, "go on and tell what is plugged in and pulled out")
	return c
}

// boundAt reads the slots of a home. Ports can be looked at without one.
func boundAt(dir string) (map[string]int, error) {
	if !exists(filepath.Join(dir, "station.toml")) {
		return nil, nil
	}
	h, err := openHome(dir)
	if err != nil {
		return nil, err
	}
	return h.cfg.bound(), nil
}

// portShow shows ports to a person or a script.
type portShow struct {
	bus   port.Bus
	bound map[string]int // slot by USB location
	json  bool
	w     io.Writer
}

// portObject is a port for scripts.
type portObject struct {
	Event        string `json:"event,omitempty"` // of --watch: here, came, gone
	Port         string `json:"port"`
	VID          string `json:"vid"`
	PID          string `json:"pid"`
	USB          string `json:"usb"`
	Slot         int    `json:"slot,omitempty"` // that is bound to the location
	Serial       string `json:"serial"`
	Product      string `json:"product"`
	Manufacturer string `json:"manufacturer"`
	Access       string `json:"access,omitempty"` // ok, or what is wrong and what to do
}

func (s portShow) object(event string, p port.Info) portObject {
	o := portObject{
		Event: event, Port: p.Name, VID: p.USB.VID, PID: p.USB.PID, USB: p.USB.Location, Slot: s.bound[p.USB.Location],
		Serial: p.USB.Serial, Product: p.USB.Product, Manufacturer: p.USB.Manufacturer,
	}
	if event == "gone" {
		return o
	}
	o.Access = "ok"
	if err := s.bus.Access(p.Name); err != nil {
		o.Access = oneLine(err.Error())
	}
	return o
}

// table shows all ports at once.
func (s portShow) table(ports []port.Info) error {
	if s.json {
		e := json.NewEncoder(s.w)
		for _, p := range ports {
			if err := e.Encode(s.object("", p)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(ports) == 0 {
		_, err := fmt.Fprintln(s.w, "no serial port is plugged in")
		return err
	}
	t := tabwriter.NewWriter(s.w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "PORT\tUSB\tLOCATION\tSLOT\tPRODUCT\tACCESS")
	for _, p := range ports {
		o := s.object("", p)
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", o.Port, o.ids(), o.USB, o.slot(), o.Product, o.Access)
	}
	return t.Flush()
}

func (o portObject) ids() string {
	if o.VID == "" {
		return ""
	}
	return o.VID + ":" + o.PID
}

func (o portObject) slot() string {
	switch {
	case o.Slot > 0:
		return strconv.Itoa(o.Slot)
	case o.USB != "":
		return "any"
	}
	return ""
}

// follow tells what is here, then what comes and goes, until the command is
// interrupted: that is its end, not a failure.
func (s portShow) follow(c *cobra.Command) {
	var before []port.Info
	event := "here"
	s.bus.Watch(c.Context(), func(now []port.Info) {
		for _, p := range without(before, now) {
			s.line(s.object("gone", p))
		}
		for _, p := range without(now, before) {
			s.line(s.object(event, p))
		}
		before, event = now, "came"
	})
}

// without are the ports of a that are not in b.
func without(a, b []port.Info) []port.Info {
	in := map[port.Info]bool{}
	for _, p := range b {
		in[p] = true
	}
	var out []port.Info
	for _, p := range a {
		if !in[p] {
			out = append(out, p)
		}
	}
	return out
}

func (s portShow) line(o portObject) {
	if s.json {
		_ = json.NewEncoder(s.w).Encode(o) // whoever reads may go away
		return
	}
	place := ""
	if o.USB != "" {
		place = "  " + o.ids() + "  " + o.USB + "  slot " + o.slot()
	}
	if o.Product != "" {
		place += "  " + o.Product
	}
	if o.Access != "" && o.Access != "ok" {
		place += "  " + o.Access
	}
	fmt.Fprintf(s.w, "%-4s  %s%s\n", o.Event, o.Port, place)
}
