// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

const (
	// ptNVBufferMax is the property that tells how much one NV_Read gives.
	ptNVBufferMax = 0x12C
	// maxChain is the longest chain of certificates taken from a TPM, in bytes.
	maxChain = 64 << 10
)

// nvPublic reads the public area of an index and computes its Name; ErrNotFound
// if there is none.
func (b *bus) nvPublic(index uint32) (*tpm2.TPMSNVPublic, Name, error) {
	op := fmt.Sprintf("read the public area of index %#x", index)
	rsp, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(index)}.Execute(b)
	if isCode(err, tpm2.TPMRCHandle) {
		return nil, Name{}, fmt.Errorf("index %#x: %w", index, ErrNotFound)
	}
	if err != nil {
		return nil, Name{}, b.fault(op, err)
	}
	public, err := rsp.NVPublic.Contents()
	if err != nil {
		return nil, Name{}, b.fault(op, err)
	}
	if uint32(public.NVIndex) != index {
		return nil, Name{}, b.fault(op, fmt.Errorf("the answer is about index %#x", uint32(public.NVIndex)))
	}
	computed, err := tpm2.NVName(public)
	if err != nil {
		return nil, Name{}, b.fault(op, err)
	}
	var name Name
	if len(computed.Buffer) == len(name) { // of another algorithm: nobody looks for it
		copy(name[:], computed.Buffer)
	}
	return public, name, nil
}

// nvData reads what a vendor left in an index for everybody; nil if there is no
// such index, or nothing in it.
func (b *bus) nvData(index uint32) ([]byte, error) {
	public, _, err := b.nvPublic(index)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := b.properties(ptNVBufferMax, ptNVBufferMax)
	if err != nil {
		return nil, err
	}
	piece := min(p[ptNVBufferMax], 1024)
	if piece == 0 {
		piece = 512
	}
	name, err := tpm2.NVName(public)
	if err != nil {
		return nil, err
	}
	var data []byte
	for size := int(public.DataSize); len(data) < size; {
		rsp, err := tpm2.NVRead{
			AuthHandle: tpm2.AuthHandle{Handle: public.NVIndex, Name: *name, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    tpm2.NamedHandle{Handle: public.NVIndex, Name: *name},
			Size:       uint16(min(int(piece), size-len(data))), Offset: uint16(len(data)),
		}.Execute(b)
		if isCode(err, tpm2.TPMRCNVUninitialized) {
			return nil, nil
		}
		if err != nil {
			return nil, b.fault(fmt.Sprintf("read index %#x", index), err)
		}
		if len(rsp.Data.Buffer) == 0 {
			return nil, b.fault(fmt.Sprintf("read index %#x", index), errors.New("the answer is empty"))
		}
		data = append(data, rsp.Data.Buffer...)
	}
	return data, nil
}

// readChain reads the indices of the certificate chain one behind the other.
func (b *bus) readChain() ([]byte, error) {
	var data []byte
	for next := uint32(firstChain); next <= lastChain; next++ {
		list, err := b.handles(next)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 || list[0] > lastChain {
			break
		}
		next = uint32(list[0])
		part, err := b.nvData(next)
		if err != nil {
			return nil, err
		}
		if data = append(data, part...); len(data) > maxChain {
			return nil, fmt.Errorf("the certificate chain in the TPM is longer than %d bytes", maxChain)
		}
	}
	return data, nil
}

// cutCertificates takes the certificates off the front of data. An index is
// often longer than what is in it: what follows the last certificate is
// padding.
func cutCertificates(data []byte) [][]byte {
	var list [][]byte
	for {
		n := derLength(data)
		if n == 0 {
			return list
		}
		list = append(list, data[:n:n])
		data = data[n:]
	}
}

// derLength is the length of the DER sequence that data begins with, header
// included, or 0 if there is none. A certificate is longer than 255 bytes and
// shorter than 64 KiB, so its length has two bytes (X.690, section 8.1.3.5).
func derLength(data []byte) int {
	if len(data) < 4 || data[0] != 0x30 || data[1] != 0x82 {
		return 0
	}
	if n := 4 + int(data[2])<<8 + int(data[3]); n <= len(data) {
		return n
	}
	return 0
}
