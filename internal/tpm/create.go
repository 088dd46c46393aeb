// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// Purpose says what a key is for. Each signs only its own kind.
type Purpose uint8

// The purposes. Wrong PINs for a CA key count towards the lockout of the TPM;
// the others are outside of it (noDA), so that the line goes on signing
// checkpoints while the CA is locked.
const (
	CA Purpose = iota + 1
	Checkpoint
	Rework
	Manifest
)

func (p Purpose) String() string {
	switch p {
	case CA:
		return "CA"
	case Checkpoint:
		return "checkpoint"
	case Rework:
		return "rework"
	case Manifest:
		return "manifest"
	}
	return fmt.Sprintf("Purpose(%d)", uint8(p))
}

// CreateKey makes a signing key that never leaves the TPM, on P-256 or P-384,
// and keeps it at the first free handle from 0x8100A000 on. auth is its PIN or
// secret: 1 to 32 bytes, none of them zero. If the link breaks, CreateKey finds
// out on the next one whether the key was kept; if it returns an error because
// its context ended, a key may remain. The Creation is kept beside the KeyRef
// for the life of the key: without it nobody can prove later where the key was
// made.
func (t *TPM) CreateKey(ctx context.Context, p Purpose, curve elliptic.Curve, auth []byte) (KeyRef, Creation, error) {
	template, err := keyTemplate(p, curve)
	if err == nil {
		err = checkAuth(auth)
	}
	if err != nil {
		return KeyRef{}, Creation{}, fmt.Errorf("create the %s key: %w", p, err)
	}
	m := making{template: template, auth: bytes.Clone(auth)}
	if err := t.run(ctx, m.do); err != nil {
		return KeyRef{}, Creation{}, fmt.Errorf("create the %s key: %w", p, err)
	}
	return m.ref, m.creation, nil
}

// checkAuth refuses what a TPM or go-tpm would silently take for another value:
// trailing zeros are not part of an authorisation value (Part 1, section
// 19.6.4) and go-tpm cuts it at the first zero.
func checkAuth(auth []byte) error {
	switch {
	case len(auth) == 0:
		return errors.New("a PIN is needed, and none was given")
	case len(auth) > maxAuth:
		return fmt.Errorf("the PIN has %d bytes, the TPM takes at most %d", len(auth), maxAuth)
	case bytes.IndexByte(auth, 0) >= 0:
		return errors.New("the PIN contains a zero byte, which a TPM does not keep: use text")
	}
	return nil
}

// keyTemplate is the public area that the TPM fills in.
func keyTemplate(p Purpose, curve elliptic.Curve) (tpm2.TPMTPublic, error) {
	var id tpm2.TPMECCCurve
	switch curve {
	case elliptic.P256():
		id = tpm2.TPMECCNistP256
	case elliptic.P384():
		id = tpm2.TPMECCNistP384
	default:
		return tpm2.TPMTPublic{}, errors.New("only the curves P-256 and P-384 are supported")
	}
	if p < CA || p > Manifest {
		return tpm2.TPMTPublic{}, fmt.Errorf("unknown purpose %d", uint8(p))
	}
	return tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgECC,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
			UserWithAuth: true, SignEncrypt: true, NoDA: p != CA,
		},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: id}),
	}, nil
}

// making is a key on its way into the TPM.
type making struct {
	template tpm2.TPMTPublic
	auth     []byte
	creation Creation // of the key made last
	ref      KeyRef   // set once the TPM was told to keep the key
}

// do makes the key; after a lost link it first looks whether it had.
func (m *making) do(b *bus) error {
	if kept, err := m.kept(b); kept || err != nil {
		return err
	}
	// The session is opened before the SRK is loaded: three objects at once
	// are all that a chip may hold.
	s, err := b.authorise(m.ref.SRK, nil)
	if err != nil {
		return err
	}
	root, err := b.loadStorage(s.srk)
	if err != nil {
		return err
	}
	key, name, err := m.make(b, s, root)
	if err := errors.Join(err, b.unload(root)); err != nil {
		return err
	}
	return errors.Join(m.keep(b, key, KeyRef{Name: name, SRK: root.name}), b.flushIfLinked(key))
}

// kept tells whether the TPM keeps the key already, as it was told to.
func (m *making) kept(b *bus) (bool, error) {
	if m.ref.Handle == 0 {
		return false, nil
	}
	_, err := b.readKey(m.ref)
	if errors.Is(err, ErrNotFound) {
		m.ref = KeyRef{}
		return false, nil
	}
	return err == nil, err
}

// make creates the key under root and loads it.
func (m *making) make(b *bus, s *session, root storage) (tpm2.TPMHandle, Name, error) {
	parent := tpm2.AuthHandle{Handle: root.handle, Name: tpm2.TPM2BName{Buffer: root.name[:]}, Auth: s}
	made, err := tpm2.Create{
		ParentHandle: parent,
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			UserAuth: tpm2.TPM2BAuth{Buffer: m.auth},
		}},
		InPublic: tpm2.New2B(m.template),
	}.Execute(b)
	if err != nil {
		return 0, Name{}, b.fault("make the key", err)
	}
	public, err := made.OutPublic.Contents()
	if err != nil {
		return 0, Name{}, b.fault("make the key", err)
	}
	if !sameTemplate(public, m.template) {
		return 0, Name{}, errors.New("the TPM made another key than it was asked for")
	}
	name, err := nameOf(public)
	if err != nil {
		return 0, Name{}, err
	}
	if m.creation, err = newCreation(made.CreationHash, made.CreationTicket); err != nil {
		return 0, Name{}, b.fault("make the key", err)
	}
	loaded, err := tpm2.Load{ParentHandle: parent, InPrivate: made.OutPrivate, InPublic: made.OutPublic}.Execute(b)
	if err != nil {
		return 0, Name{}, b.fault("load the key", err)
	}
	return loaded.ObjectHandle, name, nil
}

// keep persists the loaded key at the first free handle.
func (m *making) keep(b *bus, key tpm2.TPMHandle, ref KeyRef) error {
	var err error
	if ref.Handle, err = b.freeHandle(); err != nil {
		return err
	}
	m.ref = ref
	_, err = tpm2.EvictControl{
		Auth:             tpm2.TPMRHOwner,
		ObjectHandle:     tpm2.NamedHandle{Handle: key, Name: tpm2.TPM2BName{Buffer: ref.Name[:]}},
		PersistentHandle: tpm2.TPMHandle(ref.Handle),
	}.Execute(b)
	if err != nil {
		return b.fault(fmt.Sprintf("keep the key at %#x", ref.Handle), err)
	}
	return nil
}

func (b *bus) flushIfLinked(h tpm2.TPMHandle) error {
	if b.link == nil {
		return nil
	}
	return b.flush(h)
}

// freeHandle returns the first handle for a key that holds nothing.
func (b *bus) freeHandle() (uint32, error) { return b.free(firstKey, lastKey, "keys") }

// free returns the first handle from first to last that holds nothing.
func (b *bus) free(first, last uint32, what string) (uint32, error) {
	next := first
	for next <= last {
		list, err := b.handles(next)
		if err != nil {
			return 0, err
		}
		for _, h := range list {
			if uint32(h) != next {
				return next, nil
			}
			next++
		}
		if len(list) == 0 {
			return next, nil
		}
	}
	return 0, fmt.Errorf("all handles from %#x to %#x are taken: remove %s that are no longer used", first, last, what)
}
