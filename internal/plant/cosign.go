// SPDX-License-Identifier: Apache-2.0

package plant

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"provisioning.example/station/internal/record"
)

// Cosign confirms the newest checkpoint of a log whose every entry the plant has computed again, and which contains all
// that the plant has seen of that log before. The same checkpoint is confirmed once: asked again, it returns the same bytes.
// The confirmation is in the database before it is returned, so that it is not forgotten if it gets out.
func (p *Plant) Cosign(ctx context.Context, origin, name string, key crypto.Signer, now time.Time) ([]byte, error) {
	who, err := record.NewCosigner(name, key.Public())
	if err != nil {
		return nil, fmt.Errorf("plant: %w", err)
	}
	var out string
	err = p.write(ctx, func(tx pgx.Tx) error {
		var size int64
		var note string
		err := tx.QueryRow(ctx, `SELECT c.size, c.note FROM log l JOIN checkpoint c ON c.origin = l.origin AND c.size = l.proven WHERE l.origin = $1`, origin).Scan(&size, &note)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("nothing of %s was imported", origin)
		}
		if err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `SELECT note FROM cosignature WHERE origin = $1 AND size = $2 AND key = $3`, origin, size, who.String()).Scan(&out)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		signed, err := record.Cosign(name, key, []byte(note), now)
		if err != nil {
			return err
		}
		out = string(signed)
		_, err = tx.Exec(ctx, `INSERT INTO cosignature (origin, size, key, note) VALUES ($1, $2, $3, $4)`, origin, size, who.String(), out)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("plant: cosign: %w", err)
	}
	return []byte(out), nil
}
