// SPDX-License-Identifier: Apache-2.0

package record

import (
	"fmt"
	"slices"
)

// MayClaim reports whether entries of a kind may take claims; a run that has one of them is open until its end.
func MayClaim(kind string) bool {
	k, _ := kindNamed(kind)
	return slices.Contains(k.Optional, "claims")
}

// MayRelease reports whether entries of a kind may release claims.
func MayRelease(kind string) bool {
	k, _ := kindNamed(kind)
	return slices.Contains(k.Optional, "releases")
}

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
	held map[Claim]holding
	live map[string][]liveCertificate // by unit: since its last rework or scrap, and not revoked
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
		s.held, s.live = map[Claim]holding{}, map[string][]liveCertificate{}
	}
	b := e.Body
	for _, c := range b.Releases {
		h, held := s.held[c]
		switch {
		case held && h.unit != b.Unit():
			wrong = append(wrong, fmt.Sprintf("releases %s %s of board %s", c.Kind, c.Value, h.unit))
			continue
		case b.Kind == KindEnd && len(s.live[b.Unit()]) > 0:
			wrong = append(wrong, fmt.Sprintf("releases %s %s although certificate %s was issued to the unit", c.Kind, c.Value, s.live[b.Unit()][0].serial))
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
	} else if _, held := s.held[run]; !held && MayClaim(e.Body.Kind) {
		s.held[run] = holding{"", e.Epoch, e.Seq}
	}
}

func (s *ClaimSet) applyLife(b Body) {
	switch b.Kind {
	case KindIssued, KindRenewed:
		s.live[b.Unit()] = append(s.live[b.Unit()], liveCertificate{b.Cert, b.CertSerial})
	case KindRevoked:
		if b.Unit() != "" {
			s.live[b.Unit()] = slices.DeleteFunc(s.live[b.Unit()], func(c liveCertificate) bool { return c.digest == b.Cert })
		}
	case KindRework, KindScrap:
		delete(s.live, b.Unit())
	}
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
