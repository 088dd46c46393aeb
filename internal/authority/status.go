// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"provisioning.example/station/internal/audit/ceremony"
)

// Status is where a station's authority stands.
type Status struct {
	Request     *ceremony.Request // nil: none was made
	Installed   *Installed        // nil: none is
	IssuesUntil time.Time         // last second in which a certificate of the longest profile fits
	Remarks     []string          // what a person should know, most pressing first
}

// ReadStatus reads a station's ca folder. longest is the lifetime of its
// longest profile. An intermediate that runs out is a remark, not an error;
// errors are files that cannot be read or do not hold together.
func ReadStatus(dir string, longest time.Duration, now time.Time) (*Status, error) {
	s := &Status{}
	var err error
	s.Request, err = ReadRequest(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	s.Installed, err = Load(dir)
	if errors.Is(err, ErrNotInstalled) {
		s.remark("%v", err)
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if s.IssuesUntil, err = s.Installed.IssuesUntil(longest); err != nil {
		return nil, err
	}
	s.judge(orNow(now))
	return s, nil
}

// judge says what is to be said about an installed authority.
func (s *Status) judge(now time.Time) {
	i := s.Installed
	for _, c := range i.Chain {
		if now.Before(c.NotBefore) {
			s.remark("%q begins at %s: set the clock", c.Subject, c.NotBefore.Format(time.RFC3339))
		}
	}
	if err := i.Revoked(); err != nil {
		s.remark("%v", err)
	}
	for _, l := range i.CRLs {
		if now.After(l.NextUpdate) {
			s.remark("the revocation list of %q should have been replaced at %s: bring a new one from the root", l.Issuer, l.NextUpdate.Format(time.RFC3339))
		}
	}
	switch left := s.IssuesUntil.Sub(now); {
	case left < 0:
		s.remark("the issuing window ended at %s: renew the intermediate", s.IssuesUntil.Format(time.RFC3339))
	case left < 60*day:
		s.remark("the issuing window ends at %s, in %d days: renew the intermediate", s.IssuesUntil.Format(time.RFC3339), left/day)
	}
	if s.Request != nil && s.Request.Subject().String() != i.Intermediate().Subject.String() {
		s.remark("the request is for %q, which is not installed yet", s.Request.Subject())
	}
	if i.Simulated() {
		s.remark("the TPM is simulated: nothing here is worth trusting")
	}
	if i.Checkpoint == nil {
		s.remark("the root certified no checkpoint key: the ledger's origin is not proven")
	}
	s.remark("%s", i.TPM())
}

func (s *Status) remark(format string, args ...any) {
	s.Remarks = append(s.Remarks, fmt.Sprintf(format, args...))
}
