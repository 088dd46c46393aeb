// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/operator"
	"provisioning.example/station/internal/record"
)

func newOperator(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use: "operator", Short: "who may work here: add, list, pin, erase",
		Long: `operator keeps the register of who may work at this station. As long as it is
empty, whoever is logged in works as os:NAME and may do everything; the first
one in it is an admin, and from then on every command says who is at work with
--operator. qa and admin have a PIN.`,
	}
	c.AddCommand(newOperatorAdd(g), newOperatorList(g), newOperatorPIN(g), newOperatorErase(g))
	return c
}

// newPINFlags are the ways to hand over a PIN that is being set.
func newPINFlags(c *cobra.Command, s *secretFlags) {
	c.Flags().StringVar(&s.file, "new-pin-file", "", "file that holds the new PIN")
	c.Flags().IntVar(&s.fd, "new-pin-fd", -1, "open descriptor that holds the new PIN")
}

func newOperatorAdd(g *globals) *cobra.Command {
	var p operator.Person
	var role, loss string
	var pin secretFlags
	c := &cobra.Command{
		Use: "add ID", Short: "take somebody in", Args: cobra.ExactArgs(1),
		Long: `add takes somebody in; the first one is an admin.

A register that was lost is brought back with the file operators.toml. Where no
copy of it exists, --after-loss begins it anew with an admin: it takes the PIN of
the CA key and somebody's approval, and is on record.`,
		RunE: func(c *cobra.Command, args []string) error {
			p.ID, p.Role, g.afterLoss = args[0], operator.Role(role), loss != ""
			what := record.Body{New: addedWords(p)}
			if g.afterLoss {
				what = record.Body{New: registerAnew + addedWords(p), Reason: loss, Approver: g.approver}
			}
			return g.changeOperators(c, what, func(r *operator.Register) error {
				var text []byte
				if p.Role.NeedsPIN() || pin.given() {
					var err error
					if text, err = pin.readNew("new PIN of " + p.ID); err != nil {
						return err
					}
				}
				return r.Add(p, text)
			})
		},
	}
	c.Flags().StringVar(&p.Name, "name", "", "the name on exports; it stays out of the ledger")
	c.Flags().StringVar(&role, "role", string(operator.Technician), "technician, qa or admin")
	c.Flags().StringVar(&p.Badge, "badge", "", "what a scan of the badge types")
	c.Flags().StringVar(&loss, "after-loss", "", "begin a register that was lost anew; says what became of it, for the ledger")
	newPINFlags(c, &pin)
	return c
}

func newOperatorPIN(g *globals) *cobra.Command {
	var pin secretFlags
	c := &cobra.Command{
		Use: "pin ID", Short: "set somebody's PIN, and unlock them", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return g.changeOperators(c, record.Body{New: args[0] + " has a new PIN"}, func(r *operator.Register) error {
				text, err := pin.readNew("new PIN of " + args[0])
				if err != nil {
					return err
				}
				return r.SetPIN(args[0], text)
			})
		},
	}
	newPINFlags(c, &pin)
	return c
}

func newOperatorErase(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "erase ID", Short: "forget somebody's name, badge and PIN; the id stays taken", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return g.changeOperators(c, record.Body{New: args[0] + " erased"}, func(r *operator.Register) error { return r.Erase(args[0]) })
		},
	}
}

// changeOperators changes the register and records that it was done. The
// ledger shows ids and roles, never names.
func (g *globals) changeOperators(c *cobra.Command, what record.Body, change func(*operator.Register) error) error {
	b, err := openLedger(c.Context(), g)
	if err != nil {
		return err
	}
	defer b.Close()
	r, err := b.home.operators()
	if err == nil && g.afterLoss {
		err = b.refound(c.Context(), g, r)
	}
	if err == nil {
		err = change(r)
	}
	if err != nil {
		return usage(err, "nothing was changed; see: station operator list")
	}
	what.Kind, what.What = record.KindConfig, registerSetting
	if err := b.note(c.Context(), what); err != nil {
		return err
	}
	fmt.Fprintln(c.ErrOrStderr(), what.New)
	return nil
}

func newOperatorList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "who is in the register", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := openHome(g.home)
			if err != nil {
				return err
			}
			r, err := h.operators()
			if err != nil {
				return usage(err, "mend the register, or bring it back from a backup")
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
			if !g.json {
				fmt.Fprintln(t, "ID\tROLE\tSTATE\tNAME")
			}
			for _, p := range r.People() {
				if err := listOperator(c, t, p, g.json); err != nil {
					return err
				}
			}
			return t.Flush()
		},
	}
}

func listOperator(c *cobra.Command, t *tabwriter.Writer, p operator.Person, asJSON bool) error {
	state := "active"
	switch {
	case p.Erased:
		state = "erased"
	case p.Locked:
		state = "locked"
	}
	if asJSON {
		return json.NewEncoder(c.OutOrStdout()).Encode(map[string]string{
			"id": p.ID, "role": string(p.Role), "state": state, "name": p.Name, "badge": p.Badge,
		})
	}
	_, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", p.ID, p.Role, state, p.Name)
	return err
}

// operators is the register of a home.
func (h *home) operators() (*operator.Register, error) {
	return operator.Open(h.path("operators.toml"))
}

// commandActions is the one table of what a command does that not everybody
// may; a command that is not here, and none above it, only looks.
var commandActions = map[string]operator.Action{
	"station":                 operator.Provision,
	"station batch":           operator.Provision,
	"station ca":              operator.Set,
	"station operator":        operator.Enrol,
	"station ledger correct":  operator.Correct,
	"station ledger sign-off": operator.SignOff,
	"station ledger export":   operator.Export,
	"station ledger filter":   operator.Export,
	"station ledger cosign":   operator.Export,
	"station ledger backup":   operator.Export,
	"station ledger restore":  operator.Set,       // and somebody's approval
	"station scrap":           operator.Provision, // and somebody's approval
	"station rework":          operator.Provision, // and somebody's approval
	"station handover":        operator.Set,       // and somebody's approval
	"station order import":    operator.Set,
	"station order close":     operator.Set,
	"station order export":    operator.Export,
	"station selfcheck":       operator.Provision,
	"station slots":           operator.Set,
	"station label print":     operator.Provision,
}

// commandPath names a command whatever the program is called: without a window
// it is stationctl.
func commandPath(c *cobra.Command) string {
	return "station" + strings.TrimPrefix(c.CommandPath(), c.Root().Name())
}

// actionOf finds the nearest entry for a command.
func actionOf(c *cobra.Command) operator.Action {
	for at := c; at != nil; at = at.Parent() {
		if a, ok := commandActions[commandPath(at)]; ok && (at.HasParent() || at == c) {
			return a
		}
	}
	return ""
}

// signIn finds out who is at work: whoever is logged in while the register is
// empty, else one of its people, with their PIN where the role has one.
func (g *globals) signIn(h *home) (operator.Person, error) {
	r, err := g.register(h)
	if err != nil {
		return operator.Person{}, err
	}
	if r.Empty() {
		return operator.Person{ID: g.who(), Role: operator.Technician}, nil
	}
	if g.operator == "" {
		return operator.Person{}, usage(errors.New("this station has a register of operators"), "say who you are with --operator ID")
	}
	p, err := g.identify(r, g.operator, g.operatorPIN)
	if err != nil {
		return p, err
	}
	if g.action != "" && !p.Role.May(g.action) {
		return p, usage(fmt.Errorf("%s is %s and may not %s", p.ID, p.Role, g.action), "this is for "+operator.WhoMay(g.action))
	}
	g.operator = p.ID
	return p, nil
}

// identify finds a person by id or badge and tries the PIN, if the role has one.
func (g *globals) identify(r *operator.Register, text string, pin secretFlags) (operator.Person, error) {
	p, err := r.Find(text)
	if err != nil {
		return p, usage(err, "see: station operator list")
	}
	if !p.Role.NeedsPIN() {
		return p, nil
	}
	secret, err := pin.read("PIN of " + p.ID)
	if err == nil {
		err = r.Check(p.ID, secret)
	}
	if wrong := (*operator.PINError)(nil); errors.As(err, &wrong) && wrong.Left == 0 {
		g.locked = append(g.locked, p.ID)
	}
	if err != nil {
		return p, usage(err, "see: station operator list")
	}
	return p, nil
}

// signedIn records who works from here on; whoever is logged in needs no entry.
func (b *bench) signedIn(ctx context.Context, p operator.Person) error {
	b.who, b.role = p.ID, p.Role
	if strings.HasPrefix(p.ID, "os:") {
		return nil
	}
	method := "id"
	if p.Role.NeedsPIN() {
		method = "PIN"
	}
	err := b.note(ctx, record.Body{Kind: record.KindLogin, Role: string(p.Role), Method: method})
	b.signed = err == nil
	return err
}

// signedOut records the end of that, and who was locked meanwhile.
func (b *bench) signedOut(ctx context.Context) error {
	var errs []error
	if b.locked != nil && b.started {
		for _, id := range *b.locked {
			errs = append(errs, b.note(ctx, record.Body{Kind: record.KindConfig, What: registerSetting, New: id + " locked", Reason: "too many wrong PINs"}))
		}
		*b.locked = nil
	}
	if b.signed {
		errs = append(errs, b.note(ctx, record.Body{Kind: record.KindLogout, Role: string(b.role)}))
	}
	return errors.Join(errs...)
}
