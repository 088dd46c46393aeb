// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"bytes"
	"crypto"
	"slices"
	"time"

	"provisioning.example/station/internal/smp"
)

// FaultInfo names one way in which a board, or the line to it, can misbehave.
type FaultInfo struct {
	Name string // for Config.Fault
	What string // what the board does, one sentence
	Pass bool   // a station gets such a board through all the same
}

// Faults lists every fault.
func Faults() []FaultInfo {
	var all []FaultInfo
	for _, f := range faults {
		all = append(all, f.FaultInfo)
	}
	return all
}

// A fault is a row of the table: the hooks it does not need are nil. The hooks
// that are given a Board are called with its mu held, those that are given a
// conn without.
type fault struct {
	FaultInfo
	mute     bool          // answers nothing and has no boot log
	bootTime time.Duration // does not answer for so long after each boot

	setup   func(*Config)                                                   // changes what the board is
	plugged func(*conn)                                                     // runs beside the conversation, from each Dial on
	input   func(*conn, []byte)                                             // sees bytes as they come in
	request func(b *Board, m smp.Message, n int) (answer any, handled bool) // takes the n-th request for its command
	payload func(b *Board, m smp.Message, n int, payload []byte) []byte     // rewrites the CBOR of an answer; mu not held
	wire    func(c *conn, m smp.Message, n int, packet []byte)              // sends an answer
	info    func(*infoAnswer)                                               // changes what info says
	makeKey func(*Board, **algorithm) (crypto.Signer, error)                // makes the key
	csr     func(*Board, *csrRequest) (*algorithm, crypto.Signer, []byte)   // changes what is requested, by which key, for which
	signer  func(b *Board, cmd uint8) crypto.Signer                         // the key for prove and tls-sign
	read    func(object string, data []byte) []byte                         // what get reads; of the same size
	stored  func(*Board)                                                    // after a commit changed storage
	booted  func(*Board)                                                    // after each boot

	image    imageFault
	swapTime time.Duration // that a boot takes longer when it swaps images
}

// An imageFault is what a board does to firmware images.
type imageFault struct {
	otherHash     bool // shows another digest of the image in slot 1
	neverStarts   bool // the boot loader leaves a new image where it is
	neverConfirms bool // leaves a new image on trial for ever
}

// misery is what faults remember between requests.
type misery struct {
	held   []byte        // an answer kept back
	proof  []byte        // the first proof
	boots  int           // boots so far
	second crypto.Signer // a key that is not the board's
}

// enrollment reports whether m asks for this command of the enrollment group.
func enrollment(b *Board, m smp.Message, cmd uint8) bool {
	return m.Group == b.cfg.Group && m.Cmd == cmd
}

// uploading reports whether m is a chunk of an image.
func uploading(m smp.Message) bool { return m.Group == groupImage && m.Cmd == cmdImageUpload }

// onUpload makes a hook take the chunks of an image from the n-th on, times of
// them.
func onUpload(from, times int, answer func(*Board) any) func(*Board, smp.Message, int) (any, bool) {
	return func(b *Board, m smp.Message, n int) (any, bool) {
		if !uploading(m) || n < from || n-from >= times {
			return nil, false
		}
		return answer(b), true
	}
}

// unplugUpload breaks the link once, in place of the answer to a chunk that
// was taken.
func unplugUpload(power bool) func(*conn, smp.Message, int, []byte) {
	return func(c *conn, m smp.Message, n int, packet []byte) {
		if !uploading(m) || n != 3 {
			c.write(packet)
			return
		}
		c.end.Close()
		if power {
			c.board.PowerCut()
		}
	}
}

// rcOn makes the board refuse one command with a code, the first times of it.
func rcOn(cmd uint8, rc, times int) func(*Board, smp.Message, int) (any, bool) {
	return func(b *Board, m smp.Message, n int) (any, bool) {
		if !enrollment(b, m, cmd) || n > times {
			return nil, false
		}
		return enrollError{Err: groupError{b.cfg.Group, rc}}, true
	}
}

// answerOn makes the board answer one command with this and do nothing.
func answerOn(cmd uint8, answer any) func(*Board, smp.Message, int) (any, bool) {
	return func(b *Board, m smp.Message, _ int) (any, bool) {
		return answer, enrollment(b, m, cmd)
	}
}

// silentFrom makes the board answer nothing more once a command was asked.
func silentFrom(cmd uint8) func(*Board, smp.Message, int) (any, bool) {
	return func(b *Board, m smp.Message, _ int) (any, bool) {
		if enrollment(b, m, cmd) {
			b.fault.mute = true
		}
		return nil, b.fault.mute
	}
}

// unplugOn breaks the link once, in place of the first answer to a command
// that was carried out.
func unplugOn(cmd uint8, power bool) func(*conn, smp.Message, int, []byte) {
	return func(c *conn, m smp.Message, n int, packet []byte) {
		if !enrollment(c.board, m, cmd) || n != 1 {
			c.write(packet)
			return
		}
		c.end.Close()
		if power {
			c.board.PowerCut()
		}
	}
}

// rewriteOn replaces the payload of the answers to one command.
func rewriteOn(cmd uint8, rewrite func([]byte) []byte) func(*Board, smp.Message, int, []byte) []byte {
	return func(b *Board, m smp.Message, _ int, payload []byte) []byte {
		if !enrollment(b, m, cmd) {
			return payload
		}
		return rewrite(payload)
	}
}

// stranger returns a key of the board's algorithm that is not the board's.
func stranger(b *Board) (crypto.Signer, []byte) {
	if b.misery.second == nil {
		key, err := b.flash.alg.generate(b.cfg.Rand)
		if err != nil {
			return b.flash.key, b.flash.spki
		}
		b.misery.second = key
	}
	spki, err := spkiOf(b.misery.second.Public())
	if err != nil {
		return b.flash.key, b.flash.spki
	}
	return b.misery.second, spki
}

// strangerSigns makes a stranger's key answer one command, in these states.
func strangerSigns(cmd uint8, states ...byte) func(*Board, uint8) crypto.Signer {
	return func(b *Board, asked uint8) crypto.Signer {
		if asked != cmd || !slices.Contains(states, b.flash.state) {
			return b.flash.key
		}
		key, _ := stranger(b)
		return key
	}
}

// editCSR changes what is requested and signs it as the board should.
func editCSR(edit func(*csrRequest)) func(*Board, *csrRequest) (*algorithm, crypto.Signer, []byte) {
	return func(b *Board, r *csrRequest) (*algorithm, crypto.Signer, []byte) {
		edit(r)
		return b.flash.alg, b.flash.key, b.flash.spki
	}
}

// afterReset changes the board at every boot but the first.
func afterReset(change func(*Board)) func(*Board) {
	return func(b *Board) {
		if b.misery.boots++; b.misery.boots > 1 {
			change(b)
		}
	}
}

// flipMiddle returns data with one bit changed in its middle.
func flipMiddle(data []byte) []byte {
	data = bytes.Clone(data)
	if len(data) > 0 {
		data[len(data)/2] ^= 1
	}
	return data
}

// indefinite rewrites the maps and arrays of definite CBOR, made by this
// package, with indefinite lengths, as Zephyr sends them. It returns the rest.
func indefinite(dst, data []byte) (_, rest []byte) {
	major, info := data[0]>>5, data[0]&31
	size := 1
	arg := int(info)
	if info >= 24 {
		size += 1 << (info - 24)
		arg = 0
		for _, c := range data[1:size] {
			arg = arg<<8 | int(c)
		}
	}
	switch major {
	case 2, 3: // strings
		return append(dst, data[:size+arg]...), data[size+arg:]
	case 4, 5: // array, map
		dst, rest = append(dst, major<<5|31), data[size:]
		for range arg * int(major-3) {
			dst, rest = indefinite(dst, rest)
		}
		return append(dst, 0xff), rest
	}
	return append(dst, data[:size]...), data[size:]
}
