// SPDX-License-Identifier: Apache-2.0

// paced-line puts a serial line of a given speed in front of a board on a
// pseudo-terminal, until a signal comes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"provisioning.example/station/bench/line"
)

func main() {
	board := flag.String("board", "", "the board's tty")
	link := flag.String("link", "", "becomes a symbolic link to the station's tty")
	baud := flag.Int("baud", 115200, "bits per second, 8N1; 0: no pace")
	flag.Parse()
	if *board == "" || *link == "" || *baud < 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var bytes [2]atomic.Int64
	l, err := line.Open(line.Config{Board: *board, Link: *link, Baud: *baud, Watch: func(p line.Passage) {
		bytes[p.From].Add(int64(len(p.Bytes)))
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, "paced-line:", err)
		os.Exit(1)
	}
	fmt.Println("ready", *link)
	<-ctx.Done()
	if err := l.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "paced-line:", err)
	}
	fmt.Printf("%d bytes to the board, %d from it\n", bytes[line.Station].Load(), bytes[line.Board].Load())
}
