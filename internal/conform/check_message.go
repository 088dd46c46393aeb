// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
)

// garbage is no CBOR: who looks at it before it knows the command is told so.
var garbage = []byte{0xff, 0x1f, 0xc0}

func (b *bench) headerAnswer(ctx context.Context) error {
	for _, seq := range []uint8{0, 255} {
		m := b.infoMessage()
		m.Seq = seq
		step := fmt.Sprintf("info with sequence %d", seq)
		r, err := b.tryMessage(ctx, m, infoTimeout)
		if err != nil {
			return told(step, "an answer with op 1, group, sequence and command of the request", err)
		}
		if r.msg.Version != smp.Version || r.msg.Flags != 0 {
			return wrong(step, "version 1 and flags 0", "version %d and flags %#x", r.msg.Version, r.msg.Flags)
		}
	}
	return nil
}

func (b *bench) headerRepeat(ctx context.Context) error {
	m := b.infoMessage()
	for _, step := range []string{"info", "info with the same sequence"} {
		r, err := b.tryMessage(ctx, m, infoTimeout)
		if err != nil {
			return told(step, "success", err)
		}
		if !r.success() {
			return wrong(step, "success", "%v", r)
		}
	}
	return nil
}

func (b *bench) headerVersion(ctx context.Context) error {
	if err := b.refusePlain(ctx, "info in a header of version 0", call{cmd: cmdInfo, v0: true}, plainTooOld); err != nil {
		return err
	}
	return b.refusePlain(ctx, "keygen with malformed CBOR in a header of version 0", call{cmd: cmdKeygen, write: true, v0: true, raw: garbage}, plainTooOld)
}

func (b *bench) headerGroup(ctx context.Context) error {
	group := uint16(0xfffe)
	for _, raw := range [][]byte{{0xa0}, garbage} {
		step := fmt.Sprintf("group %d, payload %x", group, raw)
		if err := b.refusePlain(ctx, step, call{group: &group, raw: raw}, plainUnknown); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) headerCommand(ctx context.Context) error {
	for _, raw := range [][]byte{{0xa0}, garbage} {
		for _, write := range []bool{false, true} {
			step := fmt.Sprintf("command 200, write %v, payload %x", write, raw)
			if err := b.refusePlain(ctx, step, call{cmd: 200, write: write, raw: raw}, plainUnknown); err != nil {
				return err
			}
		}
	}
	return nil
}

// commands are the commands of the enrollment group, and whether each writes.
var commands = []struct {
	name  string
	write bool
}{
	{"info", false},
	{"keygen", true},
	{"csr", true},
	{"get", false},
	{"put", true},
	{"commit", true},
	{"prove", true},
	{"tls-sign", true},
	{"lock", true},
	{"challenge", false},
	{"rework", true},
}

func (b *bench) headerOp(ctx context.Context) error {
	for i, c := range commands {
		op := "a read"
		if !c.write {
			op = "a write"
		}
		if err := b.refusePlain(ctx, c.name+" as "+op, call{cmd: uint8(i), write: !c.write, raw: garbage}, plainUnknown); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) cborDefinite(ctx context.Context) error {
	for _, s := range []struct {
		step string
		call call
	}{{"the answer to info", infoCall()}, {"an error of the transport", call{cmd: 200}}, {"an error of the group", call{raw: []byte{0x80}}}} {
		r, err := b.ask(ctx, s.call)
		if err != nil {
			return told(s.step, "an answer", err)
		}
		if at := indefinite(r.msg.Payload); at >= 0 {
			return wrong(s.step, "maps and arrays of definite length (with zcbor: ZCBOR_CANONICAL)", "byte %#02x at %d", r.msg.Payload[at], at)
		}
	}
	return nil
}

// indefinite returns where an item of indefinite length begins in well-formed
// CBOR, -1 when none does (RFC 8949, 3.2.1).
func indefinite(data []byte) int {
	for at := 0; at < len(data); {
		major, info := data[at]>>5, data[at]&31
		if info == 31 && major >= 2 && major <= 5 {
			return at
		}
		size, arg := 1, uint64(info)
		if info >= 24 && info <= 27 {
			arg = 0
			for _, c := range data[at+1 : min(len(data), at+1+1<<(info-24))] {
				arg = arg<<8 | uint64(c)
			}
			size += 1 << (info - 24)
		}
		if (major == 2 || major == 3) && arg <= uint64(len(data)) {
			size += int(arg)
		}
		at += size
	}
	return -1
}

// infoTakes demands that info is answered as always to each payload.
func (b *bench) infoTakes(ctx context.Context, payloads []string) error {
	for _, p := range payloads {
		if err := b.accept(ctx, fmt.Sprintf("info with payload %x", p), call{raw: []byte(p)}, nil); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) infoRefuses(ctx context.Context, payloads []string) error {
	for _, p := range payloads {
		if err := b.refuse(ctx, fmt.Sprintf("info with payload %x", p), call{raw: []byte(p)}, enroll.RCMalformed); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) cborEmpty(ctx context.Context) error {
	return b.infoTakes(ctx, []string{"", "\xa0"})
}

func (b *bench) cborUnknown(ctx context.Context) error {
	return b.infoTakes(ctx, []string{
		"\xa1\x62zz\x82\x01\xa1\x61a\xf6",                // [1, {"a": null}]
		"\xa2\x62zz\xf9\x3e\x00\x62yy\x43\x01\x02\x03",   // 1.5, bytes
		"\xa1\x62zz\xc1\x1a\x66\x00\x00\x00",             // a tagged time
		"\xa1\x62zz\x1b\x00\x00\x00\x00\x00\x00\x00\x01", // an integer longer than it need be
	})
}

func (b *bench) cborIndefinite(ctx context.Context) error {
	return b.infoTakes(ctx, []string{"\xbf\xff", "\xbf\x62zz\x9f\x01\x02\xff\xff", "\xa1\x62zz\xbf\x61a\x9f\xff\xff"})
}

func (b *bench) cborDuplicate(ctx context.Context) error {
	if err := b.infoRefuses(ctx, []string{"\xa2\x62zz\x01\x62zz\x02", "\xbf\x62zz\x01\x62zz\x01\xff"}); err != nil {
		return err
	}
	twice := append([]byte("\xa2\x65nonce\x58\x20"), make([]byte, 32)...)
	twice = append(append(twice, "\x65nonce\x58\x20"...), make([]byte, 32)...)
	return b.refuse(ctx, "prove with nonce twice", call{cmd: cmdProve, write: true, raw: twice}, enroll.RCMalformed)
}

func (b *bench) cborTrailing(ctx context.Context) error {
	return b.infoRefuses(ctx, []string{"\xa0\x00", "\xa0\xa0", "\xbf\xff\xff"})
}

func (b *bench) cborMalformed(ctx context.Context) error {
	return b.infoRefuses(ctx, []string{
		"\x80", "\x00", "\xf6", // an array, a number, null
		"\xa1", "\xa1\x62z", "\xa1\x62zz", "\xa1\x62zz\x42\x00", "\xbf\x62zz\x01", // ends inside
		"\xa1\x01\x02",   // a key that is no text
		"\xa1\x62zz\x1c", // a reserved head
		"\xff",           // a break of nothing
		"\xa1\x62zz\x5b\xff\xff\xff\xff\xff\xff\xff\xff", // 2^64 - 1 bytes announced
		"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",           // and as many entries
	})
}

func (b *bench) cborNesting(ctx context.Context) error {
	if err := b.infoTakes(ctx, []string{"\xa1\x62zz\x81\x81\x81\x01"}); err != nil {
		return err
	}
	deep := append([]byte("\xa1\x62zz"), bytes.Repeat([]byte{0x81}, 200)...)
	step := "info with containers 200 deep, then a sound info"
	r, err := b.ask(ctx, call{raw: append(deep, 0)})
	if err != nil && !errors.Is(err, errSilent) {
		return told(step, "success or rc 1", err)
	}
	if err == nil && !r.success() && !r.refused(b.group(), enroll.RCMalformed) {
		return wrong(step, "success or rc 1", "%v", r)
	}
	return b.accept(ctx, step, infoCall(), nil)
}
