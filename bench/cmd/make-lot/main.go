// SPDX-License-Identifier: Apache-2.0

// make-lot makes the home of a station that has made very many units: a real
// signed ledger of any length.
//
//	make-lot -entries 1000000 -dir DIR
//	stationctl ledger verify --home DIR/home --root DIR/root/root.pem
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"provisioning.example/station/bench/lot"
)

func main() {
	c := lot.Config{}
	station := flag.String("station", "bin/stationctl", "the station's program")
	flag.StringVar(&c.Dir, "dir", "", "folder to make it in; it must not be there yet")
	flag.Int64Var(&c.Entries, "entries", 1_000_000, "how many entries the ledger has in the end")
	flag.IntVar(&c.Share, "share", 4, "units that share a checkpoint")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	began, told := time.Now(), time.Now()
	c.Progress = func(n int64) {
		if time.Since(told) > time.Second || n >= c.Entries {
			told = time.Now()
			fmt.Fprintf(os.Stderr, "\r%d entries, %.0f s", n, time.Since(began).Seconds())
		}
	}
	err := lot.New(ctx, *station, c)
	fmt.Fprintln(os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "make-lot:", err)
		os.Exit(1)
	}
}
