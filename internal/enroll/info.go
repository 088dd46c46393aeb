// SPDX-License-Identifier: Apache-2.0

package enroll

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"provisioning.example/station/internal/smp"
)

// agentName is what info must carry: group 64 may belong to anyone.
const agentName = "station-enroll"

// maxObject is the largest object a station handles, in bytes, whatever the
// board takes.
const maxObject = 8192

// A State is how far a board's enrollment has come.
type State uint8

// States of a board.
const (
	Blank     State = iota // no key
	Keyed                  // key made
	Installed              // chain stored
	Locked                 // for good, or until a rework key unlocks it
)

// String returns the state's name in the protocol.
func (s State) String() string {
	if names := [...]string{"blank", "keyed", "installed", "locked"}; int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Info is what a board says of itself. Nothing in it is proven. Where Proto is
// not 1, only Agent and Proto are set: the rest is not known to mean the same.
type Info struct {
	Agent  string
	Proto  int
	Model  string
	HW     string
	UID    []byte // 1-32 bytes, unique per model
	FW     string
	State  State
	Algs   []string // keys it can make
	Chunk  int      // bytes of an object per put or get, 64-2048
	Max    int      // largest object it takes, at least 2048 bytes
	Boot   [16]byte // random at every boot
	Verify []string // signatures it can check in a chain
	Prot   uint8    // bit 0 verified boot, 1 debug closed, 2 read-out closed, 3 secure element

	Alg     string    // of the present key, "" without one
	SPKI    *[32]byte // SHA-256 of the present key's SubjectPublicKeyInfo
	Chain   *[32]byte // SHA-256 of the objects it stores
	Anchors *[32]byte
	Rework  *[32]byte
	Root    *[32]byte // SHA-256 of the root certificate its firmware pins
}

// infoAnswer is info on the wire. Pointers tell what is absent.
type infoAnswer struct {
	Agent   *string   `cbor:"agent"`
	Proto   *uint64   `cbor:"proto"`
	Model   *string   `cbor:"model"`
	HW      *string   `cbor:"hw"`
	UID     []byte    `cbor:"uid"`
	FW      *string   `cbor:"fw"`
	State   *uint64   `cbor:"state"`
	Algs    []string  `cbor:"algs"`
	Chunk   *uint64   `cbor:"chunk"`
	Max     *uint64   `cbor:"max"`
	Boot    *[16]byte `cbor:"boot"`
	Verify  []string  `cbor:"verify"`
	Prot    *uint64   `cbor:"prot"`
	Alg     *string   `cbor:"alg"`
	SPKI    *[32]byte `cbor:"spki"`
	Chain   *[32]byte `cbor:"chain"`
	Anchors *[32]byte `cbor:"anchors"`
	Rework  *[32]byte `cbor:"rework"`
	Root    *[32]byte `cbor:"root"`
}

// raw takes the whole payload of an answer as it came.
type raw struct{ payload []byte }

// UnmarshalCBOR keeps a copy of data.
func (r *raw) UnmarshalCBOR(data []byte) error {
	r.payload = bytes.Clone(data)
	return nil
}

// parseInfo decodes and checks the payload of an answer to info.
func parseInfo(payload []byte) (Info, error) {
	// Another protocol may give the other keys other types.
	var first struct {
		Agent *string `cbor:"agent"`
		Proto *uint64 `cbor:"proto"`
	}
	if err := smp.Unmarshal(payload, &first); err != nil {
		return Info{}, senseless("info: %v", err)
	}
	switch {
	case first.Agent == nil || *first.Agent != agentName:
		return Info{}, ErrNoAgent
	case first.Proto == nil || *first.Proto == 0 || *first.Proto > 1<<16:
		return Info{}, senseless("info has no sensible proto")
	case *first.Proto != 1:
		return Info{Agent: *first.Agent, Proto: int(*first.Proto)}, nil
	}
	var a infoAnswer
	if err := smp.Unmarshal(payload, &a); err != nil {
		return Info{}, senseless("info: %v", err)
	}
	if err := a.check(); err != nil {
		return Info{}, senseless("info: %v", err)
	}
	info := Info{
		Agent: *a.Agent, Proto: int(*a.Proto), Model: *a.Model, HW: *a.HW, UID: bytes.Clone(a.UID), FW: *a.FW,
		State: State(*a.State), Algs: a.Algs, Chunk: int(*a.Chunk), Max: int(*a.Max), Boot: *a.Boot,
		Verify: a.Verify, Prot: uint8(*a.Prot),
		SPKI: a.SPKI, Chain: a.Chain, Anchors: a.Anchors, Rework: a.Rework, Root: a.Root,
	}
	if a.Alg != nil {
		info.Alg = *a.Alg
	}
	return info, nil
}

// check tests presence and ranges of protocol 1, and that state and objects
// agree.
func (a *infoAnswer) check() error {
	for _, f := range []struct {
		key  string
		text *string
	}{{"model", a.Model}, {"hw", a.HW}, {"fw", a.FW}} {
		if f.text == nil {
			return fmt.Errorf("%q is missing", f.key)
		}
		if !printable(*f.text) {
			return fmt.Errorf("%q holds control characters", f.key)
		}
	}
	switch {
	case a.State == nil || a.Chunk == nil || a.Max == nil || a.Prot == nil || a.Boot == nil:
		return errors.New("state, chunk, max, prot or boot is missing")
	case *a.Model == "":
		return errors.New("the model has no name")
	case len(a.UID) < 1 || len(a.UID) > 32:
		return fmt.Errorf("uid of %d bytes, allowed are 1 to 32", len(a.UID))
	case *a.State > uint64(Locked):
		return fmt.Errorf("state %d, the highest is %d", *a.State, Locked)
	case len(a.Algs) == 0 || !names(a.Algs):
		return errors.New("no sensible list of key algorithms")
	case a.Verify == nil || !names(a.Verify):
		return errors.New("no sensible list of signature algorithms")
	case *a.Chunk < 64 || *a.Chunk > 2048:
		return fmt.Errorf("chunk of %d bytes, allowed are 64 to 2048", *a.Chunk)
	case *a.Max < 2048 || *a.Max > 1<<30:
		return fmt.Errorf("largest object of %d bytes, at least 2048 are needed", *a.Max)
	case *a.Prot > 15:
		return fmt.Errorf("protection bits %#x, bits 4 and up must be zero", *a.Prot)
	}
	return a.agree()
}

// agree tests that the board holds just what its state says it does.
func (a *infoAnswer) agree() error {
	state := State(*a.State)
	hasKey := a.SPKI != nil && a.Alg != nil && *a.Alg != "" && printable(*a.Alg)
	switch {
	case state == Blank && (a.SPKI != nil || a.Alg != nil):
		return errors.New("a blank board with a key")
	case state != Blank && !hasKey:
		return fmt.Errorf("state %s without a key", state)
	case state < Installed && (a.Chain != nil || a.Anchors != nil || a.Rework != nil):
		return fmt.Errorf("state %s with stored objects", state)
	case state >= Installed && a.Chain == nil:
		return fmt.Errorf("state %s without a chain", state)
	}
	return nil
}

// printable reports whether s is safe on a screen and in a log.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func names(list []string) bool {
	for _, s := range list {
		if s == "" || !printable(s) {
			return false
		}
	}
	return true
}
