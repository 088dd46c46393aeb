// SPDX-License-Identifier: Apache-2.0

package main

import "errors"

// approval names who approves what cannot be undone. It is somebody else than
// who acts: four eyes.
func (g *globals) approval() (string, error) {
	switch {
	case g.approver == "":
		return "", usage(errors.New("this needs somebody's approval"), "name who approves with --approver")
	case g.approver == g.who():
		return "", usage(errors.New("who approves must be somebody else than who acts"), "see --approver and --operator")
	}
	return g.approver, nil
}
