// SPDX-License-Identifier: Apache-2.0

// Command station is a factory provisioning station: it gives every board on a
// production line its own X.509 identity, and can prove afterwards that it did.
//
// Without a command it opens the window; built with the tag nogui it is the
// same program without one (stationctl).
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the Makefile.
var version = "0.0.0-dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run is the program without the process: tests call it too.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return report(os.Stderr, err)
}
