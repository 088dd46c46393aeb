// SPDX-License-Identifier: Apache-2.0

package plant

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Log is what the plant has of one epoch of a station.
type Log struct {
	Origin string `json:"origin"`
	Size   int64  `json:"entries"`
	Proven int64  `json:"checkpoint"` // size of the newest checkpoint that was computed again
}

// Logs lists what was imported, by station and epoch.
func (p *Plant) Logs(ctx context.Context) ([]Log, error) {
	rows, err := p.conn.Query(ctx, `SELECT origin, size, proven FROM log ORDER BY station, epoch`)
	if err != nil {
		return nil, fmt.Errorf("plant: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Log])
	if err != nil {
		return nil, fmt.Errorf("plant: %w", err)
	}
	return all, nil
}

// Quarantined is a bundle that was not imported.
type Quarantined struct {
	Digest  string    `json:"sha256"`
	File    string    `json:"file"`
	Station string    `json:"station"`
	Reason  string    `json:"reason"`
	Detail  string    `json:"detail"`
	Ours    string    `json:"ours,omitempty"`   // signed checkpoint
	Theirs  string    `json:"theirs,omitempty"` // signed checkpoint
	Seen    time.Time `json:"seen"`
}

// Quarantine lists what was not imported, oldest first.
func (p *Plant) Quarantine(ctx context.Context) ([]Quarantined, error) {
	rows, err := p.conn.Query(ctx, `SELECT encode(sha256, 'hex'), file, station, reason, detail, coalesce(ours, ''), coalesce(theirs, ''), seen
		FROM quarantine ORDER BY seen, sha256`)
	if err != nil {
		return nil, fmt.Errorf("plant: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Quarantined])
	if err != nil {
		return nil, fmt.Errorf("plant: %w", err)
	}
	return all, nil
}
