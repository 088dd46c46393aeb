// SPDX-License-Identifier: Apache-2.0

package smp

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
)

const (
	maxFrameLine = 127    // marker, base64 and 0A of one line
	lineChars    = 124    // base64 characters that fit in it
	minLength    = 8 + 2  // least value of the length field: header and CRC
	maxMessage   = 0xfffd // largest message whose length field does not overflow
)

var (
	firstMarker    = []byte{0x06, 0x09}
	followOnMarker = []byte{0x04, 0x14}
)

// strictBase64 is the standard alphabet; it refuses non-zero bits after the
// last byte, so that one packet has one encoding.
var strictBase64 = base64.StdEncoding.Strict()

// AppendPacket appends message to dst as console lines: marker, base64 of
// length, message and CRC, 0A. Unless freshLine says that the column is known
// to be 0, an 0A goes first. A message over 65533 bytes cannot be framed; dst
// comes back as it was.
func AppendPacket(dst, message []byte, freshLine bool) []byte {
	if len(message) > maxMessage {
		return dst
	}
	packet := make([]byte, 0, len(message)+4)
	packet = binary.BigEndian.AppendUint16(packet, uint16(len(message)+2))
	packet = append(packet, message...)
	packet = binary.BigEndian.AppendUint16(packet, crc16(message))
	text := base64.StdEncoding.AppendEncode(nil, packet)

	if !freshLine {
		dst = append(dst, '\n')
	}
	for marker := firstMarker; len(text) > 0; marker = followOnMarker {
		n := min(len(text), lineChars)
		dst = append(dst, marker...)
		dst = append(dst, text[:n]...)
		dst = append(dst, '\n')
		text = text[n:]
	}
	return dst
}

// crc16 is CRC-16/XMODEM: polynomial 1021, initial value 0, not reflected. Its
// check value for "123456789" is 31C3.
func crc16(b []byte) uint16 {
	var crc uint16
	for _, c := range b {
		crc ^= uint16(c) << 8
		for range 8 {
			carry := crc & 0x8000
			crc <<= 1
			if carry != 0 {
				crc ^= 0x1021
			}
		}
	}
	return crc
}

// A Decoder takes a console stream apart into SMP messages and text. The zero
// value is ready. It holds at most one line and one packet.
type Decoder struct {
	line     []byte // the unfinished line, at most MaxLine
	long     bool   // the unfinished line is over MaxLine: its rest is text
	packet   []byte // the unfinished packet, at most MaxPacket
	open     bool   // a first line came, its packet is not complete
	oversize int    // packets dropped because they announced more than MaxPacket
}

// Feed decodes b, the next bytes of the stream in pieces of any size. For every
// complete packet it calls packet with the SMP message, for everything that
// belongs to no frame it calls text, both in the order of the stream. The
// slices are valid only during the call. Frames that do not hold (a stray
// continuation, bad base64, a wrong CRC, a packet over MaxPacket) are dropped.
func (d *Decoder) Feed(b []byte, packet, text func([]byte)) {
	for len(b) > 0 {
		part, ended := b, false
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			part, ended = b[:i], true
		}
		if d.long || len(d.line)+len(part) > MaxLine {
			d.overflow(b[:len(part)+count(ended)], ended, text)
		} else {
			d.line = append(d.line, part...)
			if ended {
				d.endLine(packet, text)
			}
		}
		b = b[len(part)+count(ended):]
	}
}

// reset gives an unfinished line up as text, and drops an unfinished packet.
func (d *Decoder) reset(text func([]byte)) {
	if len(d.line) > 0 {
		text(d.line)
	}
	d.line, d.long, d.open = d.line[:0], false, false
}

// overflow passes a line over MaxLine on as text, however much is to come.
func (d *Decoder) overflow(part []byte, ended bool, text func([]byte)) {
	if len(d.line) > 0 {
		text(d.line)
	}
	text(part)
	d.line, d.long = d.line[:0], !ended
}

// endLine handles a complete line. What stands before its last marker pair (a
// shell prompt, or a line that noise cut) is text.
func (d *Decoder) endLine(packet, text func([]byte)) {
	line := d.line
	d.line = d.line[:0]
	first := bytes.LastIndex(line, firstMarker)
	at := max(first, bytes.LastIndex(line, followOnMarker))
	if at < 0 {
		text(append(line, '\n'))
		return
	}
	if at > 0 {
		text(line[:at])
	}
	if at == first {
		d.packet, d.open = d.packet[:0], true
	}
	if !d.open {
		return // a continuation of nothing
	}
	done, ok := d.extend(bytes.TrimSuffix(line[at+2:], []byte{'\r'}))
	if done || !ok {
		d.open = false
	}
	if done && ok {
		packet(d.packet[2 : len(d.packet)-2])
	}
}

// extend adds the base64 of one line to the open packet. ok is false when the
// packet cannot be valid any more; done says that it is complete.
func (d *Decoder) extend(text []byte) (done, ok bool) {
	// Go's decoder would skip a 0D inside the text.
	if len(text) > lineChars || len(text)%4 != 0 || bytes.IndexByte(text, '\r') >= 0 {
		return false, false
	}
	var err error
	if d.packet, err = strictBase64.AppendDecode(d.packet, text); err != nil {
		return false, false
	}
	if len(d.packet) < 2 {
		return false, len(text) == 0
	}
	length := int(binary.BigEndian.Uint16(d.packet))
	switch have := len(d.packet) - 2; {
	case length+2 > MaxPacket:
		d.oversize++
		return false, false
	case length < minLength, have > length:
		return false, false
	case have < length:
		return false, !bytes.HasSuffix(text, []byte{'='}) // padding only at the end of a packet
	}
	body := d.packet[2:length]
	return true, crc16(body) == binary.BigEndian.Uint16(d.packet[length:])
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
