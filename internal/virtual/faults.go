// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"
	"math"
	"time"

	"provisioning.example/station/internal/smp"
)

// faults is every fault there is: first what a station must get through, then
// what it must name. Where the fault lies in one command the text says so.
var faults = []fault{
	// The line.
	{FaultInfo: FaultInfo{"echo", "The console echoes every byte of a request.", true}, input: func(c *conn, raw []byte) { c.write(raw) }},
	{FaultInfo: FaultInfo{"prompt", "A shell prompt stands before the answer, on its line.", true}, wire: wirePrompt},
	{FaultInfo: FaultInfo{"chatty", "Log lines come before and after every answer.", true}, wire: wireChatty},
	{FaultInfo: FaultInfo{"long-line", "5000 bytes without a line end come before every answer.", true}, wire: wireLongLine},
	{FaultInfo: FaultInfo{"noise", "Broken frames come between the answers, and the first answer to each command has a byte changed.", true}, wire: wireNoise},
	{FaultInfo: FaultInfo{"lost-answer", "The first answer to each command is lost.", true}, wire: wireLost},
	{FaultInfo: FaultInfo{"double-answer", "Every answer comes twice.", true}, wire: wireDouble},
	{FaultInfo: FaultInfo{"late-answer", "The first answer to each command comes together with the answer to its repeat.", true}, wire: wireLate},
	{FaultInfo: FaultInfo{"cr-lf", "The board ends its lines with CR LF.", true}, wire: func(c *conn, _ smp.Message, _ int, packet []byte) {
		c.write(bytes.ReplaceAll(packet, []byte("\n"), []byte("\r\n")))
	}},
	{FaultInfo: FaultInfo{"unplug-once", "The cable is pulled once, in place of the answer to commit; the board stays powered.", true}, wire: unplugOn(cmdCommit, false)},
	{FaultInfo: FaultInfo{"unplug-keygen", "The cable is pulled once, in place of the answer to keygen; the board stays powered.", true}, wire: unplugOn(cmdKeygen, false)},
	{FaultInfo: FaultInfo{"unplug-csr", "The cable and the power are pulled once, in place of the answer to csr.", true}, wire: unplugOn(cmdCSR, true)},
	{FaultInfo: FaultInfo{"unplug-put", "The cable and the power are pulled once, in place of the answer to a put.", true}, wire: unplugOn(cmdPut, true)},
	{FaultInfo: FaultInfo{"unplug-lock", "The cable and the power are pulled once, in place of the answer to lock.", true}, wire: unplugOn(cmdLock, true)},
	{FaultInfo: FaultInfo{"unplug-rework", "The cable and the power are pulled once, in place of the answer to rework.", true}, wire: unplugOn(cmdRework, true)},

	// Boards that are slow, old or clumsy, but sound.
	{FaultInfo: FaultInfo{"slow-boot", "The board takes 4 s to boot.", true}, bootTime: 4 * time.Second},
	{FaultInfo: FaultInfo{"slow-busy", "The first five times each key command is answered with rc 13.", true}, request: busy(5)},
	{FaultInfo: FaultInfo{"reboot-once", "The board restarts once by itself, at the second put.", true}, request: rebootAtPut},
	{FaultInfo: FaultInfo{"indefinite", "Maps and arrays are sent with indefinite lengths.", true}, payload: func(_ *Board, _ smp.Message, _ int, p []byte) []byte {
		p, _ = indefinite(nil, p)
		return p
	}},
	{FaultInfo: FaultInfo{"unknown-keys", "Every answer has more keys than the protocol knows.", true}, payload: func(_ *Board, _ smp.Message, _ int, p []byte) []byte {
		return extend(p, "zz-later", map[string]any{"a": []int{1, 2}, "b": nil, "c": 1.5})
	}},
	{FaultInfo: FaultInfo{"small-buffer", "The buffer of 512 bytes is smaller than the chunk of 2048.", true}, setup: func(c *Config) { c.Chunk, c.Buffer = 2048, 512 }},
	{FaultInfo: FaultInfo{"small-chunk", "A chunk has 64 bytes.", true}, setup: func(c *Config) { c.Chunk = 64 }},
	{FaultInfo: FaultInfo{"no-params", "The board does not know the MCUmgr parameters.", true}, request: func(_ *Board, m smp.Message, _ int) (any, bool) {
		return plain{plainUnknown}, m.Group == groupOS && m.Cmd == cmdParams
	}},

	// Boards that do not talk.
	{FaultInfo: FaultInfo{"silent", "The board never sends a byte.", false}, mute: true},
	{FaultInfo: FaultInfo{"dies", "The board answers nothing more once a csr was asked.", false}, request: silentFrom(cmdCSR)},
	{FaultInfo: FaultInfo{"dies-commit", "The board answers nothing more once a commit was asked.", false}, request: silentFrom(cmdCommit)},
	{FaultInfo: FaultInfo{"babbling", "Text floods the console without end, nothing is answered.", false}, mute: true, plugged: babble},
	{FaultInfo: FaultInfo{"always-busy", "keygen is answered with rc 13 for ever.", false}, request: rcOn(cmdKeygen, rcBusy, math.MaxInt)},
	{FaultInfo: FaultInfo{"no-agent", "The board speaks SMP, but has no enrollment group.", false}, request: func(b *Board, m smp.Message, _ int) (any, bool) {
		return plain{plainUnknown}, m.Group == b.cfg.Group
	}},
	{FaultInfo: FaultInfo{"other-agent", "Group 64 belongs to another agent.", false}, info: func(a *infoAnswer) { a.Agent = "somebody" }},
	{FaultInfo: FaultInfo{"other-proto", "info says protocol 2.", false}, info: func(a *infoAnswer) { a.Proto = 2 }},

	// Answers that make no sense.
	{FaultInfo: FaultInfo{"bad-cbor", "The answer to csr is cut short.", false}, payload: rewriteOn(cmdCSR, func(p []byte) []byte { return p[:len(p)-3] })},
	{FaultInfo: FaultInfo{"deep-cbor", "The answer to csr is nested 40 deep.", false}, payload: rewriteOn(cmdCSR, func(p []byte) []byte {
		return append(append(openMap(p, "deep"), bytes.Repeat([]byte{0x81}, 40)...), 0)
	})},
	{FaultInfo: FaultInfo{"dup-key", `The answer to csr has "len" twice.`, false}, payload: rewriteOn(cmdCSR, func(p []byte) []byte { return append(openMap(p, "len"), 1) })},
	{FaultInfo: FaultInfo{"wrong-type", `"sha" in the answer to csr is text.`, false}, request: answerOn(cmdCSR, map[string]any{"len": 300, "sha": "text of thirty-two bytes, not sha"})},
	{FaultInfo: FaultInfo{"oversize-answer", "The answer to csr is a packet of over 8 KiB.", false}, payload: rewriteOn(cmdCSR, func(p []byte) []byte {
		return extend(p, "fat", make([]byte, 9000))
	})},
	{FaultInfo: FaultInfo{"huge-csr", "The csr is said to have 2^40 bytes.", false}, request: answerOn(cmdCSR, map[string]any{"len": 1 << 40, "sha": make([]byte, 32)})},
	{FaultInfo: FaultInfo{"no-uid", "info has an empty uid.", false}, info: func(a *infoAnswer) { a.UID = []byte{} }},
	{FaultInfo: FaultInfo{"bad-chunk", "info says a chunk of 1 MiB.", false}, info: func(a *infoAnswer) { a.Chunk = 1 << 20 }},
	{FaultInfo: FaultInfo{"bad-state", "info says state 4.", false}, info: func(a *infoAnswer) { a.State = 4 }},
	{FaultInfo: FaultInfo{"control-text", "The model's name holds terminal control codes.", false}, info: func(a *infoAnswer) { a.Model += "\x1b[2J" }},
	{FaultInfo: FaultInfo{"get-stalls", "get answers no data.", false}, request: answerOn(cmdGet, map[string]any{"off": 0, "len": 300, "data": []byte{}})},
	{FaultInfo: FaultInfo{"get-jumps", "get answers another offset than asked.", false}, payload: rewriteOn(cmdGet, func(p []byte) []byte {
		return bytes.Replace(p, []byte("coff\x00"), []byte("coff\x05"), 1)
	})},
	{FaultInfo: FaultInfo{"put-stalls", "put wants offset 0 for ever.", false}, request: answerOn(cmdPut, offAnswer{0})},
	{FaultInfo: FaultInfo{"put-jumps", "put wants an offset beyond the object.", false}, request: answerOn(cmdPut, offAnswer{1 << 20})},
	{FaultInfo: FaultInfo{"put-loses", "put answers rc 4 with offset 0 for ever.", false}, request: answerOn(cmdPut, enrollError{Err: groupError{64, rcOffset}, Off: new(uint64)})},

	// Keys and requests that lie.
	{FaultInfo: FaultInfo{"entropy", "The random source fails its test: keygen answers rc 10.", false}, request: rcOn(cmdKeygen, rcEntropy, math.MaxInt)},
	{FaultInfo: FaultInfo{"cloned-key", "Every board with this fault makes the same key.", false}, makeKey: clonedKey},
	{FaultInfo: FaultInfo{"keeps-key", "keygen answers an old key with new false, even to replace.", false}, request: func(b *Board, m smp.Message, _ int) (any, bool) {
		return keygenAnswer{SPKI: sha256.Sum256([]byte("old"))}, enrollment(b, m, cmdKeygen)
	}},
	{FaultInfo: FaultInfo{"other-curve", "keygen makes a key on P-384, whatever was asked.", false}, makeKey: func(b *Board, alg **algorithm) (crypto.Signer, error) {
		*alg = algorithmByName("ES384")
		return (*alg).generate(b.cfg.Rand)
	}},
	{FaultInfo: FaultInfo{"wrong-key", "The csr is for, and by, another key than keygen's.", false}, csr: func(b *Board, _ *csrRequest) (*algorithm, crypto.Signer, []byte) {
		key, spki := stranger(b)
		return b.flash.alg, key, spki
	}},
	{FaultInfo: FaultInfo{"bad-signature", "The csr names the board's key, but another signed it.", false}, csr: func(b *Board, _ *csrRequest) (*algorithm, crypto.Signer, []byte) {
		key, _ := stranger(b)
		return b.flash.alg, key, b.flash.spki
	}},
	{FaultInfo: FaultInfo{"stale-csr", "The csr carries an older nonce.", false}, csr: editCSR(func(r *csrRequest) { r.nonce = sha256.Sum256([]byte("older")) })},
	{FaultInfo: FaultInfo{"foreign-csr", "The csr is another board's: its name, its nonce, its key.", false}, csr: func(b *Board, r *csrRequest) (*algorithm, crypto.Signer, []byte) {
		r.cn, r.sn, r.nonce = "some other unit", "", sha256.Sum256([]byte("foreign"))
		key, spki := stranger(b)
		return b.flash.alg, key, spki
	}},
	{FaultInfo: FaultInfo{"extra-attribute", "The csr has a second attribute.", false}, csr: editCSR(func(r *csrRequest) { r.unstructured = "more" })},
	{FaultInfo: FaultInfo{"no-password", "The csr has no challengePassword.", false}, csr: editCSR(func(r *csrRequest) { r.password = passwordMissing })},
	{FaultInfo: FaultInfo{"two-passwords", "The csr has the challengePassword twice.", false}, csr: editCSR(func(r *csrRequest) { r.password = passwordTwice })},
	{FaultInfo: FaultInfo{"printable-password", "The challengePassword is a PrintableString.", false}, csr: editCSR(func(r *csrRequest) { r.password = passwordPrintable })},
	{FaultInfo: FaultInfo{"repeats-r", "Every board with this fault signs its csr with the same random number.", true}, csr: repeatingCSR},
	{FaultInfo: FaultInfo{"extra-rdn", "The csr's subject has an organization.", false}, csr: editCSR(func(r *csrRequest) { r.organization = "ACME" })},
	{FaultInfo: FaultInfo{"wrong-cn", "The csr has another common name than asked.", false}, csr: editCSR(func(r *csrRequest) { r.cn = "another unit" })},
	{FaultInfo: FaultInfo{"csr-differs", "get reads the csr with one bit changed.", false}, read: differs("csr")},

	// Storage and proofs that lie.
	{FaultInfo: FaultInfo{"storage-full", "commit answers rc 9.", false}, request: rcOn(cmdCommit, rcStorage, math.MaxInt)},
	{FaultInfo: FaultInfo{"refuses-chain", "commit answers rc 6.", false}, request: rcOn(cmdCommit, rcChain, math.MaxInt)},
	{FaultInfo: FaultInfo{"refuses-key", "commit answers rc 7.", false}, request: rcOn(cmdCommit, rcKeyMismatch, math.MaxInt)},
	{FaultInfo: FaultInfo{"refuses-root", "commit answers rc 8.", false}, request: rcOn(cmdCommit, rcUntrusted, math.MaxInt)},
	{FaultInfo: FaultInfo{"digest-once", "The first commit answers rc 5.", true}, request: digestOnce},
	{FaultInfo: FaultInfo{"digest-always", "Every commit answers rc 5.", false}, request: func(b *Board, m smp.Message, _ int) (any, bool) { return digestOnce(b, m, 1) }},
	{FaultInfo: FaultInfo{"commit-lies", "commit answers state 2 and stores nothing.", false}, request: answerOn(cmdCommit, stateAnswer{stateInstalled})},
	{FaultInfo: FaultInfo{"chain-differs", "get reads the chain with one bit changed.", false}, read: differs("chain")},
	{FaultInfo: FaultInfo{"chain-rots", "Storage keeps the chain with one bit changed.", false}, stored: func(b *Board) {
		b.flash = b.flash.with(func(f *flash) { f.objects["chain"] = flipMiddle(f.objects["chain"]) })
	}},
	{FaultInfo: FaultInfo{"prove-wrong-key", "Another key answers prove.", false}, signer: strangerSigns(cmdProve, stateInstalled, stateLocked)},
	{FaultInfo: FaultInfo{"prove-replay", "prove answers the same signature to every nonce.", false}, request: replayProof},
	{FaultInfo: FaultInfo{"tls-wrong-key", "Another key answers tls-sign.", false}, signer: strangerSigns(cmdTLSSign, stateInstalled)},
	{FaultInfo: FaultInfo{"tls-refuses", "tls-sign answers rc 1.", false}, request: rcOn(cmdTLSSign, rcMalformed, math.MaxInt)},
	{FaultInfo: FaultInfo{"tls-garbage", "tls-sign answers bytes that are no signature.", false}, request: answerOn(cmdTLSSign, sigAnswer{make([]byte, 70)})},

	// Boards that do not let themselves be unlocked.
	{FaultInfo: FaultInfo{"rework-refuses", "rework answers rc 12, whoever signed.", true}, request: rcOn(cmdRework, rcNotAuthorised, math.MaxInt)},
	{FaultInfo: FaultInfo{"rework-lies", "rework answers state 0, the board stays locked.", true}, request: answerOn(cmdRework, stateAnswer{stateBlank})},
	{FaultInfo: FaultInfo{"challenge-zero", "challenge answers a nonce of another board: all zeros.", true}, request: answerOn(cmdChallenge, nonceRequest{new([32]byte)})},

	// Locks and resets that lie.
	{FaultInfo: FaultInfo{"lock-lies", "lock answers state 3, the board stays in 2.", false}, request: answerOn(cmdLock, stateAnswer{stateLocked})},
	{FaultInfo: FaultInfo{"reset-lies", "A reset is answered, but never done.", false}, request: func(_ *Board, m smp.Message, _ int) (any, bool) {
		return map[string]int{}, m.Group == groupOS && m.Cmd == cmdReset
	}},
	{FaultInfo: FaultInfo{"reset-kills", "The board does not come back from a reset.", false}, booted: afterReset(func(b *Board) { b.fault.mute = true })},
	{FaultInfo: FaultInfo{"unlocks", "After a reset the locked board is in state 2.", false}, booted: afterReset(func(b *Board) {
		b.flash.state = min(b.flash.state, stateInstalled)
	})},
	{FaultInfo: FaultInfo{"forgets", "After a reset the board is blank.", false}, booted: afterReset(func(b *Board) { b.flash = flash{objects: map[string][]byte{}} })},
	{FaultInfo: FaultInfo{"uid-changes", "After a reset the board has another uid.", false}, booted: afterReset(func(b *Board) { b.uid = flipMiddle(b.uid) })},
	{FaultInfo: FaultInfo{"key-changes", "After a reset the board has another key.", false}, booted: afterReset(func(b *Board) {
		if b.flash.key != nil {
			b.flash.key, b.flash.spki = stranger(b)
		}
	})},
	{FaultInfo: FaultInfo{"receipt-wrong-key", "Another key answers prove once the board is locked.", false}, signer: strangerSigns(cmdProve, stateLocked)},

	// Firmware images.
	{FaultInfo: FaultInfo{"image-unplug", "The cable is pulled once in the middle of an image; the board stays powered.", true}, wire: unplugUpload(false)},
	{FaultInfo: FaultInfo{"image-power", "Cable and power are pulled once in the middle of an image.", true}, wire: unplugUpload(true)},
	{FaultInfo: FaultInfo{"image-forgets", "In the middle of an image the board wants it from the start, once.", true}, request: onUpload(4, 1, func(b *Board) any {
		b.images.slots[1], b.ram.upload = nil, nil
		return uploadAnswer{}
	})},
	{FaultInfo: FaultInfo{"image-slow", "Swapping images takes 25 s at boot.", true}, swapTime: 25 * time.Second},
	{FaultInfo: FaultInfo{"image-none", "The board knows no images.", false}, request: func(_ *Board, m smp.Message, _ int) (any, bool) {
		return plain{plainUnknown}, m.Group == groupImage
	}},
	{FaultInfo: FaultInfo{"image-small-slot", "A slot has 1 KiB.", false}, setup: func(c *Config) { c.SlotSize = 1 << 10 }},
	{FaultInfo: FaultInfo{"image-refused", "The image's header is refused.", false}, request: onUpload(1, math.MaxInt, func(*Board) any {
		return enrollError{Err: groupError{groupImage, rcBadMagic}}
	})},
	{FaultInfo: FaultInfo{"image-stalls", "From the third chunk on the board wants the same offset for ever.", false}, request: onUpload(3, math.MaxInt, func(*Board) any {
		return uploadAnswer{Off: 64}
	})},
	{FaultInfo: FaultInfo{"image-dies", "The board answers nothing more from the third chunk on.", false}, request: onUpload(3, math.MaxInt, func(b *Board) any {
		b.fault.mute = true
		return nil
	})},
	{FaultInfo: FaultInfo{"image-jumps", "The board wants an offset that it was not sent up to.", false}, request: onUpload(2, math.MaxInt, func(b *Board) any {
		return uploadAnswer{Off: len(b.images.slots[1]) + 2048}
	})},
	{FaultInfo: FaultInfo{"image-beyond", "The board wants an offset beyond the image.", false}, request: onUpload(2, math.MaxInt, func(*Board) any {
		return uploadAnswer{Off: 1 << 30}
	})},
	{FaultInfo: FaultInfo{"image-differs", "The board stores an image with another digest.", false}, image: imageFault{otherHash: true}},
	{FaultInfo: FaultInfo{"image-rots", "A byte of the image changes in storage: the boot loader does not start it.", false}, request: func(b *Board, m smp.Message, _ int) (any, bool) {
		if m.Group == groupImage && m.Cmd == cmdImageState && m.Op == smp.OpWrite && len(b.images.slots[1]) > imageHeader {
			b.images.slots[1][imageHeader] ^= 1
		}
		return nil, false
	}},
	{FaultInfo: FaultInfo{"image-reverts", "The boot loader goes on with the old image.", false}, image: imageFault{neverStarts: true}},
	{FaultInfo: FaultInfo{"image-unconfirmed", "A new image stays on trial, whatever is confirmed.", false}, image: imageFault{neverConfirms: true}},
}

func wirePrompt(c *conn, _ smp.Message, _ int, packet []byte) {
	c.write(append([]byte("\n"+prompt), bytes.TrimPrefix(packet, []byte("\n"))...))
	c.write([]byte(prompt))
}

func wireChatty(c *conn, m smp.Message, n int, packet []byte) {
	c.write(fmt.Appendf(nil, "[%08d] <dbg> smp: group %d id %d\r\n", n, m.Group, m.Cmd))
	c.write(packet)
	c.write([]byte("[00000000] <dbg> smp: sent\r\n"))
}

func wireLongLine(c *conn, _ smp.Message, _ int, packet []byte) {
	c.write(bytes.Repeat([]byte("="), 5000))
	c.write(packet)
}

// wireNoise sends what a receiver must drop in silence: a stray continuation,
// bad base64, a packet that never ends, a frame cut off by another.
func wireNoise(c *conn, _ smp.Message, n int, packet []byte) {
	c.write([]byte("\x04\x14AAAA\n\x06\x09!?!?\n\x00\xff\xfe\x06\x09AHgIAAAB\n\x06\x09AAsIA"))
	if n == 1 {
		packet = bytes.Clone(packet)
		if at := len(packet) / 2; packet[at] == 'A' {
			packet[at] = 'B'
		} else {
			packet[at] = 'A'
		}
	}
	c.write(packet)
	c.write([]byte("\x80\x81 \x06\x09"))
}

func wireLost(c *conn, _ smp.Message, n int, packet []byte) {
	if n > 1 {
		c.write(packet)
	}
}

func wireDouble(c *conn, _ smp.Message, _ int, packet []byte) {
	c.write(packet)
	c.write(packet)
}

// wireLate keeps the first answer to a command back until the next is due.
func wireLate(c *conn, _ smp.Message, n int, packet []byte) {
	b := c.board
	b.mu.Lock()
	held := b.misery.held
	b.misery.held = nil
	if n == 1 {
		b.misery.held = packet
	}
	b.mu.Unlock()
	if n > 1 {
		c.write(held)
		c.write(packet)
	}
}

// babble writes text as fast as a line at 4 Mbaud, until the cable is pulled.
func babble(c *conn) {
	text := bytes.Repeat([]byte("panic: assertion failed, restarting\r\n"), 100)
	for {
		if _, err := c.end.Write(text); err != nil {
			return
		}
		select {
		case <-c.board.quit:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// busy answers rc 13 the first times that each key command is asked.
func busy(times int) func(*Board, smp.Message, int) (any, bool) {
	return func(b *Board, m smp.Message, n int) (any, bool) {
		if m.Group != b.cfg.Group || !takesCompute(m.Cmd) || n > times {
			return nil, false
		}
		return enrollError{Err: groupError{b.cfg.Group, rcBusy}}, true
	}
}

// rebootAtPut loses what was staged, and the answer.
func rebootAtPut(b *Board, m smp.Message, n int) (any, bool) {
	if !enrollment(b, m, cmdPut) || n != 2 {
		return nil, false
	}
	b.boot()
	return nil, true
}

func digestOnce(b *Board, m smp.Message, n int) (any, bool) {
	if !enrollment(b, m, cmdCommit) || n != 1 {
		return nil, false
	}
	b.ram.staging = map[string]*staged{}
	return enrollError{Err: groupError{b.cfg.Group, rcDigest}, Obj: "chain"}, true
}

// clonedKey makes the same P-256 key on every board.
func clonedKey(_ *Board, alg **algorithm) (crypto.Signer, error) {
	*alg = algorithmByName("ES256")
	seed := sha256.Sum256([]byte("the key of a board whose random source is not"))
	return ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
}

// replayProof answers every prove with one signature, made for another nonce.
func replayProof(b *Board, m smp.Message, _ int) (any, bool) {
	if !enrollment(b, m, cmdProve) || b.flash.state < stateInstalled {
		return nil, false
	}
	if b.misery.proof == nil {
		first := proveMessage([32]byte{}, nil, nil, nil, nil, 0, stateInstalled, b.uid)
		sig, err := b.flash.alg.sign(b.cfg.Rand, b.flash.key, first)
		if err != nil {
			return nil, false
		}
		b.misery.proof = sig
	}
	return sigAnswer{b.misery.proof}, true
}

// differs makes get read one object with a bit changed.
func differs(object string) func(string, []byte) []byte {
	return func(asked string, data []byte) []byte {
		if asked != object {
			return data
		}
		return flipMiddle(data)
	}
}

// openMap returns the CBOR map p, which has less than 23 entries, with one
// more key, whose value the caller appends.
func openMap(p []byte, key string) []byte {
	p = bytes.Clone(p)
	p[0]++
	return append(append(p, byte(0x60+len(key))), key...)
}

// extend adds one entry to a map of less than 23.
func extend(p []byte, key string, value any) []byte {
	one, err := smp.Marshal(map[string]any{key: value})
	if err != nil {
		return p
	}
	p = bytes.Clone(p)
	p[0]++
	return append(p, one[1:]...)
}
