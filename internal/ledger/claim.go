// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"database/sql"
	"errors"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// moveClaims lets an entry take effect on the claims: first what it releases, then what it takes.
// record.ClaimSet is the same rule in memory, by which an auditor rebuilds the table.
func moveClaims(tx *sql.Tx, epoch int, seq int64, b record.Body) error {
	for _, c := range b.Releases {
		if err := release(tx, b, c); err != nil {
			return err
		}
	}
	for _, c := range b.Claims {
		if err := take(tx, epoch, seq, b, c); err != nil {
			return err
		}
	}
	if b.Run == "" {
		return nil
	}
	if b.Kind == record.KindEnd {
		_, err := tx.Exec(`DELETE FROM claim WHERE kind = 'run' AND value = ?`, b.Run)
		return err
	}
	if b.Kind != record.KindBegun {
		return nil
	}
	_, err := tx.Exec(`INSERT INTO claim (kind, value, epoch, seq) VALUES ('run', ?, ?, ?) ON CONFLICT DO NOTHING`, b.Run, epoch, seq)
	return err
}

// holder finds who holds a claim. found is false where nobody does.
func holder(tx *sql.Tx, c record.Claim) (by ClaimError, found bool, err error) {
	var id int64
	var serial, model, uid sql.NullString
	err = tx.QueryRow(`SELECT e.id, e.serial, e.model, e.uid FROM claim c JOIN entry e ON e.id = (c.epoch << 40) | c.seq
		WHERE c.kind = ? AND c.value = ?`, c.Kind, c.Value).Scan(&id, &serial, &model, &uid)
	if errors.Is(err, sql.ErrNoRows) {
		return by, false, nil
	}
	by = ClaimError{Claim: c, Serial: serial.String, Model: model.String, UID: uid.String}
	by.Epoch, by.Seq = reader.Place(id)
	return by, true, err
}

func (e ClaimError) unit() string { return e.Model + "/" + e.UID }

func take(tx *sql.Tx, epoch int, seq int64, b record.Body, c record.Claim) error {
	by, held, err := holder(tx, c)
	switch {
	case err != nil:
		return err
	case held && by.unit() != b.Unit():
		return &by
	case held:
		return nil // the unit keeps it from its first entry on
	}
	_, err = tx.Exec(`INSERT INTO claim (kind, value, epoch, seq) VALUES (?, ?, ?, ?)`, c.Kind, c.Value, epoch, seq)
	return err
}

func release(tx *sql.Tx, b record.Body, c record.Claim) error {
	by, held, err := holder(tx, c)
	switch {
	case err != nil:
		return err
	case !held:
		return nil
	case by.unit() != b.Unit():
		return &ReleaseError{c, "it belongs to board " + by.unit()}
	}
	if b.Kind == record.KindEnd {
		serial, err := liveCertificate(tx, b)
		if err != nil {
			return err
		}
		if serial != "" {
			return &ReleaseError{c, "certificate " + serial + " was issued to the unit; rework or scrap it first"}
		}
	}
	_, err = tx.Exec(`DELETE FROM claim WHERE kind = ? AND value = ?`, c.Kind, c.Value)
	return err
}

// liveCertificate returns the serial number of a certificate issued to the unit since it was last reworked or scrapped,
// and not revoked, or "".
func liveCertificate(tx *sql.Tx, b record.Body) (string, error) {
	var serial string
	err := tx.QueryRow(`SELECT cert_serial FROM entry e WHERE uid = ?1 AND model = ?2 AND kind IN ('issued', 'renewed')
		AND id > (SELECT coalesce(max(id), 0) FROM entry WHERE uid = ?1 AND model = ?2 AND kind IN ('rework', 'scrap'))
		AND NOT EXISTS (SELECT 1 FROM entry r WHERE r.cert_sha256 = e.cert_sha256 AND r.kind = 'revoked')
		ORDER BY id DESC LIMIT 1`, b.UID, b.Model).Scan(&serial)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return serial, err
}
