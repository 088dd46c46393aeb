// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"provisioning.example/station/bench/proxy"
)

const commandHow = `Counted by a proxy before swtpm, over ten certificates after the first. With the
modelled resource manager the proxy does what drivers/char/tpm/tpm2-space.c of
Linux does around each command for each object and session of a client (load,
save, flush), and everything that reaches the TPM counts; nothing ran on a
hardware TPM. A process of openssl hashes and verifies the request in the TPM, too.`

// commandFigures is P4: what one certificate costs in TPM commands, which is
// what counts on a chip: each takes its time on the bus.
func commandFigures(ctx context.Context, p *plant) (*report, error) {
	r := &report{title: "P4, TPM commands for a certificate", how: commandHow, head: []string{"maker", "raw channel", "modelled resource manager"}}
	names := []string{ours, stepKept, opensslKey, opensslTSS}
	counts := map[string][]float64{}
	for _, manager := range []bool{false, true} {
		socket := p.path(fmt.Sprintf("count%t.sock", manager))
		between, err := proxy.New(proxy.Config{Upstream: p.path("tpm.sock"), Listen: socket, Manager: manager})
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			n, err := commandsOf(ctx, p, between, socket, name)
			if err != nil {
				between.Close()
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			counts[name] = append(counts[name], n)
		}
		if err := between.Close(); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		r.rows = append(r.rows, []string{name, number(counts[name][0]), number(counts[name][1])})
	}
	for i, channel := range []string{"raw channel", "modelled resource manager"} {
		best, peer := counts[names[1]][i], names[1]
		for _, name := range names[2:] {
			if n := counts[name][i]; n < best {
				best, peer = n, name
			}
		}
		we := counts[ours][i]
		limit := []float64{1, 3}[i]
		r.figures = append(r.figures, figure{
			"P4", "TPM commands a signature, " + channel, number(we), fmt.Sprintf("%s, %s", peer, number(best)), we / best,
			goal{fmt.Sprintf("%.0f commands", limit), func(float64) bool { return we <= limit }},
		})
	}
	return r, nil
}

// commandsOf counts over some certificates after the first.
func commandsOf(ctx context.Context, p *plant, between *proxy.Proxy, socket, name string) (float64, error) {
	m, err := newMakers(ctx, p, socket)
	if err != nil {
		return 0, err
	}
	maker, err := m.open(ctx, name)
	if err != nil {
		return 0, err
	}
	defer maker.close()
	if err := maker.issue(ctx); err != nil {
		return 0, err
	}
	between.Commands()
	const count = 10
	for range count {
		if err := maker.issue(ctx); err != nil {
			return 0, err
		}
	}
	return float64(proxy.Sent(between.Commands())) / count, nil
}

func number(n float64) string {
	if n == float64(int(n)) {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.1f", n)
}
