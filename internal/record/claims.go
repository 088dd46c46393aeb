// SPDX-License-Identifier: Apache-2.0

package record

import "fmt"

// Says is the value that an entry can claim of a kind, or "" if it does not tell.
func (b Body) Says(claim string) string {
	switch claim {
	case ClaimSerial:
		return b.Serial
	case ClaimUID:
		return b.Unit()
	case ClaimSPKI:
		return b.SPKI
	}
	return ""
}

// ClaimSet is what live units hold, rebuilt entry by entry. The zero value is the set of an empty ledger.
type ClaimSet struct {
	held    map[Claim]holding
	live    map[string][]liveCertificate // by unit: since its last rework or scrap
	revoked map[string]bool              // by certificate digest
}

type liveCertificate struct{ digest, serial string }

type holding struct {
	unit  string
	epoch int
	seq   int64
}

// Apply lets an entry take effect: first what it releases, then what it takes.
// It returns what is against the rules: a value taken from another unit, or given back by a unit with a certificate.
func (s *ClaimSet) Apply(e Entry) (wrong []string) {
	if s.held == nil {
		s.held, s.live, s.revoked = map[Claim]holding{}, map[string][]liveCertificate{}, map[string]bool{}
	}
	b := e.Body
	for _, c := range b.Releases {
		h, held := s.held[c]
		switch {
		case held && h.unit != b.Unit():
			wrong = append(wrong, fmt.Sprintf("releases %s %s of board %s", c.Kind, c.Value, h.unit))
			continue
		case b.Kind == KindEnd && s.liveSerial(b.Unit()) != "":
			wrong = append(wrong, fmt.Sprintf("releases %s %s although certificate %s was issued to the unit", c.Kind, c.Value, s.liveSerial(b.Unit())))
			continue
		}
		delete(s.held, c)
	}
	for _, c := range b.Claims {
		h, held := s.held[c]
		if !held {
			s.held[c] = holding{b.Unit(), e.Epoch, e.Seq}
		} else if h.unit != b.Unit() {
			wrong = append(wrong, fmt.Sprintf("takes %s %s, which board %s holds since entry %d", c.Kind, c.Value, h.unit, h.seq))
		}
	}
	s.applyRun(e)
	s.applyLife(b)
	return wrong
}

func (s *ClaimSet) applyRun(e Entry) {
	run := Claim{ClaimRun, e.Body.Run}
	if run.Value == "" {
		return
	}
	if e.Body.Kind == KindEnd {
		delete(s.held, run)
	} else if _, held := s.held[run]; !held && e.Body.Kind == KindBegun {
		s.held[run] = holding{"", e.Epoch, e.Seq}
	}
}

func (s *ClaimSet) applyLife(b Body) {
	switch b.Kind {
	case KindIssued, KindRenewed:
		s.live[b.Unit()] = append(s.live[b.Unit()], liveCertificate{b.Cert, b.CertSerial})
	case KindRevoked:
		s.revoked[b.Cert] = true
	case KindRework, KindScrap:
		delete(s.live, b.Unit())
	}
}

// liveSerial is the serial number of a certificate that the unit has and that was not revoked, or "".
func (s *ClaimSet) liveSerial(unit string) string {
	for _, c := range s.live[unit] {
		if !s.revoked[c.digest] {
			return c.serial
		}
	}
	return ""
}

// Holds reports whether the unit holds the claim.
func (s *ClaimSet) Holds(unit string, c Claim) bool {
	h, held := s.held[c]
	return held && h.unit == unit
}

// Held returns the claims in force and the entries that took them.
func (s *ClaimSet) Held() []HeldClaim {
	all := make([]HeldClaim, 0, len(s.held))
	for c, h := range s.held {
		all = append(all, HeldClaim{c, h.epoch, h.seq})
	}
	return all
}
