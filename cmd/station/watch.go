// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"time"

	"provisioning.example/station/internal/port"
	"provisioning.example/station/internal/provision"
)

// watchEvery is how often the bench is looked over for boards that came or
// went: well within the 300 ms a technician is promised.
const watchEvery = 200 * time.Millisecond

// seen is one port on the bench.
type seen struct{ name, usb string }

// present lists the ports that may hold a board of this product: the named
// ones that exist, or every USB port that matches. It opens none of them.
func present(named []string, p *provision.Product) ([]seen, error) {
	if len(named) > 0 {
		var out []seen
		for _, name := range named {
			if _, err := os.Stat(name); err == nil {
				out = append(out, seen{name: name})
			}
		}
		return out, nil
	}
	ports, err := port.List()
	if err != nil {
		return nil, err
	}
	var out []seen
	for _, i := range ports {
		if p.MatchesUSB(i.USB.VID, i.USB.PID) {
			out = append(out, seen{i.Name, i.USB.Location})
		}
	}
	return out, nil
}

// watch attaches and detaches boards as they come and go, until ctx ends.
func watch(ctx context.Context, st *provision.Station, list func() ([]seen, error)) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	here := map[string]bool{}
	for {
		if now, err := list(); err == nil {
			step(st, here, now)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// step brings the station from the ports that were here to those that are.
func step(st *provision.Station, here map[string]bool, now []seen) {
	gone := map[string]bool{}
	for name := range here {
		gone[name] = true
	}
	for _, s := range now {
		delete(gone, s.name)
		if !here[s.name] && st.Attach(0, s.name, s.usb) > 0 {
			here[s.name] = true
		}
	}
	for name := range gone {
		st.Detach(name)
		delete(here, name)
	}
}
