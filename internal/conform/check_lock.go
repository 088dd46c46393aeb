// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
)

// newBootBy is how long a board may take from a reset's answer to an info with
// another boot.
const newBootBy = 12 * time.Second

// reset restarts the board and demands another boot of the same board.
func (b *bench) reset(ctx context.Context) error {
	before := b.facts
	c := osCall(cmdReset, true, nil)
	m, err := b.message(c)
	if err != nil {
		return err
	}
	// Not repeated: a board that has restarted meanwhile would do it twice.
	a, _, err := b.wire.exchange(ctx, frame(m.Append(nil)), otherTimeout, func(got smp.Message) bool { return answers(got, m) })
	if errors.Is(err, errSilent) {
		return wrong("OS reset", "an answer before the reset", "none in %v", otherTimeout)
	}
	if err != nil {
		return told("OS reset", "an answer", err)
	}
	if r := parseReply(*a); !r.success() {
		return wrong("OS reset", "success", "%v", r)
	}
	asked := time.Now()
	for {
		if err := b.connect(ctx); err != nil {
			return err
		}
		if !bytes.Equal(before.Boot, b.facts.Boot) {
			break
		}
		if time.Since(asked) > newBootBy {
			return wrong("info after OS reset", "another boot", "boot %x, as before, for %v", b.facts.Boot, newBootBy)
		}
		if err := pause(ctx, askAgain); err != nil {
			return err
		}
	}
	if !bytes.Equal(before.UID, b.facts.UID) {
		return wrong("info after OS reset", fmt.Sprintf("uid %x", before.UID), "%x", b.facts.UID)
	}
	return nil
}

func (b *bench) resetBoot(ctx context.Context) error {
	if err := b.reset(ctx); err != nil {
		return err
	}
	if err := b.shows(ctx, "OS reset", enroll.Keyed); err != nil {
		return err
	}
	return b.keeps(ctx, "keygen with the same token after a reset", keygenCall(b.alg, b.token, false), true)
}

func (b *bench) resetRAM(ctx context.Context) error {
	object := text(100)
	if _, err := b.request(ctx, "unit", "", random32()); err != nil {
		return err
	}
	if err := b.put(ctx, "put of 40 bytes of chain", putCall("chain", 0, object[:40], object), 40); err != nil {
		return err
	}
	if err := b.reset(ctx); err != nil {
		return err
	}
	return b.ramIsEmpty(ctx, "a reset", object)
}

func (b *bench) resetObjects(ctx context.Context) error {
	if err := b.reset(ctx); err != nil {
		return err
	}
	if err := b.stores(ctx, "OS reset", enroll.Installed); err != nil {
		return err
	}
	return b.proves(ctx, "prove after a reset", enroll.Installed)
}

func (b *bench) lockDigest(ctx context.Context) error {
	other := random32()
	if err := b.refuse(ctx, "lock with another digest", lockCall(other[:]), enroll.RCDigest); err != nil {
		return err
	}
	return b.stores(ctx, "lock with another digest", enroll.Installed)
}

func (b *bench) lockState(ctx context.Context) error {
	for _, step := range []string{"lock", "lock in state 3"} {
		if err := b.answersState(ctx, step, lockCall(sum(b.chain)), enroll.Locked); err != nil {
			return err
		}
		if err := b.stores(ctx, step, enroll.Locked); err != nil {
			return err
		}
	}
	other := random32()
	return b.refuse(ctx, "lock in state 3 with another digest", lockCall(other[:]), enroll.RCDigest)
}

func (b *bench) lockedRefuses(ctx context.Context) error {
	s := b.sample()
	steps := []refusalStep{
		{step: "keygen with the same token", call: keygenCall(b.alg, b.token, false)},
		{step: "keygen with another token and replace", call: keygenCall(b.alg, random32(), true)},
		{step: "csr", call: s["csr"]},
		{step: "get of csr", call: s["get of csr"]},
		{step: "put", call: s["put"]},
		{step: "commit of the stored digests", call: commitCall(b.chain, b.anchors, b.keys)},
		{step: "tls-sign", call: s["tls-sign"]},
		{step: "tls-sign of other bytes", call: s["tls-sign of other bytes"]},
	}
	for i := range steps {
		steps[i].rc = enroll.RCLocked
	}
	if err := b.refuseAll(ctx, steps); err != nil {
		return err
	}
	return b.stores(ctx, "the refusals", enroll.Locked)
}

func (b *bench) lockedOrder(ctx context.Context) error { return b.refuseAll(ctx, b.malformed()) }

func (b *bench) lockedReads(ctx context.Context) error {
	if err := b.readBack(ctx); err != nil {
		return err
	}
	return b.proves(ctx, "prove in state 3", enroll.Locked)
}

func (b *bench) lockedGroups(ctx context.Context) error {
	if b.facts.Prot == nil {
		return unchecked("info has no prot")
	}
	if *b.facts.Prot&1 != 0 {
		return outside("prot bit 0 is set: boot verifies images")
	}
	for _, group := range []uint16{1, 2, 3, 8, 9, 63, 65} {
		if group == b.group() {
			continue
		}
		if err := b.refusePlain(ctx, fmt.Sprintf("a read of command 0 of group %d", group), call{group: &group}, plainUnknown); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) lockedReset(ctx context.Context) error {
	if err := b.reset(ctx); err != nil {
		return err
	}
	if err := b.stores(ctx, "OS reset of a locked board", enroll.Locked); err != nil {
		return err
	}
	return b.proves(ctx, "prove after lock and reset: the receipt", enroll.Locked)
}

func (b *bench) challengeNonce(ctx context.Context) error {
	first, err := b.challenge(ctx, "challenge")
	if err != nil {
		return err
	}
	again, err := b.challenge(ctx, "challenge again")
	if err != nil {
		return err
	}
	if again != first {
		return wrong("challenge again", fmt.Sprintf("the same nonce %x", first), "%x", again)
	}
	if err := b.reset(ctx); err != nil {
		return err
	}
	next, err := b.challenge(ctx, "challenge after a reset")
	if err == nil && next == first {
		return wrong("challenge after a reset", "another nonce", "the same, %x", next)
	}
	return err
}

func (b *bench) reworkNoNonce(ctx context.Context) error {
	nonce, err := b.challenge(ctx, "challenge")
	if err != nil {
		return err
	}
	if err := b.reset(ctx); err != nil {
		return err
	}
	for _, n := range [][32]byte{nonce, {}} {
		sig, err := b.reworkSignature(b.rework, n)
		if err != nil {
			return err
		}
		step := fmt.Sprintf("rework over the nonce %x..., which this boot did not give", n[:4])
		if err := b.refuse(ctx, step, reworkCall(0, sig), enroll.RCNotAuthorised); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) reworkRefuses(ctx context.Context) error {
	nonce, err := b.challenge(ctx, "challenge")
	if err != nil {
		return err
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	other, err := b.reworkSignature(stranger, nonce)
	if err != nil {
		return err
	}
	elsewhere, err := b.reworkSignature(b.rework, random32())
	if err != nil {
		return err
	}
	good, err := b.reworkSignature(b.rework, nonce)
	if err != nil {
		return err
	}
	err = b.refuseAll(ctx, []refusalStep{
		{"rework by another key", reworkCall(0, other), enroll.RCNotAuthorised},
		{"rework over another nonce", reworkCall(0, elsewhere), enroll.RCNotAuthorised},
		{"rework by key 1, which is not stored", reworkCall(1, good), enroll.RCNotAuthorised},
		{"rework with a signature cut short", reworkCall(0, good[:len(good)-1]), enroll.RCNotAuthorised},
	})
	if err != nil {
		return err
	}
	again, err := b.challenge(ctx, "challenge after refused reworks")
	if err == nil && again != nonce {
		return wrong("challenge after refused reworks", fmt.Sprintf("the same nonce %x", nonce), "%x", again)
	}
	return err
}

func (b *bench) reworkUnlocks(ctx context.Context) error {
	nonce, err := b.challenge(ctx, "challenge")
	if err != nil {
		return err
	}
	sig, err := b.reworkSignature(b.rework, nonce)
	if err != nil {
		return err
	}
	b.unlocked = sig
	if err := b.answersState(ctx, "rework", reworkCall(0, sig), enroll.Blank); err != nil {
		return err
	}
	return b.shows(ctx, "rework", enroll.Blank)
}

func (b *bench) reworkRepeat(ctx context.Context) error {
	if b.unlocked == nil {
		return unchecked("the board was not unlocked")
	}
	for _, key := range []int{0, 1} { // a repeat compares the signature alone
		if err := b.answersState(ctx, fmt.Sprintf("the same rework again, key %d", key), reworkCall(key, b.unlocked), enroll.Blank); err != nil {
			return err
		}
	}
	other := bytes.Clone(b.unlocked)
	other[len(other)-1] ^= 1
	return b.refuse(ctx, "another rework in state 0", reworkCall(0, other), enroll.RCWrongState)
}

func (b *bench) reworkToken(ctx context.Context) error {
	if b.unlocked == nil || b.alg == "" {
		return unchecked("the board was not unlocked")
	}
	old := b.spki
	spki, isNew, err := b.keygen(ctx, "keygen with the token of the erased key", keygenCall("ES256", b.token, false))
	if err != nil {
		return err
	}
	b.spki, b.alg, b.pub = spki, "ES256", nil
	if spki == old {
		return wrong("keygen with the token of the erased key", "another key", "the erased one, spki %x", spki)
	}
	if !isNew {
		return wrong("keygen with the token of the erased key", "new true", "new false")
	}
	return nil
}

func (b *bench) endBlank(ctx context.Context) error {
	err := b.begin(ctx, check{state: enroll.Blank})
	if err != nil {
		return err
	}
	return b.shows(ctx, "rework", enroll.Blank)
}
