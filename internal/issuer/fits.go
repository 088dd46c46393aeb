// SPDX-License-Identifier: Apache-2.0

package issuer

import "fmt"

// Fits says whether [Issuer.Sign] would sign these recorded bytes for the key
// with this digest: whether they still are a device's certificate by this very
// issuer, and of this profile. It does not touch the key.
func (i *Issuer) Fits(p *Profile, tbs []byte, spki [32]byte) error {
	draft, err := i.parseTBS(tbs)
	if err == nil {
		err = i.lint(draft, spki)
	}
	if err == nil {
		err = p.Lint(draft)
	}
	if err != nil {
		return fmt.Errorf("recorded certificate contents: %w", err)
	}
	return nil
}
