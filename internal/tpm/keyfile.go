// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"bytes"
	"context"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// ExportBlob writes a key as a file that the openssl tpm2 provider and
// tpm2-tools read: TSS2 PRIVATE KEY, PEM (draft-woodhouse-cert-best-practice,
// section 2). Only this TPM can use the file, and only with the PIN that pin
// is; it goes on taking that PIN after the key was removed or given another
// one, until the owner hierarchy is cleared. The TPM makes a new copy for it
// (TPM2_ObjectChangeAuth to the same PIN), so that nothing of a key need be
// kept outside of the TPM in case somebody asks. Errors as for
// [Key.SignContext]; a wrong PIN counts towards the lockout for a CA key.
func (t *TPM) ExportBlob(ctx context.Context, ref KeyRef, pin []byte) ([]byte, error) {
	op := fmt.Sprintf("export key %#x", ref.Handle)
	if err := checkAuth(pin); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	c := copying{ref: ref, old: bytes.Clone(pin), new: bytes.Clone(pin)}
	err := t.run(ctx, c.do)
	var file []byte
	if err == nil {
		file, err = c.encode()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return file, nil
}

// ChangePIN gives the key of ref another PIN: it keeps a copy of the same key,
// with the same Name and Creation, at another handle and returns the copy's
// reference. The old one still takes the old PIN until [TPM.RemoveKey]. Blobs
// that were exported before take the old PIN for ever: an exposed PIN needs a
// new key. Errors as for ExportBlob.
func (t *TPM) ChangePIN(ctx context.Context, ref KeyRef, oldPIN, newPIN []byte) (KeyRef, error) {
	op := fmt.Sprintf("change the PIN of key %#x", ref.Handle)
	if err := errors.Join(checkAuth(oldPIN), checkAuth(newPIN)); err != nil {
		return KeyRef{}, fmt.Errorf("%s: %w", op, err)
	}
	c := copying{ref: ref, old: bytes.Clone(oldPIN), new: bytes.Clone(newPIN), keep: true}
	if err := t.run(ctx, c.do); err != nil {
		return KeyRef{}, fmt.Errorf("%s: %w", op, err)
	}
	return c.made.ref, nil
}

// RemoveKey takes the key of ref out of the TPM. One that is not there is no
// error: it may have been removed before an answer was lost.
func (t *TPM) RemoveKey(ctx context.Context, ref KeyRef) error {
	err := t.run(ctx, func(b *bus) error {
		if _, err := b.readKey(ref); errors.Is(err, ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		handle := tpm2.TPMHandle(ref.Handle)
		_, err := tpm2.EvictControl{
			Auth:             tpm2.TPMRHOwner,
			ObjectHandle:     tpm2.NamedHandle{Handle: handle, Name: tpm2.TPM2BName{Buffer: ref.Name[:]}},
			PersistentHandle: handle,
		}.Execute(b)
		if err != nil {
			return b.fault("evict it", err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove key %#x: %w", ref.Handle, err)
	}
	return nil
}

// copying is a copy of a key under way.
type copying struct {
	ref      KeyRef
	old, new []byte
	keep     bool // the copy, at a handle of its own
	made     making

	public  *tpm2.TPMTPublic
	private tpm2.TPM2BPrivate
	parent  uint32 // of the copy, as a key file names it; 0 if it cannot
}

// do copies the key; after a lost link it first looks whether it had kept the
// copy.
func (c *copying) do(b *bus) error {
	if kept, err := c.made.kept(b); kept || err != nil {
		return err
	}
	var err error
	if c.public, err = b.readKey(c.ref); err != nil {
		return err
	}
	return b.inSession(func() error { return c.once(b) }, func() error {
		_, err := b.readKey(c.ref)
		return err
	})
}

// once opens the session before the SRK is loaded, as for CreateKey.
func (c *copying) once(b *bus) error {
	if _, err := b.authorise(c.ref.SRK, nil); err != nil {
		return err
	}
	root, err := b.loadStorage(c.ref.SRK)
	if err != nil {
		return err
	}
	switch {
	case !root.transient:
		c.parent = uint32(root.handle)
	case root.plain:
		c.parent = uint32(tpm2.TPMRHOwner)
	}
	key, err := c.make(b, root)
	if err := errors.Join(err, b.unload(root)); err != nil || !c.keep {
		return err
	}
	return errors.Join(c.made.keep(b, key, KeyRef{Name: c.ref.Name, SRK: root.name}), b.flushIfLinked(key))
}

// make has the TPM wrap the key anew (Part 3, section 12.8) and loads the copy
// if it is to be kept.
func (c *copying) make(b *bus, root storage) (tpm2.TPMHandle, error) {
	s, err := b.authorise(c.ref.SRK, c.old)
	if err != nil {
		return 0, err
	}
	defer s.wipe()
	parent := tpm2.TPM2BName{Buffer: root.name[:]}
	rsp, err := tpm2.ObjectChangeAuth{
		ObjectHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(c.ref.Handle), Name: tpm2.TPM2BName{Buffer: c.ref.Name[:]}, Auth: s},
		ParentHandle: tpm2.NamedHandle{Handle: root.handle, Name: parent},
		NewAuth:      tpm2.TPM2BAuth{Buffer: c.new},
	}.Execute(b)
	if err != nil {
		return 0, b.fault("copy the key", err)
	}
	c.private = rsp.OutPrivate
	if !c.keep {
		return 0, nil
	}
	s.wipe() // the parent has no secret
	loaded, err := tpm2.Load{
		ParentHandle: tpm2.AuthHandle{Handle: root.handle, Name: parent, Auth: s},
		InPrivate:    rsp.OutPrivate, InPublic: tpm2.New2B(*c.public),
	}.Execute(b)
	if err != nil {
		return 0, b.fault("load the copy", err)
	}
	return loaded.ObjectHandle, nil
}

// encode writes the key file. emptyAuth is written although it is FALSE: where
// it is missing, the provider takes an empty PIN, and the try counts.
func (c *copying) encode() ([]byte, error) {
	if c.parent == 0 {
		return nil, errors.New("it was made by an older version, under a storage root key that no other program looks for: only a new key can be exported")
	}
	der, err := asn1.Marshal(struct {
		Type            asn1.ObjectIdentifier
		EmptyAuth       asn1.RawValue
		Parent          int64
		Public, Private []byte
	}{
		Type:      asn1.ObjectIdentifier{2, 23, 133, 10, 1, 3}, // id-loadablekey
		EmptyAuth: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: []byte{1, 1, 0}},
		Parent:    int64(c.parent),
		Public:    tpm2.Marshal(tpm2.New2B(*c.public)),
		Private:   tpm2.Marshal(c.private),
	})
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "TSS2 PRIVATE KEY", Bytes: der}), nil
}
