// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"slices"
	"strings"

	"provisioning.example/station/internal/ledger/reader"
)

// understood is a search as the ledger took it.
type understood struct {
	wish  wish
	parts []part
}

// part is what is shown of a term: its meaning, and other meanings that are in
// the ledger, too.
type part struct {
	term    term
	took    reading
	others  []reading
	problem string
}

// joinWords is the inverse of splitWords; words that became empty fall out.
func joinWords(words []string) string {
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

// bad reports why some term means nothing, "" if all do.
func (u understood) bad() string {
	for _, p := range u.parts {
		if p.problem != "" {
			return p.problem
		}
	}
	return ""
}

// resolve gives each term its meaning: the first one that finds an entry, or
// the first of all where none does. Each question is one look into an index.
func resolve(ctx context.Context, page pager, terms []term) (u understood, err error) {
	for _, t := range terms {
		p := part{term: t, problem: t.problem}
		if p.problem == "" {
			p.took = t.readings[0]
			if err := p.ask(ctx, page); err != nil {
				return u, err
			}
			p.took.narrow(&u.wish)
		}
		u.parts = append(u.parts, p)
	}
	return u, nil
}

// ask asks the ledger which of several meanings it knows.
func (p *part) ask(ctx context.Context, page pager) error {
	if len(p.term.readings) < 2 {
		return nil
	}
	var known []reading
	for _, r := range p.term.readings {
		var w wish
		r.narrow(&w)
		found, _, _, err := page(ctx, w.Filter, reader.Cursor{}, 1)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			known = append(known, r)
		}
	}
	if len(known) > 0 {
		p.took, p.others = known[0], slices.Clone(known[1:])
	}
	return nil
}
