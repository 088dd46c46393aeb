// SPDX-License-Identifier: Apache-2.0

// Package smp speaks the Simple Management Protocol over a serial console: the
// transport of MCUmgr (Zephyr, Mynewt, NuttX) that shares one UART with boot
// log and shell.
//
// From the wire upwards: [AppendPacket] and [Decoder] turn SMP messages into
// console lines and back, [ParseMessage] and [Message.Append] handle the
// eight-byte header, [Marshal] and [Unmarshal] the CBOR payload within the
// limits that a station enforces on a board, and [Client] asks one question at
// a time with timeouts and repeats. What the questions mean is not known here.
//
// Whatever arrives is taken for hostile: every buffer has a bound, and nothing
// that a board sends makes this package panic, spin or grow.
package smp

// Limits that a station enforces on a board, in bytes unless said otherwise.
const (
	MaxLine    = 4096  // a console line without its 0A; longer ones carry no frame
	MaxPacket  = 8192  // length field, SMP message and CRC together
	MaxConsole = 65536 // console text kept for a unit, and allowed within one request

	MaxNesting = 4   // containers in containers; the outer map is 1
	MaxMap     = 32  // entries of a map
	MaxArray   = 16  // elements of an array
	MaxText    = 128 // a text string
)
