// SPDX-License-Identifier: Apache-2.0

//go:build nogui

package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/provision"
)

const buildName = "no window"

type windowFlags struct {
	theme    string
	describe bool
}

func addWindow(root *cobra.Command, _ *globals) {
	root.Use = "stationctl"
	root.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
}

func hasDisplay() bool { return false }

func openWindow(context.Context, *bench, windowFlags, provision.Config, lookout) error {
	return usage(errors.New("this program was built without a window"), "use station, or stationctl batch")
}
