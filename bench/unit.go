// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"provisioning.example/station/bench/line"
	"provisioning.example/station/bench/proxy"
)

// commits is how many transactions a unit without a second try costs: its key,
// what is to be signed, the certificate, its proof, the end, and the checkpoint
// over it.
const commits = 6

const (
	unitRounds = 3
	unitBoards = 3 // of each speed in a round
)

const unitHow = `One posix agent at a time behind a pseudo-terminal that carries both directions at
the line's speed; blank board to PASS under a signed checkpoint, from the
station's first byte to its word. The sum is what no station can save: the bytes
that crossed, the board's own time, the TPM's signatures, one fdatasync of one
page for each of the six transactions. The board's time is taken at its end of
the line, without pace, from each request to its answer and from its answer to
the reset to its boot log; a board that boots as fast as this one is 250 ms down,
as Zephyr's are. Bytes that cross while it is down are not in the sum. Medians of
nine units, the speeds in turn.`

// unit is where the time of one unit went, in seconds.
type unit struct {
	total float64 // from the station's first byte to the word that it passed
	wire  float64 // bytes
	board float64 // computing and booting
	tpm   float64 // signatures

	retries int // requests that were sent again
}

// unitFigures is P1: one board at a time, on lines of different speeds in turn.
func unitFigures(ctx context.Context, p *plant) (*report, error) {
	bauds := []int{0, 115200, 921600}
	units := map[int][]unit{}
	var syncs []float64
	for range unitRounds {
		for _, baud := range bauds {
			u, err := unitsAt(ctx, p, baud)
			if err != nil {
				return nil, fmt.Errorf("units at %d baud: %w", baud, err)
			}
			units[baud] = append(units[baud], u...)
			s, err := syncTime(p.dir, 40)
			if err != nil {
				return nil, err
			}
			syncs = append(syncs, s...)
		}
	}
	board := medianBy(units[0], func(u unit) float64 { return u.board })
	disk := commits * medianOf(syncs)
	r := &report{
		title: "P1, where a unit's time goes, seconds",
		how:   unitHow,
		head:  []string{"line", "total", "bytes", "bytes on the line", "board: compute and boot", "TPM signatures", "6 commits", "sum", "rest: the station", "requests sent again"},
	}
	for _, baud := range bauds {
		u := units[baud]
		total := medianBy(u, func(u unit) float64 { return u.total })
		wire := medianBy(u, func(u unit) float64 { return u.wire })
		tpm := medianBy(u, func(u unit) float64 { return u.tpm })
		retries := 0
		for _, one := range u {
			retries += one.retries
		}
		onLine := line.Time(int(wire), baud).Seconds()
		sum := onLine + board + tpm + disk
		r.rows = append(r.rows, []string{
			speed(baud), seconds(total), fmt.Sprintf("%.0f", wire), seconds(onLine), seconds(board), seconds(tpm), seconds(disk), seconds(sum), seconds(total - sum), fmt.Sprint(retries),
		})
		if baud > 0 {
			r.figures = append(r.figures, figure{
				"P1", "a unit at " + speed(baud), seconds(total) + " s", "sum of its parts, " + seconds(sum) + " s",
				total / sum, atMost(1.10),
			})
		}
	}
	return r, nil
}

func speed(baud int) string {
	if baud == 0 {
		return "no pace"
	}
	return fmt.Sprintf("%d baud", baud)
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }

// unitsAt provisions some boards one behind the other on lines of one speed.
func unitsAt(ctx context.Context, p *plant, baud int) ([]unit, error) {
	var ports []string
	talks := map[string]*talk{}
	for range unitBoards {
		board, err := p.board(ctx)
		if err != nil {
			return nil, err
		}
		t, port := &talk{}, board+".line"
		l, err := line.Open(line.Config{Board: board, Link: port, Baud: baud, Watch: t.watch})
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports, talks[port] = append(ports, port), t
	}
	told := baud
	if told == 0 {
		told = 921600 // the least the station adds to its timeouts
	}
	if err := p.product(told); err != nil {
		return nil, err
	}
	p.proxy.Commands()
	ends, err := p.batch(ctx, ports, "--jobs", "1")
	if err != nil {
		return nil, err
	}
	log := p.proxy.Commands()
	var out []unit
	for _, e := range ends {
		t := talks[e.Port]
		t.mu.Lock()
		out = append(out, unit{
			total: e.at.Sub(t.begin).Seconds(), wire: float64(t.wire), board: t.board().Seconds(),
			tpm: signing(log, t.begin, e.at).Seconds(), retries: e.Retries,
		})
		t.mu.Unlock()
	}
	return out, nil
}

// signing is the time the TPM signed between two moments.
func signing(log []proxy.Command, from, to time.Time) time.Duration {
	var d time.Duration
	for _, c := range log {
		if c.Code == proxy.CCSign && !c.Start.Before(from) && !c.End.After(to) {
			d += c.End.Sub(c.Start)
		}
	}
	return d
}
