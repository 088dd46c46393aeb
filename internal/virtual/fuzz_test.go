// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"bytes"
	"crypto/x509"
	"testing"

	"provisioning.example/station/internal/smp"
)

// FuzzRequests feeds messages, each two bytes of length and an SMP message, to
// a board in every state: it answers each with one well-formed map, within its
// buffer, and its state and what it stores always agree.
func FuzzRequests(f *testing.F) {
	add := func(state byte, requests ...smp.Message) {
		var data []byte
		for _, m := range requests {
			b := m.Append(nil)
			data = append(append(data, byte(len(b)>>8), byte(len(b))), b...)
		}
		f.Add(state, data)
	}
	request := func(cmd uint8, body obj) smp.Message {
		payload, err := smp.Marshal(body)
		if err != nil {
			f.Fatal(err)
		}
		m := smp.Message{Version: 1, Group: 64, Cmd: cmd, Payload: payload}
		if commands[cmd].write {
			m.Op = smp.OpWrite
		}
		return m
	}
	d32 := make([]byte, 32)
	add(0, request(cmdEnrollInfo, obj{}), request(cmdKeygen, obj{"alg": "ES256", "token": d32}))
	add(1, request(cmdCSR, obj{"cn": "c", "sn": "1", "nonce": d32}), request(cmdGet, obj{"obj": "csr", "off": 0}))
	add(1, request(cmdPut, obj{"obj": "chain", "off": 0, "data": []byte("x"), "len": 1, "sha": d32}), request(cmdCommit, obj{"chain": d32}))
	add(2, request(cmdProve, obj{"nonce": d32}), request(cmdTLSSign, obj{"tbs": append(bytes.Clone(tlsPrefix), d32...)}), request(cmdLock, obj{"chain": d32}))
	add(2, request(cmdKeygen, obj{"alg": "EdDSA", "token": d32, "replace": true}))
	add(3, request(cmdChallenge, obj{}), request(cmdRework, obj{"key": 1, "sig": []byte{1}}), request(cmdGet, obj{"obj": "chain", "off": 3}))
	image := func(cmd uint8, body obj) smp.Message {
		payload, err := smp.Marshal(body)
		if err != nil {
			f.Fatal(err)
		}
		return smp.Message{Op: smp.OpWrite, Version: 1, Group: groupImage, Cmd: cmd, Payload: payload}
	}
	file := MakeImage(ImageVersion{Major: 2}, []byte("payload"))
	_, digest, _, _ := imageInfo(file)
	add(1, smp.Message{Version: 1, Group: groupImage}, image(cmdImageUpload, obj{"off": 0, "len": len(file), "sha": d32, "data": file[:40]}),
		image(cmdImageUpload, obj{"off": 40, "data": file[40:]}), image(cmdImageState, obj{"hash": digest}), image(cmdImageErase, obj{}))
	add(3, smp.Message{Op: smp.OpWrite, Version: 1, Cmd: cmdEcho, Payload: []byte{0xa1, 0x61, 'd', 0x61, 'x'}}, smp.Message{Group: 64})
	e := newEstate(f)
	f.Fuzz(func(t *testing.T, state byte, data []byte) {
		b := newBoard(t, Config{Root: e.root.cert})
		b.flash = e.flash(t, state%4)
		for len(data) > 2 {
			n := int(data[0])<<8 | int(data[1])
			data = data[2:]
			m, err := smp.ParseMessage(data[:min(n, len(data))])
			data = data[min(n, len(data)):]
			if err != nil || m.Group == groupOS && m.Cmd == cmdReset {
				continue // a reset waits on the clock
			}
			checkAnswer(t, b, m)
			checkFlash(t, b)
		}
	})
}

func (e *estate) flash(t testing.TB, state byte) flash {
	f := flash{state: state, objects: map[string][]byte{}}
	if state > stateBlank {
		f.alg, f.key, f.spki, f.token = algorithmByName("ES256"), e.device, mustSPKI(t, e.device.Public()), [32]byte{9}
	}
	if state > stateKeyed {
		f.objects["chain"] = der(e.leaf, e.inter)
		f.objects["rework"] = mustSPKI(t, e.root.key.Public())
	}
	return f
}

func checkAnswer(t *testing.T, b *Board, m smp.Message) {
	_, payload := b.respond(m)
	var any struct{}
	if err := smp.Unmarshal(payload, &any); err != nil || len(payload) == 0 {
		t.Errorf("answer %x to %+v: %v", payload, m, err)
	}
	if len(payload)+12 > b.cfg.Buffer {
		t.Errorf("an answer of %d bytes", len(payload))
	}
}

func checkFlash(t *testing.T, b *Board) {
	f := &b.flash
	if len(b.images.slots[1]) > b.cfg.SlotSize || !bootable(b.images.slots[0]) {
		t.Errorf("slots of %d and %d bytes", len(b.images.slots[0]), len(b.images.slots[1]))
	}
	staged := 0
	for _, s := range b.ram.staging {
		staged += len(s.data)
		if uint64(len(s.data)) > s.size || s.size > uint64(b.cfg.Max) {
			t.Errorf("staged %d bytes of %d", len(s.data), s.size)
		}
	}
	switch {
	case f.state > stateLocked, (f.key == nil) != (f.state == stateBlank), (f.objects["chain"] == nil) != (f.state < stateInstalled):
		t.Errorf("state %d, key %v, chain %x", f.state, f.key, f.objects["chain"])
	case staged > 3*b.cfg.Max:
		t.Errorf("%d bytes are staged", staged)
	case f.state >= stateInstalled:
		if rc := checkObjects(map[string][]byte{"chain": f.objects["chain"]}, f.spki, b.cfg.Root, b.cfg.Verify); rc != 0 {
			t.Errorf("stores a chain that commit refuses with %d", rc)
		}
	}
}

// FuzzCheckObjects: no object makes the checks panic, and what they accept
// holds by crypto/x509's own verification.
func FuzzCheckObjects(f *testing.F) {
	e := newEstate(f)
	for _, c := range readVectors(f, "commit.txt") {
		f.Add(c.Fields["chain"], c.Fields["anchors"], c.Fields["rework"])
	}
	spki := mustSPKI(f, e.device.Public())
	roots, at := x509.NewCertPool(), e.leaf.cert.NotBefore
	roots.AddCert(e.root.cert)
	f.Fuzz(func(t *testing.T, chain, anchors, rework []byte) {
		objects := map[string][]byte{"chain": chain}
		if len(anchors) > 0 {
			objects["anchors"] = anchors
		}
		if len(rework) > 0 {
			objects["rework"] = rework
		}
		if checkObjects(objects, spki, e.root.cert, []string{"ES256"}) != 0 {
			return
		}
		certs, err := x509.ParseCertificates(chain)
		if err != nil {
			t.Fatal(err)
		}
		inters := x509.NewCertPool()
		for _, c := range certs[1:] {
			inters.AddCert(c)
		}
		if _, err := certs[0].Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: inters, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		}); err != nil {
			t.Errorf("accepted, but crypto/x509 says: %v", err)
		}
	})
}
