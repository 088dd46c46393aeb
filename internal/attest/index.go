// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/google/go-tpm/tpm2"
)

// The indices at which stations define their counter.
const firstCounter, lastCounter = 0x0180A000, 0x0180AFFF

// CheckCounter demands that the index with this Name is a counter made as
// stations make it: one that only goes up, never jumps, and is written with its
// own authorisation value alone. A Name is a hash over what an index is (Part 1,
// section 16), so the few that are possible are tried.
func CheckCounter(name [34]byte) error {
	area := tpm2.Marshal(tpm2.TPMSNVPublic{
		NameAlg:    tpm2.TPMAlgSHA256,
		Attributes: tpm2.TPMANV{NT: tpm2.TPMNTCounter, AuthRead: true, AuthWrite: true, NoDA: true, Written: true},
		DataSize:   8,
	})
	for index := uint32(firstCounter); index <= lastCounter; index++ {
		binary.BigEndian.PutUint32(area, index) // stands first (Part 2, section 13.5)
		digest := sha256.Sum256(area)
		if [34]byte(append([]byte{0, byte(tpm2.TPMAlgSHA256)}, digest[:]...)) == name {
			return nil
		}
	}
	return refuse(ErrNoCounter, "its Name is %x", name)
}
