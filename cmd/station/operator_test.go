// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/operator"
	"provisioning.example/station/internal/port"
)

// TestActionsUnderAnyName: who may do what does not depend on what the program is called; without a window it is called stationctl.
func TestActionsUnderAnyName(t *testing.T) {
	for _, name := range []string{"station", "stationctl"} {
		root := newRoot(port.Bus{})
		root.Use = name
		for _, try := range []struct {
			args []string
			want operator.Action
		}{
			{nil, operator.Provision},
			{[]string{"batch"}, operator.Provision},
			{[]string{"operator", "add"}, operator.Enrol},
			{[]string{"ca", "install"}, operator.Set},
			{[]string{"ledger", "filter", "import"}, operator.Export},
			{[]string{"ledger", "verify"}, ""},
			{[]string{"doctor"}, ""},
		} {
			c := root
			if len(try.args) > 0 {
				var err error
				if c, _, err = root.Find(try.args); err != nil {
					t.Fatal(err)
				}
			}
			if got := actionOf(c); got != try.want {
				t.Errorf("%s %v: %q, want %q", name, try.args, got, try.want)
			}
		}
	}
}

// TestActionsNameCommands: a row for a command that is not there protects nothing.
func TestActionsNameCommands(t *testing.T) {
	root := newRoot(port.Bus{})
	there := map[string]bool{}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		there[commandPath(c)] = true
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	for path := range commandActions {
		if !there[path] {
			t.Errorf("there is no command %q", path)
		}
	}
}
