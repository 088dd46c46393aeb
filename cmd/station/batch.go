// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

type batchFlags struct {
	units string
	count int
	ports []string
	jobs  int
	order string
	watch bool
}

func newBatch(g *globals) *cobra.Command {
	var f batchFlags
	c := &cobra.Command{
		Use: "batch", Short: "provision without a screen; run again to resume", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return batch(c, g, f) },
	}
	c.Flags().StringVar(&f.units, "units", "", "CSV list of units: serial, and uid, slot or any profile variable")
	c.Flags().IntVar(&f.count, "count", 0, "how many boards to start at most, 0: all")
	c.Flags().StringArrayVar(&f.ports, "port", nil, "a port to use, may be repeated (default: every port of the product)")
	c.Flags().IntVar(&f.jobs, "jobs", 0, "how many boards at a time, 0: all")
	c.Flags().StringVar(&f.order, "order", "", "the work order to build for: its name, or its file")
	c.Flags().BoolVar(&f.watch, "watch", false, "go on: start each board that is plugged in; labels are lines of standard input")
	return c
}

func batch(c *cobra.Command, g *globals, f batchFlags) (err error) {
	ctx := c.Context()
	if f.count < 0 || f.jobs < 0 {
		return usage(errors.New("--count and --jobs are numbers from 0"), "0 means no limit")
	}
	if f.watch && f.count > 0 {
		return usage(errWatchCount, "say how many with an order")
	}
	for i, name := range f.ports {
		if slices.Contains(f.ports[:i], name) {
			return usage(fmt.Errorf("--port %s is given twice", name), "name each port once")
		}
	}
	work, err := g.orderNow(f.order)
	if err != nil {
		return err
	}
	b, err := openBench(ctx, g)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := b.goldenFit(ctx); err != nil {
		return err
	}
	cfg, err := b.work(ctx, work, f.units)
	if err != nil {
		return err
	}
	cfg.Jobs = f.jobs
	if f.watch {
		return watchBatch(ctx, c, g, b, f, work, cfg)
	}
	ports, err := g.ports().List()
	if err != nil {
		return unfit(err, "the system's list of devices must be readable")
	}
	boards := onBench(ports, f.ports, b.product)
	if missing := missing(f.ports, boards); len(missing) > 0 {
		return usage(fmt.Errorf("there is no port %s", missing[0]), "see what is plugged in with: station ports")
	}
	if len(boards) == 0 {
		return usage(errors.New("no board is plugged in"), "plug boards in, or name a port with --port; see: station ports")
	}
	if f.count > 0 && f.count < len(boards) {
		boards = boards[:f.count]
	}
	if work != nil {
		if boards, err = b.wanted(ctx, work, boards); err != nil {
			return err
		}
	}
	return runBatch(ctx, c, g, b, boards, cfg)
}

// work is what a batch or a window builds first: an order or none, and a list of
// units.
func (b *bench) work(ctx context.Context, f *orderFile, list string) (cfg provision.Config, err error) {
	if f == nil {
		cfg.Units, err = b.loadUnits(ctx, list)
		return cfg, err
	}
	if list != "" {
		return cfg, usage(fmt.Errorf("order %s gives serials by %s", f.Name(), f.Serial()), "leave --units out")
	}
	cfg.Order = f.Order
	cfg.Units, err = b.takeOrder(ctx, f)
	return cfg, err
}

// wanted are no more boards than the order still wants.
func (b *bench) wanted(ctx context.Context, f *orderFile, boards []seen) ([]seen, error) {
	done, err := b.reader.UnitsOf(ctx, f.Name())
	if err != nil {
		return nil, unfit(err, "see: station ledger verify")
	}
	left := f.Quantity() - done
	if left <= 0 {
		return nil, usage(fmt.Errorf("order %s is complete: %d of %d units", f.Name(), done, f.Quantity()), "take the next order, and close this one: station order close "+f.Name())
	}
	return boards[:min(left, len(boards))], nil
}

// runBatch provisions every board once and reports.
func runBatch(ctx context.Context, c *cobra.Command, g *globals, b *bench, boards []seen, cfg provision.Config) error {
	if provision.SerialSource(b.product, cfg.Order) == provision.SerialScan && cfg.Units == nil {
		return usage(errors.New("the serials are scanned here"), "give a list with --units, or use the window")
	}
	seats := newSeats(b.home.cfg.bound(), 0)
	numbers := seats.seatAll(boards)
	cfg.Slots = slices.Max(numbers)
	if err := onThisBench(cfg.Units, max(cfg.Slots, b.home.cfg.Slots)); err != nil {
		return err
	}
	show := newProgress(c.OutOrStdout(), c.ErrOrStderr(), g.json, numbers)
	cfg.Observe = show.event
	st, err := b.station(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.keepBackups(ctx)()
	for _, n := range numbers {
		st.Attach(n, seats.taken[n].name, seats.taken[n].usb)
	}
	if n := st.Provision(); n < len(boards) {
		// Runs that began come to their end first: they use the ledger.
		if err := st.Stop(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		show.close()
		return usage(fmt.Errorf("%d of %d boards could not be started", len(boards)-n, len(boards)), "see: station doctor")
	}
	// A signal stops the runs at their next commit point; each still records
	// its end.
	stopping := context.AfterFunc(ctx, func() { _ = st.Stop(context.Background()) })
	defer stopping()
	if err := st.Wait(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	sum := show.close()
	return sum.verdict(ctx)
}

// loadUnits reads the list and marks the rows whose boards are on record.
func (b *bench) loadUnits(ctx context.Context, path string) (*provision.Units, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := readUnits(path)
	if err != nil {
		return nil, usage(err, "name a readable CSV file with --units")
	}
	u, err := provision.LoadUnits(path, raw)
	if err != nil {
		return nil, usage(err, "mend the list; nothing was provisioned")
	}
	return u, b.fitUnits(ctx, u)
}

// fitUnits holds a list against profile and ledger.
func (b *bench) fitUnits(ctx context.Context, u *provision.Units) error {
	if err := u.Fits(b.profile); err != nil {
		return usage(err, "mend the list; nothing was provisioned")
	}
	var failed error
	u.Taken(func(serial string) (string, bool) {
		entries, err := b.reader.EntriesOf(ctx, reader.Query{Serial: serial})
		failed = errors.Join(failed, err)
		for _, e := range entries {
			if e.Body.Kind == record.KindIssuing {
				return e.Body.UID, true
			}
		}
		return "", false
	})
	if failed != nil {
		return unfit(failed, "see: station ledger verify")
	}
	return nil
}

// onThisBench refuses a list with slots that the bench does not have: their
// units would never be found.
func onThisBench(u *provision.Units, slots int) error {
	if u == nil {
		return nil
	}
	if err := u.Within(slots); err != nil {
		return usage(err, "mend the list, or slots in station.toml; nothing was provisioned")
	}
	return nil
}

// missing are the named ports that are not there.
func missing(named []string, have []seen) []string {
	var out []string
	for _, n := range named {
		found := false
		for _, h := range have {
			found = found || h.name == n
		}
		if !found {
			out = append(out, n)
		}
	}
	return out
}
