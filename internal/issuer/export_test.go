// SPDX-License-Identifier: Apache-2.0

package issuer

// Check lets tests give the last look other bytes than Sign would.
func (i *Issuer) Check(der, tbs []byte, spki [32]byte) (*Certificate, error) {
	return i.check(der, tbs, spki)
}
