// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"slices"
	"sort"

	"provisioning.example/station/internal/record"
)

// judgement is what is remembered of what people said about entries, and of what sign-offs count.
type judgement struct {
	corrections []record.Entry        // in order
	ends        map[outcomeOf][]int64 // numbers of the entries, ascending
	sizes       map[int]int64         // entries of each epoch so far
}

// outcomeOf is how a run ended, where, and for which order. With all, whatever its order.
type outcomeOf struct {
	epoch   int
	outcome string
	order   string
	all     bool
}

// remark remembers a correction or an end of a run, and judges a sign-off.
func (a *auditor) remark(e record.Entry) {
	j := &a.judgement
	if j.ends == nil {
		j.ends, j.sizes = map[outcomeOf][]int64{}, map[int]int64{}
	}
	j.sizes[e.Epoch] = e.Seq
	switch b := e.Body; b.Kind {
	case record.KindEnd:
		at := outcomeOf{epoch: e.Epoch, outcome: b.Outcome, all: true}
		j.ends[at] = append(j.ends[at], e.Seq)
		if b.Order != "" {
			at.order, at.all = b.Order, false
			j.ends[at] = append(j.ends[at], e.Seq)
		}
	case record.KindCorrection:
		a.report.Corrections++
		if at := b.About(); at.Epoch > e.Epoch || at.Epoch == e.Epoch && at.Seq >= e.Seq {
			a.wrong(e.Epoch, e.Seq, "correction", "corrects entry %d of epoch %d, which does not stand before it", at.Seq, at.Epoch)
			return
		}
		j.corrections = append(j.corrections, e)
	case record.KindSignoff:
		a.report.Signoffs++
		a.signoff(e)
	}
}

// signoff counts again what somebody signed for.
func (a *auditor) signoff(e record.Entry) {
	b := e.Body
	last, known := a.judgement.sizes[b.EntryEpoch]
	if b.EntryEpoch == e.Epoch {
		last-- // not itself
	}
	if !known || b.To > last {
		a.wrong(e.Epoch, e.Seq, "signoff", "signs for entries %d to %d of epoch %d, which do not all stand before it", b.From, b.To, b.EntryEpoch)
		return
	}
	var total int64
	counted := map[string]int64{}
	for _, outcome := range []string{record.Passed, record.Failed, record.Error, record.Aborted} {
		ends := a.judgement.ends[outcomeOf{b.EntryEpoch, outcome, b.Order, b.Order == ""}]
		n := between(ends, b.From, b.To)
		counted[outcome] = n
		total += n
	}
	if total != b.Count || counted[record.Passed] != b.RunsPassed || counted[record.Failed] != b.RunsFailed {
		a.wrong(e.Epoch, e.Seq, "signoff", "signs for %d runs, %d passed and %d failed; entries %d to %d of epoch %d have %d, %d passed and %d failed",
			b.Count, b.RunsPassed, b.RunsFailed, b.From, b.To, b.EntryEpoch, total, counted[record.Passed], counted[record.Failed])
	}
}

// between counts the numbers of an ascending list from first to last, both included.
func between(numbers []int64, first, last int64) int64 {
	from := sort.Search(len(numbers), func(i int) bool { return numbers[i] >= first })
	to := sort.Search(len(numbers), func(i int) bool { return numbers[i] > last })
	return int64(max(to-from, 0))
}

// judgeCorrections goes through the entries that were corrected, once more and in order: each correction must name what stood there.
func (a *auditor) judgeCorrections(ctx context.Context) error {
	all := a.judgement.corrections
	if len(all) == 0 {
		return nil
	}
	about := map[record.Place][]record.Entry{}
	for _, c := range all {
		about[c.Body.About()] = append(about[c.Body.About()], c)
	}
	first := slices.MinFunc(all, func(x, y record.Entry) int { return compare(x.Body.About(), y.Body.About()) }).Body.About()
	for e, err := range a.source.Raw(ctx, first.Epoch, first.Seq) {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		corrections := about[e.Place()]
		if corrections == nil {
			continue
		}
		a.corrected(e, corrections)
		if delete(about, e.Place()); len(about) == 0 {
			break
		}
	}
	for at, corrections := range about {
		for _, c := range corrections {
			a.wrong(c.Epoch, c.Seq, "correction", "corrects entry %d of epoch %d, which is not there", at.Seq, at.Epoch)
		}
	}
	return nil
}

// corrected judges the corrections of one entry, oldest first.
func (a *auditor) corrected(e record.Entry, corrections []record.Entry) {
	body, err := record.Decode(e.Raw)
	for i, c := range corrections {
		if err != nil {
			a.wrong(c.Epoch, c.Seq, "correction", "corrects entry %d of epoch %d, which does not read", e.Seq, e.Epoch)
			continue
		}
		e.Body = body
		if err := record.Judge(c.Body, e, corrections[:i]); err != nil {
			a.wrong(c.Epoch, c.Seq, "correction", "%v", err)
		}
	}
}

func compare(x, y record.Place) int {
	if x.Epoch != y.Epoch {
		return x.Epoch - y.Epoch
	}
	return int(min(max(x.Seq-y.Seq, -1), 1))
}
