// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

const (
	// srkHandle is where the TCG's provisioning guidance puts the SRK.
	srkHandle = 0x81000001
	// sessionUses ends a session long before the 65,000 commands of other
	// clients after which a resource manager can no longer restore it.
	sessionUses = 4000
	// maxAuth is the longest authorisation value: the size of the Name's hash.
	maxAuth = 32
)

// session is the one HMAC session in which all keys are used. It is salted with
// the SRK, so that only the TPM that holds it can follow, and encrypts the
// first parameter of each command.
type session struct {
	tpm2.Session
	end  func() error
	srk  Name
	uses int
	// secret is the authorisation value of the entity in use, padded with
	// zeros. go-tpm reads it through the slice given to tpm2.Auth: it trims
	// the zeros for the HMAC key, and at the end of the key of the parameter
	// encryption they change nothing, since both keys together fill one block
	// of the HMAC and a shorter key is padded with zeros anyway.
	secret [maxAuth]byte
}

// storage is the SRK as it stands in the TPM right now.
type storage struct {
	handle    tpm2.TPMHandle
	public    tpm2.TPMTPublic
	name      Name
	transient bool
	plain     bool // transient and made from the first of storageTemplates
}

// authorise returns the session, ready to use an entity with this secret. It is
// opened first if there is none or if it has served long enough. A zero srk is
// not compared.
func (b *bus) authorise(srk Name, secret []byte) (*session, error) {
	if s := b.session; s != nil && (s.uses >= sessionUses || srk != Name{} && srk != s.srk) {
		b.endSession()
	}
	if b.session == nil {
		if err := b.openSession(srk); err != nil {
			return nil, err
		}
	}
	s := b.session
	s.uses++
	clear(s.secret[:])
	copy(s.secret[:], secret)
	return s, nil
}

// wipe forgets the secret of the entity that was in use.
func (s *session) wipe() { clear(s.secret[:]) }

func (b *bus) openSession(srk Name) error {
	root, err := b.loadStorage(srk)
	if err != nil {
		return err
	}
	s, err := b.salted(root, tpm2.AESEncryption(128, tpm2.EncryptIn))
	if err := errors.Join(err, b.unload(root)); err != nil {
		return err
	}
	b.session = s
	return nil
}

// inPlain runs commands in a session of their own that does not encrypt, for
// those whose first parameter has no size of its own: they refuse one that does
// (Part 1, section 21.1). It ends with them: a resource manager would swap a
// second one around each signature.
func (b *bus) inPlain(srk Name, secret []byte, commands func(*session) error) error {
	root, err := b.loadStorage(srk)
	if err != nil {
		return err
	}
	s, err := b.salted(root)
	if err := errors.Join(err, b.unload(root)); err != nil {
		return err
	}
	defer s.wipe()
	copy(s.secret[:], secret)
	err = commands(s)
	if b.link != nil {
		if ended := s.end(); ended != nil {
			err = errors.Join(err, b.fault("end a session", ended))
		}
	}
	if refused(err) {
		return fmt.Errorf("%w (%w)", ErrPIN, err)
	}
	return err
}

// salted opens a session salted with root.
func (b *bus) salted(root storage, options ...tpm2.AuthOption) (*session, error) {
	s := &session{srk: root.name}
	options = append(options, tpm2.Salted(root.handle, root.public), tpm2.Auth(s.secret[:]))
	var err error
	s.Session, s.end, err = tpm2.HMACSession(b, tpm2.TPMAlgSHA256, 16, options...)
	if err != nil {
		return nil, b.fault("open a session", err)
	}
	return s, nil
}

// inSession runs a command in the session. An answer that may blame the session
// gets one more try in a new one, after look, since the handle may have been
// emptied behind our back; a refused PIN never does.
func (b *bus) inSession(command, look func() error) error {
	for fresh := false; ; fresh = true {
		err := command()
		var rc tpm2.TPMRC
		switch {
		case err == nil || !errors.As(err, &rc):
			return err
		case refused(err):
			return fmt.Errorf("%w (%w)", ErrPIN, err)
		case rc == tpm2.TPMRCLockout:
			return b.lockout()
		case fresh || putOff(rc):
			return err
		}
		b.log.Debug("try again in a new session", "err", err)
		b.endSession()
		if err := look(); err != nil {
			return err
		}
	}
}

// endSession closes the session as far as the TPM still knows it.
func (b *bus) endSession() {
	s := b.session
	if s == nil {
		return
	}
	b.session = nil
	s.wipe()
	if err := s.end(); err != nil {
		b.log.Debug("end a session", "err", b.fault("end a session", err))
	}
}

// loadStorage finds the SRK: the object at srkHandle if it is made from the
// expected template (and is the pinned one, if one is), else a primary key made
// from the template now. The caller unloads it.
func (b *bus) loadStorage(pin Name) (storage, error) {
	public, err := b.readPublic(srkHandle)
	if err == nil && sameTemplate(public, storageTemplates()[0]) {
		name, err := nameOf(public)
		if err != nil {
			return storage{}, err
		}
		if pin == (Name{}) || pin == name {
			return storage{handle: srkHandle, public: *public, name: name}, nil
		}
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return storage{}, err
	}
	return b.createStorage(pin)
}

// storageTemplates make storage root keys: the TCG's template for ECC P-256,
// with nothing in the place of the public point, which is what key files and
// the openssl provider mean by the owner hierarchy; and with zeros there, as
// homes made by older versions have it. They give different keys.
func storageTemplates() []tpm2.TPMTPublic {
	plain, zeros := tpm2.ECCSRKTemplate, tpm2.ECCSRKTemplate
	plain.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
	return []tpm2.TPMTPublic{plain, zeros}
}

// createStorage makes the storage root key with the Name pin, or, without one,
// that of the first template.
func (b *bus) createStorage(pin Name) (storage, error) {
	var found Name
	for i, template := range storageTemplates() {
		root, err := b.createRoot(template)
		if err != nil {
			return storage{}, err
		}
		if pin == (Name{}) || pin == root.name {
			root.plain = i == 0
			return root, nil
		}
		if i == 0 {
			found = root.name
		}
		if err := b.unload(root); err != nil {
			return storage{}, err
		}
	}
	return storage{}, fmt.Errorf("%w: its storage root key is %s, expected was %s", ErrOtherTPM, found, pin)
}

func (b *bus) createRoot(template tpm2.TPMTPublic) (storage, error) {
	rsp, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(template),
	}.Execute(b)
	if err != nil {
		err = b.fault("make the storage root key", err)
		if refused(err) {
			err = fmt.Errorf("%w; the owner hierarchy of this TPM has a password: remove it or clear the TPM", err)
		}
		return storage{}, err
	}
	root := storage{handle: rsp.ObjectHandle, transient: true}
	public, err := rsp.OutPublic.Contents()
	if err == nil {
		root.public = *public
		root.name, err = nameOf(public)
	}
	if err != nil {
		return storage{}, errors.Join(b.fault("read the storage root key", err), b.unload(root))
	}
	return root, nil
}

// unload flushes a transient SRK: it is never kept loaded, a resource manager
// would swap it in and out around each command.
func (b *bus) unload(root storage) error {
	if !root.transient || b.link == nil {
		return nil
	}
	return b.flush(root.handle)
}

func (b *bus) flush(h tpm2.TPMHandle) error {
	if _, err := (tpm2.FlushContext{FlushHandle: h}).Execute(b); err != nil {
		return b.fault(fmt.Sprintf("flush handle %#x", uint32(h)), err)
	}
	return nil
}

// readPublic reads the public area of the object at a persistent handle;
// ErrNotFound if there is none.
func (b *bus) readPublic(handle uint32) (*tpm2.TPMTPublic, error) {
	rsp, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(handle)}.Execute(b)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return nil, fmt.Errorf("handle %#x: %w", handle, ErrNotFound)
	}
	op := fmt.Sprintf("read the object at %#x", handle)
	if err != nil {
		return nil, b.fault(op, err)
	}
	public, err := rsp.OutPublic.Contents()
	if err != nil {
		return nil, b.fault(op, err)
	}
	return public, nil
}

// sameTemplate tells whether public was made from template: equal in everything
// but the key itself.
func sameTemplate(public *tpm2.TPMTPublic, template tpm2.TPMTPublic) bool {
	if public.Type != template.Type {
		return false
	}
	bare := *public
	bare.Unique = template.Unique
	return bytes.Equal(tpm2.Marshal(bare), tpm2.Marshal(template))
}

// refused tells whether the TPM refused an authorisation value.
func refused(err error) bool {
	return errors.Is(err, tpm2.TPMRCAuthFail) || errors.Is(err, tpm2.TPMRCBadAuth)
}
