// SPDX-License-Identifier: Apache-2.0

package provision

import "strings"

// FaultNamed looks up what a recorded fault code says and what is to be done.
// ok is false for a code that this program does not know.
func FaultNamed(code string) (f Fault, ok bool) {
	for _, f := range catalogue {
		if f.Code == code {
			return f, true
		}
	}
	for _, s := range Steps() {
		for _, c := range common {
			if nn, found := strings.CutPrefix(code, "F-"+s.Code+"-"); found && nn == c.nn {
				return Fault{code, s.Code, c.sentence, c.remedy, c.action, nil}, true
			}
		}
	}
	return Fault{}, false
}
