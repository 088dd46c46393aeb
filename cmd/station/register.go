// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/operator"
	"provisioning.example/station/internal/record"
)

// What entries say of the register of operators. Ids are never given anew, and
// who is erased stays in the file: an id that the ledger has, and the register
// has not, was taken out by somebody who may not.
const (
	registerSetting = "operator"
	registerAnew    = "register begun anew: "
)

// registerHint is the way out of a register that was lost.
const registerHint = "qa brings operators.toml back from a backup of the home; if there is none: station operator add ID --role admin --after-loss WHY --approver QA, with the CA key's PIN"

func addedWords(p operator.Person) string { return p.ID + " added as " + string(p.Role) }

// lostOperators are the ids that a ledger has as added, and the register has
// not. A ledger that is not there says nothing.
func lostOperators(ctx context.Context, path string, r *operator.Register) ([]string, error) {
	l, err := reader.Open(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer l.Close()
	have := map[string]bool{}
	for _, p := range r.People() {
		have[p.ID] = true
	}
	var lost []string
	for at, more := (reader.Cursor{}), true; more; {
		page, next, older, err := l.Page(ctx, reader.Filter{Kinds: []string{record.KindConfig}}, at, reader.MaxPage)
		if err != nil {
			return nil, err
		}
		for _, e := range page { // newest first
			if e.Body.What != registerSetting {
				continue
			}
			said, anew := strings.CutPrefix(e.Body.New, registerAnew)
			if id, _, added := strings.Cut(said, " added as "); added && !have[id] && !slices.Contains(lost, id) {
				lost = append(lost, id)
			}
			if anew {
				return lost, nil
			}
		}
		at, more = next, older
	}
	return lost, nil
}

// register is the home's register of operators as somebody may rely on it: it
// has everybody whom the ledger says was added. A ledger that does not read
// cannot be asked; whoever needs it is told so.
func (g *globals) register(h *home) (*operator.Register, error) {
	r, err := h.operators()
	if err != nil {
		return nil, usage(err, "mend the register, or bring it back from a backup")
	}
	if g.afterLoss {
		return r, nil
	}
	return r, missingOperators(h.ledgerPath(), r)
}

// missingOperators refuses a register that lacks somebody.
func missingOperators(path string, r *operator.Register) error {
	lost, err := lostOperators(context.Background(), path, r)
	if err != nil || len(lost) == 0 {
		return nil // a ledger that cannot be read is refused by whoever opens it
	}
	return unfit(fmt.Errorf("the register of operators is not the one that the ledger knows: %s not in operators.toml", are(lost)), registerHint)
}

// are is a short list of ids and its verb.
func are(ids []string) string {
	const most = 5
	slices.Sort(ids)
	switch n := len(ids); {
	case n == 1:
		return ids[0] + " is"
	case n > most:
		return fmt.Sprintf("%s and %d more are", strings.Join(ids[:most], ", "), n-most)
	}
	return strings.Join(ids, ", ") + " are"
}

// refound checks that a register may be begun anew, and who answers for it: the
// PIN of the CA key stands for those who are not known any more.
func (b *bench) refound(ctx context.Context, g *globals, r *operator.Register) error {
	lost, err := lostOperators(ctx, b.home.ledgerPath(), r)
	switch {
	case err != nil:
		return unfit(err, "see: station ledger verify")
	case len(lost) == 0:
		return usage(errors.New("the register is the one that the ledger knows: nothing was lost"), "leave --after-loss out")
	case !r.Empty():
		return usage(fmt.Errorf("the register has somebody, but %s not in it", are(lost)), "bring the right operators.toml back; if it is lost, take this one out of the home first")
	case g.approver == "":
		return usage(errors.New("a register that is begun anew needs somebody's approval"), "name who approves with --approver")
	case g.approver == g.who():
		return usage(errors.New("who approves must be somebody else than who acts"), "see --approver and --operator")
	case b.home.cfg.Keys.CA == nil:
		return unfit(fmt.Errorf("%s has no CA key", b.home.dir), "make the home anew with: station init")
	}
	pin, err := g.pin.read("PIN of the CA key")
	if err != nil {
		return err
	}
	key, err := b.tpm.Key(ctx, *b.home.cfg.Keys.CA, func() ([]byte, error) { return pin, nil })
	if err == nil {
		err = tryPIN(ctx, key)
	}
	if err != nil {
		return b.caKeyUnfit(ctx, err)
	}
	return nil
}
