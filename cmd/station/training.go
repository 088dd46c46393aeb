// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"
)

// trainingMark stands on everything that training makes.
const trainingMark = "TRAINING"

// newTraining is the demo for the people of the line.
func newTraining(g *globals) *cobra.Command {
	f := demoFlags{mark: trainingMark}
	var name string
	c := &cobra.Command{
		Use: "training", Short: "practise the line: virtual boards, a test authority, a ledger of its own", Args: cobra.NoArgs,
		Long: `training makes a throw-away root and home with a simulated TPM, and virtual boards, as
demo does, for people who learn the line. With --faults some boards misbehave; with
--order it goes by the labels and the quantity of one of this station's orders. The
station's own authority and ledger are not touched: nothing is recorded for the order,
and every certificate is of the TRAINING root.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if name != "" {
				h, err := openHome(g.home)
				if err != nil {
					return err
				}
				if f.order, err = h.loadOrder(name); err != nil {
					return err
				}
			}
			return demo(c, g, f)
		},
	}
	f.add(c)
	c.Flags().StringVar(&name, "order", "", "an order of this station: its name, or its file")
	c.Flags().BoolVar(&f.faulty, "faults", false, "every third board misbehaves")
	return c
}

// trainingFaults are what a person of the line should have seen once: a board
// that does not answer, one that lies, one whose cable is loose.
var trainingFaults = [...]string{"silent", "bad-signature", "unplug-once", "lock-lies", "prove-wrong-key"}

// fault is what the i-th board does wrong, "" for nothing.
func (f *demoFlags) fault(i int) string {
	if !f.faulty || i%3 != 2 {
		return ""
	}
	return trainingFaults[i/3%len(trainingFaults)]
}
