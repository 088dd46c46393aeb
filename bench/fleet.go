// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"provisioning.example/station/bench/proxy"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

const (
	fleetRounds = 5
	fleetBoards = 64
	signPace    = 50 * time.Millisecond
)

const fleetHow = `Posix agents, all started before; one station process provisions them all. A proxy
makes each TPM2_Sign take 50 ms, checkpoints included. The time is from the start
of the first run, as the ledger has it, to the last PASS; the figure is of the
median run.`

// fleet is one run of many boards.
type fleet struct {
	certificates int
	checkpoints  int     // signatures besides
	total        float64 // seconds from the start of the runs to the last word
	first        float64 // of them, until the first signature began
	between      float64 // of them, until the last certificate was signed
	last         float64 // of them, the rest
	idle         float64 // of between, the mean from a signature's answer to the next command
}

// fleetFigures is P2: many boards wait for one slow TPM.
func fleetFigures(ctx context.Context, p *plant) (*report, error) {
	if err := p.product(115200); err != nil {
		return nil, err
	}
	_, ca, err := p.ca()
	if err != nil {
		return nil, err
	}
	p.proxy.Pace(signPace)
	defer p.proxy.Pace(0)
	r := &report{
		title: fmt.Sprintf("P2, runs of %d boards, seconds", fleetBoards),
		how:   fleetHow,
		head: []string{
			"total", "to the first signature", "to the last certificate", "to the last PASS",
			"checkpoints signed", "units/s", "certificates/s in the second part",
		},
	}
	var totals, ends, idle []float64
	for range fleetRounds {
		f, err := fleetRun(ctx, p, ca.Handle)
		if err != nil {
			return nil, err
		}
		totals, ends, idle = append(totals, f.total), append(ends, f.first+f.last), append(idle, f.idle)
		r.rows = append(r.rows, []string{
			seconds(f.total), seconds(f.first), seconds(f.between), seconds(f.last), fmt.Sprint(f.checkpoints),
			fmt.Sprintf("%.1f", fleetBoards/f.total), fmt.Sprintf("%.1f", fleetBoards/f.between),
		})
	}
	rate, limit := fleetBoards/medianOf(totals), 1/signPace.Seconds()
	r.figures = []figure{{
		"P2", fmt.Sprintf("%d boards at once, from nothing to the last PASS", fleetBoards), fmt.Sprintf("%.1f units/s", rate),
		fmt.Sprintf("a %v signature each, %.1f units/s", signPace, limit), rate / limit, atLeast(0.90),
	}}
	least := medianOf(ends) + fleetBoards*signPace.Seconds()
	r.note = fmt.Sprintf(`A run from nothing has ends in which the TPM cannot sign certificates: the first
boards make their keys, and the last one restarts (250 ms) and waits for its
checkpoint, and before that for one that was begun a moment too early. With the ends
of these runs (median %.2f s together) no more than %.1f units/s are possible; they are
the same for a run of any length. Checkpoints share signatures because they wait
behind the certificates. From one signature's answer to the next command the TPM
waits %.1f ms. All boards compute on this machine's own processors, which boards on
a bench do not.`, medianOf(ends), fleetBoards/least, 1000*medianOf(idle))
	return r, nil
}

func fleetRun(ctx context.Context, p *plant, ca uint32) (fleet, error) {
	var ports []string
	mark := len(p.close)
	for range fleetBoards {
		port, err := p.board(ctx)
		if err != nil {
			return fleet{}, err
		}
		ports = append(ports, port)
	}
	p.proxy.Commands()
	ends, err := p.batch(ctx, ports)
	if err != nil {
		return fleet{}, err
	}
	log := p.proxy.Commands()
	for len(p.close) > mark { // the boards
		_ = p.close[len(p.close)-1]()
		p.close = p.close[:len(p.close)-1]
	}
	begin, err := p.began(ctx, ends)
	if err != nil {
		return fleet{}, err
	}
	done := begin
	for _, e := range ends {
		if e.at.After(done) {
			done = e.at
		}
	}
	f := timesOf(log, ca, begin, done)
	if f.certificates != fleetBoards {
		return f, fmt.Errorf("%d boards got %d certificates", fleetBoards, f.certificates)
	}
	return f, nil
}

// began is when the first run of these units started: the ledger has for each
// how long it took and when it ended.
func (p *plant) began(ctx context.Context, ends []end) (time.Time, error) {
	r, err := reader.Open(ctx, p.path("home/ledger/ledger.db"))
	if err != nil {
		return time.Time{}, err
	}
	defer r.Close()
	var first time.Time
	for _, e := range ends {
		entries, err := r.EntriesOf(ctx, reader.Query{UID: e.UID, Model: model, Kinds: []string{record.KindEnd}})
		if err != nil || len(entries) != 1 {
			return first, fmt.Errorf("board %s has %d ends in the ledger, %w", e.UID, len(entries), err)
		}
		at, err := record.ParseTime(entries[0].Body.Time)
		if err != nil {
			return first, err
		}
		at = at.Add(-time.Duration(entries[0].Body.Duration) * time.Millisecond)
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first, nil
}

// timesOf takes a run apart by the signatures in it.
func timesOf(log []proxy.Command, ca uint32, begin, done time.Time) fleet {
	f := fleet{total: done.Sub(begin).Seconds()}
	var signing, between float64 // until now, until the last certificate
	for _, c := range log {
		if c.Code != proxy.CCSign || c.Start.Before(begin) || c.End.After(done) {
			continue
		}
		if c.Handle != ca {
			f.checkpoints++
			signing += c.End.Sub(c.Start).Seconds()
			continue
		}
		if f.certificates++; f.certificates == 1 {
			f.first, signing = c.Start.Sub(begin).Seconds(), 0
		}
		signing += c.End.Sub(c.Start).Seconds()
		f.last, between = done.Sub(c.End).Seconds(), signing
	}
	f.between = f.total - f.first - f.last
	f.idle = (f.between - between) / float64(max(f.certificates-1, 1))
	return f
}
