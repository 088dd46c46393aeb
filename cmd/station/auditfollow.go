// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"iter"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// progressTold is told what an audit does, and how many entries of all are
// judged; all is 0 while that is not known. nil: nobody wants to know.
type progressTold func(doing string, done, all int64)

// tellEvery is how many entries are judged from one word of progress to the next.
const tellEvery = 2048

// begin tells what begins.
func (t progressTold) begin(doing string) {
	if t != nil {
		t(doing, 0, 0)
	}
}

// followed is a moment of the ledger whose entries are counted as they are
// handed out.
type followed struct {
	answered
	tell progressTold
	all  int64
}

// follow counts the entries of a moment if somebody wants to know.
func follow(ctx context.Context, moment answered, tell progressTold) (followed, error) {
	f := followed{answered: moment, tell: tell}
	if tell == nil {
		return f, nil
	}
	var err error
	f.all, err = countEntries(ctx, moment.Reader)
	return f, err
}

func countEntries(ctx context.Context, r *reader.Reader) (all int64, err error) {
	last, _, err := r.Last(ctx)
	for epoch := 1; epoch <= last && err == nil; epoch++ {
		var size int64
		size, err = r.Size(ctx, epoch)
		all += size
	}
	return all, err
}

// Raw is that of the ledger, counted.
func (f followed) Raw(ctx context.Context, epoch int, seq int64) iter.Seq2[record.Entry, error] {
	entries := f.answered.Raw(ctx, epoch, seq)
	if f.tell == nil {
		return entries
	}
	return func(yield func(record.Entry, error) bool) {
		n := int64(0)
		for e, err := range entries {
			if n%tellEvery == 0 {
				f.tell("Judging every entry", min(n, f.all), f.all)
			}
			if n++; !yield(e, err) {
				return
			}
		}
		f.tell("Judging what is left open", f.all, f.all)
	}
}
