// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Commands and codes that a resource manager needs (Part 2, sections 6.5, 6.6
// and 7.2).
const (
	tagNoSessions = 0x8001

	ccContextLoad   = 0x161
	ccContextSave   = 0x162
	ccFlushContext  = 0x165
	ccGetCapability = 0x17A

	rcHandle = 0x08B

	capHandles  = 1
	capCommands = 2

	typeMask      = 0xFF000000
	typeHMAC      = 0x02000000
	typePolicy    = 0x03000000
	typeTransient = 0x80000000

	lastVirtual = typeTransient | 0xFFFFFF
	maxCommands = 254 // asked for in one GetCapability
)

// slots is how many objects, and as many sessions, a space of the kernel holds.
const slots = 3

// object is one place of a space. Between two commands only its context is
// there, outside of the TPM.
type object struct {
	used   bool
	handle uint32 // in the TPM; of a session always the same
	saved  []byte // TPMS_CONTEXT; nil while loaded
}

// space models one client of the kernel's resource manager: before each
// command all its objects and sessions are loaded, after it all are saved and
// the objects flushed. What the kernel does, in the kernel's order:
// drivers/char/tpm/tpm2-space.c. A flushed object is found out by a save that
// fails, as there.
type space struct {
	objects, sessions [slots]object
	attributes        map[uint32]uint32 // TPMA_CC by command code, without its vendor bit
}

// do sends one command in the space.
func (s *space) do(up *upstream, command []byte) ([]byte, error) {
	if err := s.learn(up); err != nil {
		return nil, err
	}
	if err := s.load(up); err != nil {
		return nil, err
	}
	code := binary.BigEndian.Uint32(command[6:])
	if !s.mapCommand(code, command) {
		answer := binary.BigEndian.AppendUint32([]byte{tagNoSessions >> 8, tagNoSessions & 0xFF, 0, 0, 0, headerSize}, rcHandle)
		return answer, s.save(up)
	}
	answer, err := up.send(command)
	if err != nil {
		return nil, err
	}
	if ok(answer) {
		if answer, err = s.mapAnswer(code, answer); err != nil {
			return nil, err
		}
	}
	return answer, s.save(up)
}

func ok(answer []byte) bool { return binary.BigEndian.Uint32(answer[6:]) == 0 }

// learn asks the TPM once which commands carry how many handles. It is not
// counted: the kernel asks when it starts.
func (s *space) learn(up *upstream) error {
	if s.attributes != nil {
		return nil
	}
	counted := up.sent
	answer, err := up.send(build(ccGetCapability, capCommands, 0, maxCommands))
	up.sent = counted
	if err != nil {
		return err
	}
	const list = headerSize + 1 + 4 + 4 // moreData, capability, count
	if !ok(answer) || len(answer) < list {
		return errors.New("the TPM does not tell its commands")
	}
	s.attributes = map[uint32]uint32{}
	for b := answer[list:]; len(b) >= 4; b = b[4:] {
		a := binary.BigEndian.Uint32(b)
		s.attributes[a&0xFFFF] = a
	}
	return nil
}

// load brings everything of the space into the TPM.
func (s *space) load(up *upstream) error {
	for _, table := range []*[slots]object{&s.objects, &s.sessions} {
		for i := range table {
			o := &table[i]
			if !o.used {
				continue
			}
			answer, err := up.send(frame(ccContextLoad, o.saved))
			if err != nil {
				return err
			}
			if !ok(answer) {
				*o = object{} // it was flushed outside of the space
				continue
			}
			o.handle, o.saved = binary.BigEndian.Uint32(answer[headerSize:]), nil
		}
	}
	return nil
}

// save takes everything out again.
func (s *space) save(up *upstream) error {
	for _, table := range []*[slots]object{&s.objects, &s.sessions} {
		for i := range table {
			o := &table[i]
			if !o.used {
				continue
			}
			answer, err := up.send(build(ccContextSave, o.handle))
			if err != nil {
				return err
			}
			if !ok(answer) {
				*o = object{} // the command has flushed it
				continue
			}
			o.saved = answer[headerSize:]
			if table == &s.objects {
				if _, err := up.send(build(ccFlushContext, o.handle)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// mapCommand replaces the client's handles of objects by the TPM's.
func (s *space) mapCommand(code uint32, command []byte) bool {
	n := int(s.attributes[code&0xFFFF] >> 25 & 7)
	if code == ccFlushContext || code == ccContextSave {
		n = 1 // its handle is a parameter
	}
	for at := headerSize; n > 0 && at+4 <= len(command); n, at = n-1, at+4 {
		h := binary.BigEndian.Uint32(command[at:])
		if h&typeMask != typeTransient {
			continue
		}
		i := lastVirtual - h
		if i >= slots || !s.objects[i].used {
			return false
		}
		binary.BigEndian.PutUint32(command[at:], s.objects[i].handle)
	}
	return true
}

// mapAnswer takes a new object or session into the space, and shows only the
// space's objects in a list of handles.
func (s *space) mapAnswer(code uint32, answer []byte) ([]byte, error) {
	if code == ccGetCapability {
		return s.mapList(answer), nil
	}
	if s.attributes[code&0xFFFF]>>28&1 == 0 || len(answer) < headerSize+4 {
		return answer, nil
	}
	h := binary.BigEndian.Uint32(answer[headerSize:])
	switch h & typeMask {
	case typeTransient:
		i, err := take(&s.objects, h)
		if err != nil {
			return nil, err
		}
		binary.BigEndian.PutUint32(answer[headerSize:], lastVirtual-i)
	case typeHMAC, typePolicy:
		if _, err := take(&s.sessions, h); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

func take(table *[slots]object, h uint32) (uint32, error) {
	for i := range table {
		if !table[i].used {
			table[i] = object{used: true, handle: h}
			return uint32(i), nil
		}
	}
	return 0, fmt.Errorf("no place left for handle %#x", h)
}

func (s *space) mapList(answer []byte) []byte {
	const list = headerSize + 1 + 4 + 4
	if len(answer) < list || binary.BigEndian.Uint32(answer[headerSize+1:]) != capHandles {
		return answer
	}
	out := answer[:list:list]
	for b := answer[list:]; len(b) >= 4; b = b[4:] {
		h := binary.BigEndian.Uint32(b)
		if h&typeMask == typeTransient {
			if h = s.virtual(h); h == 0 {
				continue
			}
		}
		out = binary.BigEndian.AppendUint32(out, h)
	}
	binary.BigEndian.PutUint32(out[2:], uint32(len(out)))
	binary.BigEndian.PutUint32(out[list-4:], uint32(len(out)-list)/4)
	return out
}

// virtual is the client's handle of an object, 0 if it is not the client's.
func (s *space) virtual(h uint32) uint32 {
	for i, o := range s.objects {
		if o.used && o.handle == h {
			return lastVirtual - uint32(i)
		}
	}
	return 0
}

// build makes a command without sessions of 32-bit fields.
func build(code uint32, fields ...uint32) []byte {
	var b []byte
	for _, f := range fields {
		b = binary.BigEndian.AppendUint32(b, f)
	}
	return frame(code, b)
}

func frame(code uint32, body []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, tagNoSessions)
	b = binary.BigEndian.AppendUint32(b, uint32(headerSize+len(body)))
	b = binary.BigEndian.AppendUint32(b, code)
	return append(b, body...)
}
