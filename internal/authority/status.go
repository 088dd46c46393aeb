// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// Status is where a station's authority stands.
type Status struct {
	Request     *StationRequest // nil: none was made
	Installed   *Installed      // nil: none is
	IssuesUntil time.Time       // last second in which a certificate of the longest profile fits
	Remarks     []string        // what a person should know, most pressing first
}

// ReadStatus reads a station's ca folder. longest is the lifetime of its
// longest profile. An intermediate that runs out is a remark, not an error;
// errors are files that cannot be read or do not hold together.
func ReadStatus(dir string, longest time.Duration, now time.Time) (*Status, error) {
	s := &Status{}
	text, err := readFile(filepath.Join(dir, requestFile))
	if err == nil {
		if s.Request, err = ParseRequest(text); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, requestFile), err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s.Installed, err = Load(dir)
	if errors.Is(err, ErrNotInstalled) {
		s.remark("%v", err)
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	s.judge(longest, orNow(now))
	return s, nil
}

// judge says what is to be said about an installed authority.
func (s *Status) judge(longest time.Duration, now time.Time) {
	i := s.Installed
	end := i.Chain[0].NotAfter
	for _, c := range i.Chain {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
		if now.Before(c.NotBefore) {
			s.remark("%q begins at %s: set the clock", c.Subject, c.NotBefore.Format(time.RFC3339))
		}
	}
	s.IssuesUntil = end.Add(time.Second - longest)
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
	s.remark("%s", i.TPM)
}

func (s *Status) remark(format string, args ...any) {
	s.Remarks = append(s.Remarks, fmt.Sprintf(format, args...))
}
