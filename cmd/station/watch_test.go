// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"provisioning.example/station/internal/port"
)

// TestLookAtNamed: a path that was named comes and goes without an event; its
// place on USB is known where it leads to a port that has one.
func TestLookAtNamed(t *testing.T) {
	dir := t.TempDir()
	node, pty := filepath.Join(dir, "ttyUSB0"), filepath.Join(dir, "pty")
	byID := filepath.Join(dir, "usb-FTDI-if00")
	for _, err := range []error{os.WriteFile(node, nil, 0o600), os.Symlink("ttyUSB0", byID)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	usb := port.Info{Name: node}
	usb.USB.Location, usb.USB.Address = "1-1.4:1.0", "1:17"
	g := &globals{logLevel: "warn", bus: port.Bus{
		Ports:  func() ([]port.Info, error) { return []port.Info{{Name: "/dev/ttyS0"}, usb}, nil },
		Events: func(context.Context) (<-chan port.Event, error) { return nil, errors.New("none") },
	}}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	told := make(chan []seen)
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.lookout([]string{byID, pty}, nil)(ctx, func(s []seen) { pass(ctx, told, s) })
	}()
	first := seen{byID, "1-1.4:1.0", "1:17"}
	want := func(what string, want ...seen) {
		t.Helper()
		select {
		case got := <-told:
			if !slices.Equal(got, want) {
				t.Fatalf("%s: %+v, want %+v", what, got, want)
			}
		case <-ctx.Done():
			t.Fatal("waited in vain: " + what)
		}
	}
	want("at the start", first)
	if err := os.WriteFile(pty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want("a pseudo-terminal comes", first, seen{name: pty})
	if err := os.Remove(pty); err != nil {
		t.Fatal(err)
	}
	want("and goes", first)
	cancel()
	<-done
}
