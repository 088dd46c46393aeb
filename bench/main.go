// SPDX-License-Identifier: Apache-2.0

// bench measures the station against what it is bounded by and against its
// peers, prints one table and writes it with the numbers behind it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// measurements are the figures in the order of the table.
var measurements = []struct {
	id      string
	measure func(context.Context, *plant) (*report, error)
}{
	{"P1", unitFigures},
	{"P2", fleetFigures},
	{"P3", certFigures},
	{"P4", commandFigures},
	{"P5", appendFigures},
	{"P6", exportFigures},
	{"P7", verifyFigures},
	{"P8", searchFigures},
	{"P12", agentFigures},
	{"P13", importFigures},
}

func main() {
	station := flag.String("station", "bin/stationctl", "the station's program")
	agent := flag.String("agent", "firmware/build/posix-agent", "the posix agent")
	out := flag.String("out", "", "file that the page is written to; none: only the table is printed")
	only := flag.String("only", "", "some figures instead of all, for example P3 or P6,P7")
	entries := flag.String("entries", "1000000", "lengths of the ledgers of P5 to P8 and P13")
	kept := flag.String("lots", "", "folder of the long ledgers, which stay there; none: station-bench in the user's cache")
	turns := flag.Int("turns", 0, "how often what takes long is measured; 0: three times, once with more than two million entries")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	runtime.LockOSThread() // processes that are started here end with this thread
	lots, err := newLots(*kept, *entries)
	lots.turns = *turns
	if err == nil {
		err = bench(ctx, *station, *agent, *out, *only, lots)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, station, agent, out, only string, lots lots) (err error) {
	for _, path := range []*string{&station, &agent} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	p, err := newPlant(ctx, station, agent)
	if err != nil {
		return err
	}
	p.lots = lots
	defer p.Close()
	var reports []*report
	for _, m := range measurements {
		if only != "" && !slices.Contains(strings.Split(only, ","), m.id) {
			continue
		}
		load, err := loadAverage()
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s, load average %s\n", m.id, load)
		r, err := m.measure(ctx, p)
		if err != nil {
			return fmt.Errorf("%s: %w", m.id, err)
		}
		r.load = load
		reports = append(reports, r)
	}
	fmt.Print(tableOf(reports))
	if out == "" {
		for _, r := range reports {
			fmt.Print(r)
		}
		return nil
	}
	page, err := pageOf(ctx, p, reports)
	if err != nil {
		return err
	}
	return os.WriteFile(out, []byte(page), 0o644)
}
