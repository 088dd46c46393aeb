// SPDX-License-Identifier: Apache-2.0

//go:build !nogui

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"

	"fyne.io/fyne/v2/app"
	"github.com/spf13/cobra"

	"provisioning.example/station/internal/provision"
	"provisioning.example/station/ui"
)

const buildName = "window"

// windowFlags belong to station without a command.
type windowFlags struct {
	theme    string
	kiosk    bool
	describe bool
	ports    []string
	units    string
	order    string
	auto     bool
}

// addWindow makes the command without a name open the window.
func addWindow(root *cobra.Command, g *globals) {
	var f windowFlags
	root.Flags().StringVar(&f.theme, "theme", "", "light or dark (default: the system's)")
	root.Flags().BoolVar(&f.kiosk, "kiosk", false, "full screen")
	root.Flags().BoolVar(&f.describe, "describe", false, "write a JSON line about the window to standard error at each change")
	root.Flags().StringArrayVar(&f.ports, "port", nil, "a port to use, may be repeated (default: every port of the product)")
	root.Flags().StringVar(&f.units, "units", "", "CSV list of units: serial, and uid, slot or any profile variable")
	root.Flags().StringVar(&f.order, "order", "", "the work order to build for: its name, or its file")
	root.Flags().BoolVar(&f.auto, "auto", false, "start each board as soon as it is there (or auto = true in station.toml)")
	root.RunE = func(c *cobra.Command, _ []string) error {
		if err := displayFit(f.theme); err != nil {
			return err
		}
		work, err := g.orderNow(f.order)
		if err != nil {
			return err
		}
		b, err := openBench(c.Context(), g)
		if err != nil {
			return err
		}
		defer b.Close()
		if err := b.goldenFit(c.Context()); err != nil {
			return err
		}
		cfg, err := b.work(c.Context(), work, f.units)
		if err != nil {
			return err
		}
		b.working = work
		cfg.Slots = max(b.home.cfg.Slots, len(f.ports))
		cfg.Auto, cfg.Stop = f.auto || b.home.cfg.Auto, b.home.cfg.stopRules()
		if err := onThisBench(cfg.Units, cfg.Slots); err != nil {
			return err
		}
		return openWindow(c.Context(), b, f, cfg, g.lookout(f.ports, b.product))
	}
}

// hasDisplay tells whether a window can be opened at all; without this test
// the window library ends the process.
func hasDisplay() bool {
	if runtime.GOOS != "linux" {
		return true
	}
	return os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != ""
}

func displayFit(theme string) error {
	if theme != "" && theme != "light" && theme != "dark" {
		return usage(errors.New("--theme is light or dark"), "leave it out for the system's")
	}
	if !hasDisplay() {
		return usage(errors.New("there is no display"), "use station batch, or set DISPLAY")
	}
	return nil
}

// openWindow shows the line until it is closed. Runs that are going on come to
// a commit point first.
func openWindow(ctx context.Context, b *bench, f windowFlags, cfg provision.Config, look lookout) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := newMonitor(b)
	go m.watch(ctx)
	cfg.Health = m.health
	st, err := b.station(ctx, cfg)
	if err != nil {
		return err
	}
	desk, err := b.windowDesk()
	if err != nil {
		return err
	}
	defer b.keepBackups(ctx)()
	go watch(ctx, st, look, newSeats(b.home.cfg.bound(), cfg.Slots))
	if b.working != nil {
		go b.followOrder(ctx, st, b.working, func(err error) { b.log.Warn("an order's file is wrong", "err", err) })
	}
	var describe io.Writer
	if f.describe {
		describe = os.Stderr
	}
	w := ui.New(app.NewWithID("provisioning.example.station"), ui.Config{
		Station: st, Reader: b.reader, Theme: f.theme, Kiosk: f.kiosk, Describe: describe, Desk: desk,
		Folder: proposedFolder(), Export: b.windowExport(),
	})
	stopping := context.AfterFunc(ctx, w.Close)
	defer stopping()
	w.ShowAndRun()
	return st.Stop(context.Background())
}
