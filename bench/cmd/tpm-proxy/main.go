// SPDX-License-Identifier: Apache-2.0

// tpm-proxy stands before a TPM on a Unix socket, until a signal comes, and
// then tells how often each command came and how many the TPM got.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"provisioning.example/station/bench/proxy"
)

func main() {
	tpm := flag.String("tpm", "", "the TPM's socket, raw commands (swtpm socket --server type=unixio)")
	listen := flag.String("listen", "", "the socket to listen on; its control socket is NAME.ctrl")
	pace := flag.Duration("pace", 0, "least time of a signature, for example 50ms")
	manager := flag.Bool("resource-manager", false, "swap objects and sessions as the kernel does")
	flag.Parse()
	if *tpm == "" || *listen == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*pace, proxy.Config{Upstream: *tpm, Listen: *listen, Manager: *manager}); err != nil {
		fmt.Fprintln(os.Stderr, "tpm-proxy:", err)
		os.Exit(1)
	}
}

func run(pace time.Duration, cfg proxy.Config) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p, err := proxy.New(cfg)
	if err != nil {
		return err
	}
	p.Pace(pace)
	fmt.Println("ready", cfg.Listen)
	<-ctx.Done()
	err = p.Close()
	log, count := p.Commands(), map[uint32]int{}
	for _, c := range log {
		count[c.Code]++
	}
	for _, code := range slices.Sorted(maps.Keys(count)) {
		fmt.Printf("command %#x: %d\n", code, count[code])
	}
	fmt.Printf("%d commands, the TPM got %d\n", len(log), proxy.Sent(log))
	return err
}
