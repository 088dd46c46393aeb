// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestExpiring lists what ends, soonest first, without what is not live.
func TestExpiring(t *testing.T) {
	p := newPlant(t, posixProduct)
	p.must(p.batchArgs(p.agents(3))...)
	p.must("ca", "revoke", "--unit", "00c0ffee0002", "--reason", "privilegeWithdrawn", "--approver", "qa-2")
	if out := p.must("ledger", "list", "--expiring", "60d"); strings.Contains(out, "00c0ffee") {
		t.Errorf("nothing ends in 60 days:\n%s", out)
	}
	out := p.must("ledger", "list", "--expiring", "366d")
	if !strings.Contains(out, "00c0ffee0001") || !strings.Contains(out, "00c0ffee0003") || strings.Contains(out, "00c0ffee0002") {
		t.Errorf("within a year:\n%s", out)
	}
	lines := strings.Split(strings.TrimSpace(p.must("ledger", "list", "--expiring", "366d", "--json")), "\n")
	var last struct {
		Event           string
		Expiring, Ended int
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || len(lines) != 3 || last.Event != "summary" || last.Expiring != 2 || last.Ended != 0 {
		t.Errorf("as JSON: %v %+v\n%v", err, last, lines)
	}
	var first struct {
		Event, UID string
		Days       int
		CertSerial string `json:"cert_serial"`
	}
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || first.Event != "certificate" || first.Days < 360 || len(first.CertSerial) != 32 {
		t.Errorf("as JSON: %v %+v", err, first)
	}
	for _, bad := range []string{"60", "d", "-1d", "1.5d", "99999999d", "2w"} {
		if code, _, errs := p.do("ledger", "list", "--expiring="+bad); code != exitUsage || !strings.Contains(errs, "as in 60d") {
			t.Errorf("--expiring=%s: exit %d, %s", bad, code, errs)
		}
	}
	// The doctor tells of the revocation until a list names it.
	if _, out, _ := p.do("doctor"); !strings.Contains(out, "1 revoked certificates are on no revocation list yet") {
		t.Errorf("doctor:\n%s", out)
	}
	p.must("ca", "crl", "--pin-file", p.path("pin"))
	if _, out, _ := p.do("doctor"); strings.Contains(out, "revocation list") {
		t.Errorf("doctor after the list:\n%s", out)
	}
}
