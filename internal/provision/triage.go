// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"fmt"
	"slices"

	"provisioning.example/station/internal/filter"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// Key triage: what must be unlike in all units is compared with everything on
// record, not only with what live units hold. Runs that go on at the same time
// reserve what they bring in the station's memory until they end: one process
// holds the ledger, so that nobody can slip in between look and record.

// Values that one run at a time may bring, in Station.brought.
const (
	broughtName   = "name "   // common name
	broughtSerial = "serial " // number of an order's range
	broughtRandom = "random " // r of a request's signature
)

// bring reserves a value for this run; other is who has it already.
func (st *Station) bring(r *run, value string) (other *run) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if o := st.brought[value]; o != nil && o != r {
		return o
	}
	st.brought[value] = r
	return nil
}

// ownName refuses a unit whose certificate would have the common name of
// another unit's live one: no service could tell the two apart. A serial that
// two units share is left to the ledger's claims.
func (r *run) ownName(ctx context.Context) error {
	taken := func(how string, args ...any) error {
		return &fault{"F-CONNECT-19", fmt.Errorf("common name %q "+how, append([]any{r.cn}, args...)...)}
	}
	if o := r.st.bring(r, broughtName+r.cn); o != nil {
		return taken("is that of the board in slot %d too", o.slot)
	}
	entries, err := r.st.cfg.Reader.EntriesOf(ctx, reader.Query{CN: r.cn, Kinds: []string{record.KindIssuing}})
	if err != nil {
		return &fault{"F-RECORD-04", fmt.Errorf("look for the name %q: %w", r.cn, err)}
	}
	asked := map[string]bool{r.info.Model + "/" + r.uid(): true}
	for _, e := range entries {
		b := e.Body
		if asked[b.Unit()] || b.Serial == r.serial {
			continue
		}
		asked[b.Unit()] = true
		h, err := r.st.history(ctx, b.Model, b.UID)
		if err != nil {
			return err
		}
		if h.toBeSigned() && !h.scrapped && h.issuing != nil && h.issuing.CN == r.cn {
			return taken("is in the certificate of serial %s, board %s (entry %d)", b.Serial, b.UID, e.Seq)
		}
	}
	return nil
}

// newKey refuses a key that any unit ever had, live or not: whoever makes one
// key twice may make it a third time.
func (r *run) newKey(ctx context.Context) error {
	spki := hexOf(r.spki[:])
	entries, err := r.st.cfg.Reader.EntriesOf(ctx, reader.Query{SPKI: spki, Kinds: []string{record.KindKey}})
	if err != nil {
		return &fault{"F-RECORD-04", fmt.Errorf("look for key %s: %w", spki, err)}
	}
	for _, e := range entries {
		switch b := e.Body; {
		case b.Run == r.id: // this very key, when the step runs again
		case b.UID == r.uid() && b.Model == r.info.Model:
			return &fault{"F-KEY-04", fmt.Errorf("key %s was made by this board before (entry %d)", spki, e.Seq)}
		default:
			return &fault{"F-KEY-01", fmt.Errorf("key %s was made by board %s, serial %q, before (entry %d)", spki, b.UID, b.Serial, e.Seq)}
		}
	}
	return r.notElsewhere(filter.Key, spki, "F-KEY-05")
}

// notElsewhere refuses what another station has used, as far as its filter was
// imported here. A unit whose certificate is on record here already goes on:
// what was done cannot be undone by refusing it, and rework is how to mend it.
func (r *run) notElsewhere(kind filter.Kind, value, code string) error {
	if r.history.toBeSigned() {
		return nil
	}
	for _, set := range r.st.cfg.Elsewhere {
		if set.Has(kind, value) {
			return &fault{code, fmt.Errorf("%s %s is among what station %s had used (%s, %d entries)", kind, value, set.Station(), set.Origin(), set.Size())}
		}
	}
	return nil
}

// newRandom refuses a request whose ECDSA signature has the r of another one on
// record: both keys can be computed from the two. It says which other unit is
// lost with it.
func (r *run) newRandom(ctx context.Context) error {
	value := hexOf(r.req.R())
	if value == "" {
		return nil // no ECDSA
	}
	if o := r.st.bring(r, broughtRandom+value); o != nil {
		return &fault{"F-REQUEST-08", fmt.Errorf("r %s is that of the board in slot %d too", value, o.slot)}
	}
	entries, err := r.st.cfg.Reader.EntriesOf(ctx, reader.Query{CSRR: value})
	if err != nil {
		return &fault{"F-RECORD-04", fmt.Errorf("look for r %s: %w", value, err)}
	}
	digest := digestHex(r.req.DER())
	i := slices.IndexFunc(entries, func(e record.Entry) bool { return e.Body.CSR != "" && e.Body.CSR != digest })
	if i < 0 {
		return r.notElsewhere(filter.Random, value, "F-REQUEST-14")
	}
	b := entries[i].Body
	return &fault{"F-REQUEST-08", fmt.Errorf("r %s is in the request of serial %s, board %s too (entry %d): that unit's key is lost as well",
		value, b.Serial, b.UID, entries[i].Seq)}
}
