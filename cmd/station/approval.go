// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"provisioning.example/station/internal/operator"
)

// approval names who approves what cannot be undone. It is somebody else than
// who acts: four eyes. Where the station has a register of operators, it is one
// of them, with the role and the PIN for it. It takes the home's lock while it
// asks: who opens the register alone loses no try of a PIN.
func (g *globals) approval() (string, error) {
	h, err := openHome(g.home)
	if err != nil {
		return "", err
	}
	if g.approver != "" {
		if err := h.acquire(); err != nil {
			return "", err
		}
		defer h.release()
	}
	return g.approvalIn(h)
}

// approvalIn is approval where this process has the home's lock.
func (g *globals) approvalIn(h *home) (string, error) {
	if g.approver == "" {
		return "", usage(errors.New("this needs somebody's approval"), "name who approves with --approver")
	}
	r, err := g.register(h)
	if err != nil {
		return "", err
	}
	id, who := g.approver, g.who()
	if !r.Empty() {
		p, err := g.identify(r, g.approver, g.approverPIN)
		if err != nil {
			return "", err
		}
		if !p.Role.May(operator.Approve) {
			return "", usage(fmt.Errorf("%s is %s and may not %s", p.ID, p.Role, operator.Approve), "this is for "+operator.WhoMay(operator.Approve))
		}
		id = p.ID
		if acts, err := r.Find(g.operator); err == nil {
			who = acts.ID // a badge is another name for the same person
		}
	}
	if id == who {
		return "", usage(errors.New("who approves must be somebody else than who acts"), "see --approver and --operator")
	}
	return id, nil
}
