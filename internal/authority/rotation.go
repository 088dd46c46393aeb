// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"bytes"
	"cmp"
	"path/filepath"
	"slices"
)

// A rotation is a new key and its intermediate in the place of the old ones:
// [Request] with Replace for the new key, while the old one goes on issuing,
// then [Install] with Replace. The installed file alone says which of the two
// issues; its change is one step. The old one is kept as retired-SERIAL.pem
// and signs revocation lists until its last certificate has ended.

// Retired reads the intermediates of a station's ca folder that issued once,
// the last one to end first. Their revocation lists from above are not read.
func Retired(dir string) ([]*Installed, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "retired-[0-9a-f]*.pem"))
	if err != nil {
		return nil, err
	}
	var all []*Installed
	for _, path := range paths {
		i, err := load(path)
		if err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b *Installed) int {
		return cmp.Or(b.Intermediate().NotAfter.Compare(a.Intermediate().NotAfter), bytes.Compare(a.Intermediate().Raw, b.Intermediate().Raw))
	})
	return all, nil
}
