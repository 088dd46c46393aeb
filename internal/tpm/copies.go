// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// ForgetCopies removes every copy of ref's key that is kept at another handle,
// and returns how many there were: it ends the old PIN after [TPM.ChangePIN], and
// takes away what a power cut left of one. The key at ref must be there.
func (t *TPM) ForgetCopies(ctx context.Context, ref KeyRef) (int, error) {
	gone := 0
	err := t.run(ctx, func(b *bus) error {
		if _, err := b.readKey(ref); err != nil {
			return err
		}
		copies, err := b.copies(ref)
		for _, c := range copies {
			if err == nil {
				err = b.evict(c)
			}
			if err == nil {
				gone++
			}
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("remove copies of key %#x: %w", ref.Handle, err)
	}
	return gone, nil
}

// Copies counts the other handles at which ref's key is kept: a copy with
// another PIN that was left behind.
func (t *TPM) Copies(ctx context.Context, ref KeyRef) (n int, err error) {
	copies, err := read(ctx, t, "look for copies of a key", func(b *bus) ([]KeyRef, error) { return b.copies(ref) })
	return len(copies), err
}

// copies finds ref's key at the other handles for keys.
func (b *bus) copies(ref KeyRef) ([]KeyRef, error) {
	var found []KeyRef
	for next := uint32(firstKey); next <= lastKey; {
		list, err := b.handles(next)
		if err != nil {
			return nil, err
		}
		for _, h := range list {
			if uint32(h) < next || uint32(h) > lastKey {
				return found, nil
			}
			next = uint32(h) + 1
			c := KeyRef{Handle: uint32(h), Name: ref.Name, SRK: ref.SRK}
			if _, err := b.readKey(c); err == nil && c != ref {
				found = append(found, c)
			} else if err != nil && !errors.Is(err, ErrNotFound) {
				return nil, err
			}
		}
		if len(list) == 0 {
			break
		}
	}
	return found, nil
}

// evict removes a persistent key (TPM2_EvictControl, Part 3, section 28.5).
func (b *bus) evict(ref KeyRef) error {
	_, err := tpm2.EvictControl{
		Auth:             tpm2.TPMRHOwner,
		ObjectHandle:     tpm2.NamedHandle{Handle: tpm2.TPMHandle(ref.Handle), Name: tpm2.TPM2BName{Buffer: ref.Name[:]}},
		PersistentHandle: tpm2.TPMHandle(ref.Handle),
	}.Execute(b)
	if err != nil {
		return b.fault(fmt.Sprintf("remove the key at %#x", ref.Handle), err)
	}
	return nil
}
