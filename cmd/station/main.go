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

	"provisioning.example/station/internal/port"
)

// version is set by the Makefile.
var version = "0.0.0-dev"

func main() { os.Exit(process(port.Bus{})) }

// process runs the program on a machine with these ports.
func process(bus port.Bus) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// Whoever reads our output may go away; the line must not.
	signal.Ignore(syscall.SIGPIPE)
	defer stop()
	return report(os.Stderr, newRoot(bus).ExecuteContext(ctx))
}
