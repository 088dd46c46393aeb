// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"provisioning.example/station/internal/smp"
)

// MCUmgr's image group.
const (
	groupImage = 1

	cmdImageState  = 0
	cmdImageUpload = 1
	cmdImageErase  = 5
)

// Codes of the image group (MCUmgr, img_mgmt.h).
const (
	rcHashNotFound  = 8
	rcNoFreeSlot    = 9
	rcNoOffset      = 20
	rcNoLength      = 21
	rcNoHeader      = 22
	rcBadMagic      = 23
	rcBadHash       = 24
	rcPending       = 28
	rcImageTooLarge = 30
	rcDataOverrun   = 31
	rcTestActive    = 33
)

// images are the board's two slots and what its boot loader keeps beside them.
// Slot 0 runs; slot 1 takes uploads, and the old image while the new one is on
// trial.
type images struct {
	slots     [2][]byte
	confirmed bool // slot 0 is kept; else the boot loader swaps back at the next boot
	pending   bool // slot 1 is swapped in at the next boot
	permanent bool // with pending: for good, not on trial
}

// An upload is what the agent remembers of an image that is coming in. It is in
// RAM: a power cut ends the upload, a pulled cable does not.
type upload struct {
	size int
	sha  []byte
}

// boot is the boot loader's part of a boot; it tells whether it swapped.
func (i *images) boot(f imageFault) (swapped bool) {
	switch {
	case i.pending && (!bootable(i.slots[1]) || f.neverStarts):
		i.pending = false
		return false
	case i.pending:
		i.confirmed = i.permanent
	case i.confirmed:
		return false
	default: // the trial was not confirmed
		i.confirmed = true
	}
	i.slots[0], i.slots[1] = i.slots[1], i.slots[0]
	i.pending, i.permanent = false, false
	return true
}

// firmware is the version of what runs.
func (b *Board) firmware() string {
	v, _, _, _ := imageInfo(b.images.slots[0])
	if v == ParseVersion(b.cfg.FW) {
		return b.cfg.FW // which may be no number at all
	}
	return v.String()
}

// Running returns the image in the slot that runs, and whether it is confirmed.
func (b *Board) Running() (image []byte, confirmed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.images.slots[0]), b.images.confirmed
}

// Spare returns what the other slot holds, half an image while an upload is
// under way.
func (b *Board) Spare() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.images.slots[1])
}

// dispatchImage runs the commands of MCUmgr's image group.
func (b *Board) dispatchImage(m smp.Message, write bool) any {
	var answer any
	rc := 0
	switch {
	case m.Cmd == cmdImageState && !write:
		return b.imageState()
	case m.Cmd == cmdImageState:
		answer, rc = b.imageMark(m.Payload)
	case m.Cmd == cmdImageUpload && write:
		answer, rc = b.imageUpload(m.Payload)
	case m.Cmd == cmdImageErase && write:
		answer, rc = b.imageErase(m.Payload)
	default:
		return plain{plainUnknown}
	}
	switch {
	case rc > 0:
		return enrollError{Err: groupError{groupImage, rc}}
	case rc < 0:
		return plain{plainInvalid}
	}
	return answer
}

// malformed is the code for a payload that is not what its command takes.
const malformed = -1

// imageSlot is one image in the answer to state.
type imageSlot struct {
	Slot      int    `cbor:"slot"`
	Version   string `cbor:"version"`
	Hash      []byte `cbor:"hash"`
	Bootable  bool   `cbor:"bootable"`
	Pending   bool   `cbor:"pending"`
	Confirmed bool   `cbor:"confirmed"`
	Active    bool   `cbor:"active"`
	Permanent bool   `cbor:"permanent"`
}

type imagesAnswer struct {
	Images []imageSlot `cbor:"images"`
}

func (b *Board) imageState() imagesAnswer {
	a := imagesAnswer{Images: []imageSlot{}}
	i := &b.images
	for n, data := range i.slots {
		v, digest, _, ok := imageInfo(data)
		if !ok {
			continue
		}
		s := imageSlot{Slot: n, Version: v.String(), Hash: digest, Bootable: true}
		if n == 0 {
			s.Active, s.Confirmed = true, i.confirmed
		} else {
			s.Pending, s.Permanent = i.pending, i.pending && i.permanent
			s.Confirmed = !i.confirmed // the old image, while the new one is on trial
			if b.fault.image.otherHash {
				s.Hash = flipMiddle(digest)
			}
		}
		a.Images = append(a.Images, s)
	}
	return a
}

// imageMark has the boot loader start slot 1 at the next boot, on trial or for
// good, or keep slot 0.
func (b *Board) imageMark(payload []byte) (any, int) {
	var r struct {
		Hash    []byte `cbor:"hash"`
		Confirm bool   `cbor:"confirm"`
	}
	if smp.Unmarshal(payload, &r) != nil {
		return nil, malformed
	}
	i := &b.images
	_, running, _, _ := imageInfo(i.slots[0])
	_, spare, _, there := imageInfo(i.slots[1])
	active := bytes.Equal(r.Hash, running) || len(r.Hash) == 0 && r.Confirm
	switch {
	case len(r.Hash) == 0 && !r.Confirm:
		return nil, rcBadHash
	case active && !r.Confirm:
		return nil, rcTestActive
	case active:
		i.confirmed = i.confirmed || !b.fault.image.neverConfirms
	case !there || !bytes.Equal(r.Hash, spare):
		return nil, rcHashNotFound
	case !i.confirmed:
		return nil, rcPending // the old image is needed for the way back
	default:
		i.pending, i.permanent = true, r.Confirm
	}
	return b.imageState(), 0
}

func (b *Board) imageErase(payload []byte) (any, int) {
	var r struct {
		Slot *uint64 `cbor:"slot"`
	}
	switch {
	case smp.Unmarshal(payload, &r) != nil:
		return nil, malformed
	case r.Slot != nil && *r.Slot != 1 || b.images.pending || !b.images.confirmed:
		return nil, rcNoFreeSlot
	}
	b.images.slots[1], b.ram.upload = nil, nil
	return map[string]int{}, 0
}

type uploadRequest struct {
	Image uint64  `cbor:"image"`
	Off   *uint64 `cbor:"off"`
	Len   *uint64 `cbor:"len"`
	SHA   []byte  `cbor:"sha"`
	Data  []byte  `cbor:"data"`
}

type uploadAnswer struct {
	Off   int   `cbor:"off"`
	Match *bool `cbor:"match,omitempty"`
}

// imageUpload takes a chunk. The first one erases the slot, unless it names the
// upload that is under way; a chunk from elsewhere is answered with where the
// board stands.
func (b *Board) imageUpload(payload []byte) (any, int) {
	var r uploadRequest
	switch {
	case smp.Unmarshal(payload, &r) != nil || len(r.SHA) > sha256.Size || r.Image > 0:
		return nil, malformed
	case r.Off == nil:
		return nil, rcNoOffset
	case *r.Off == 0:
		resumes, rc := b.imageBegin(&r)
		if rc > 0 || resumes {
			return uploadAnswer{Off: len(b.images.slots[1])}, rc
		}
	}
	u, spare := b.ram.upload, &b.images.slots[1]
	switch {
	case u == nil:
		return uploadAnswer{}, 0
	case *r.Off != uint64(len(*spare)):
		return uploadAnswer{Off: len(*spare)}, 0
	case len(*spare)+len(r.Data) > u.size:
		return nil, rcDataOverrun
	}
	*spare = append(*spare, r.Data...)
	answer := uploadAnswer{Off: len(*spare)}
	if len(*spare) == u.size {
		sum := sha256.Sum256(*spare)
		match := bytes.HasPrefix(sum[:], u.sha)
		answer.Match, b.ram.upload = &match, nil
	}
	return answer, 0
}

// imageBegin checks a first chunk and erases the slot for it. It tells whether
// the chunk belongs to the upload under way.
func (b *Board) imageBegin(r *uploadRequest) (resumes bool, rc int) {
	u := b.ram.upload
	switch {
	case len(r.Data) < imageHeader:
		return false, rcNoHeader
	case r.Len == nil:
		return false, rcNoLength
	case !bytes.Equal(r.Data[:4], []byte{imageMagic & 0xff, imageMagic >> 8 & 0xff, imageMagic >> 16 & 0xff, imageMagic >> 24}):
		return false, rcBadMagic
	case u != nil && len(r.SHA) > 0 && bytes.Equal(u.sha, r.SHA) && uint64(u.size) == *r.Len:
		return true, 0
	case b.images.pending || !b.images.confirmed:
		return false, rcNoFreeSlot
	case *r.Len > uint64(b.cfg.SlotSize):
		return false, rcImageTooLarge
	case uint64(len(r.Data)) > *r.Len:
		return false, rcDataOverrun // before the slot is erased
	}
	b.ram.upload = &upload{size: int(*r.Len), sha: r.SHA}
	b.images.slots[1] = nil
	return false, 0
}
