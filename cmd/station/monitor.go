// SPDX-License-Identifier: Apache-2.0

//go:build !nogui

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"provisioning.example/station/internal/provision"
)

// monitorEvery is how often the header's health is looked at.
const monitorEvery = 5 * time.Second

// monitor keeps the header's health, so that drawing never waits for a TPM or
// a disk.
type monitor struct {
	b  *bench
	mu sync.Mutex // guards is
	is []provision.Health
}

func newMonitor(b *bench) *monitor {
	return &monitor{b: b, is: []provision.Health{{Name: "TPM"}, {Name: "Ledger"}, {Name: "CA"}}}
}

func (m *monitor) health() []provision.Health {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.is
}

func (m *monitor) watch(ctx context.Context) {
	tick := time.NewTicker(monitorEvery)
	defer tick.Stop()
	for {
		now := m.look(ctx)
		m.mu.Lock()
		m.is = now
		m.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (m *monitor) look(ctx context.Context) []provision.Health {
	ctx, cancel := context.WithTimeout(ctx, monitorEvery)
	defer cancel()
	x := &examination{home: m.b.home, tpm: m.b.tpm, now: time.Now()}
	tpmIs, ca, disk := lookTPM(ctx, x).Health, lookCertificate(ctx, x).Health, lookDisk(ctx, x).Health
	tpmIs.Name, disk.Name = "TPM", "Ledger"
	if err := m.b.schedule.Err(); err != nil && disk.Level == provision.OK {
		disk.Level, disk.Text = provision.Warn, "no copy of the ledger was made: "+err.Error()
	}
	left := m.b.issuer.Certificate().NotAfter.Sub(x.now)
	ca.Name = fmt.Sprintf("CA %d d", int(left.Hours()/24))
	all := []provision.Health{tpmIs, disk, ca}
	if m.b.labels != nil {
		all = append(all, m.b.labels.Health())
	}
	return all
}
