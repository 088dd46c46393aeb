// SPDX-License-Identifier: Apache-2.0

package plant

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// What can be there twice.
const (
	Serial = "serial" // one serial number on live units of two stations
	Unit   = "uid"    // one board, model/uid, live at two stations
	Key    = "spki"   // one public key at two stations, ever
)

// Holder is a station that has a value another one has, too.
type Holder struct {
	What    string `json:"what"`
	Value   string `json:"value"`
	Station string `json:"station"`
	Origin  string `json:"origin"`
	Seq     int64  `json:"seq"` // entry that says so, the station's last
	Serial  string `json:"serial,omitempty"`
	Model   string `json:"model,omitempty"`
	UID     string `json:"uid,omitempty"`
	Time    string `json:"time"`
}

// A serial and a board are held by who got a certificate for them, until a rework, a scrap or the end of an attempt
// releases them. A key stays used: it may not come again, wherever the board is now.
const duplicates = `
WITH said AS (
	SELECT what, value, l.station, l.epoch, e.*
	FROM entry e JOIN log l USING (origin), LATERAL (VALUES
		('serial', CASE WHEN kind IN ('issued', 'renewed') THEN serial END),
		('uid', CASE WHEN kind IN ('issued', 'renewed') THEN model || '/' || uid END),
		('spki', spki)) v (what, value)
	WHERE value IS NOT NULL AND kind IN ('key', 'issued', 'renewed')
), twice AS (
	SELECT what, value FROM said GROUP BY what, value HAVING count(DISTINCT station) > 1
), last AS (
	SELECT DISTINCT ON (what, value, station) * FROM said JOIN twice USING (what, value) ORDER BY what, value, station, epoch DESC, seq DESC
), held AS (
	SELECT * FROM last h WHERE what = 'spki' OR NOT EXISTS (
		SELECT FROM entry r JOIN log l USING (origin)
		WHERE r.uid = h.uid AND r.model = h.model AND l.station = h.station AND (l.epoch, r.seq) > (h.epoch, h.seq)
		AND r.body::jsonb -> 'releases' @> jsonb_build_array(jsonb_build_object('kind', h.what, 'value', h.value)))
)
SELECT what, value, station, origin, seq, coalesce(serial, ''), coalesce(model, ''), coalesce(uid, ''), time FROM held
WHERE (what, value) IN (SELECT what, value FROM held GROUP BY what, value HAVING count(*) > 1)
ORDER BY what, value, time, station`

// Duplicates lists who holds what another station holds, too: two rows or more for each value, the earliest first.
func (p *Plant) Duplicates(ctx context.Context) ([]Holder, error) {
	rows, err := p.conn.Query(ctx, duplicates)
	if err != nil {
		return nil, fmt.Errorf("plant: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Holder])
	if err != nil {
		return nil, fmt.Errorf("plant: %w", err)
	}
	return all, nil
}
