// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"provisioning.example/station/internal/enroll"
)

// shows demands that info shows a state and, from 1 on, this run's key.
func (b *bench) shows(ctx context.Context, after string, want enroll.State) error {
	if err := b.look(ctx); err != nil {
		return err
	}
	step := "info after " + after
	f := b.facts
	switch {
	case f.State == nil:
		return wrong(step, "state "+want.String(), "no state")
	case enroll.State(*f.State) != want:
		return wrong(step, "state "+want.String(), "%v", enroll.State(*f.State))
	case want == enroll.Blank && (f.SPKI != nil || f.Alg != nil):
		return wrong(step, "no key", "alg or spki")
	case want != enroll.Blank && !bytes.Equal(f.SPKI, b.spki[:]):
		return wrong(step, fmt.Sprintf("spki %x", b.spki), "%x", f.SPKI)
	case want != enroll.Blank && (f.Alg == nil || *f.Alg != b.alg):
		return wrong(step, "alg "+b.alg, "another, or none")
	case want < enroll.Installed && (f.Chain != nil || f.Anchors != nil || f.Rework != nil):
		return wrong(step, "no chain, anchors or rework", "digests of objects")
	}
	return nil
}

func (b *bench) blankInfo(ctx context.Context) error { return b.shows(ctx, "connecting", enroll.Blank) }

// notIn are well-formed requests for the commands that a state does not allow.
func (b *bench) notIn(state string, calls map[string]call, order []string) []refusalStep {
	var steps []refusalStep
	for _, name := range order {
		steps = append(steps, refusalStep{name + " in state " + state, calls[name], enroll.RCWrongState})
	}
	return steps
}

// sample are well-formed requests of every command that is bound to a state.
func (b *bench) sample() map[string]call {
	zeros := make([]byte, 32)
	text := []byte("not a certificate")
	return map[string]call{
		"csr": csrCall("unit", "", zeros), "get of csr": getCall("csr", 0), "get of chain": getCall("chain", 0),
		"put": putCall("chain", 0, text, text), "commit": commitCall(text, nil, nil), "prove": proveCall(zeros),
		"tls-sign": tlsSignCall(verifyContent(32)), "tls-sign of other bytes": tlsSignCall(zeros), "lock": lockCall(zeros),
		"challenge": challengeCall(), "rework": reworkCall(0, make([]byte, 70)),
		"keygen without replace": keygenCall("ES256", b.token, false),
	}
}

func (b *bench) blankStates(ctx context.Context) error {
	return b.refuseAll(ctx, b.notIn("0", b.sample(), []string{
		"csr", "get of csr", "get of chain", "put", "commit", "prove", "tls-sign", "tls-sign of other bytes", "lock", "challenge", "rework",
	}))
}

func (b *bench) keyedStates(ctx context.Context) error {
	return b.refuseAll(ctx, b.notIn("1", b.sample(), []string{
		"get of chain", "prove", "tls-sign", "tls-sign of other bytes", "lock", "challenge", "rework",
	}))
}

func (b *bench) installedStates(ctx context.Context) error {
	return b.refuseAll(ctx, b.notIn("2", b.sample(), []string{"keygen without replace", "csr", "get of csr", "challenge", "rework"}))
}

// malformed are requests whose shape is wrong: rc 1 in whatever state.
func (b *bench) malformed() []refusalStep {
	with := func(c call, key string, value any) call {
		body := map[string]any{}
		for k, v := range c.body {
			body[k] = v
		}
		if c.body = body; value == nil {
			delete(body, key)
		} else {
			body[key] = value
		}
		return c
	}
	s := b.sample()
	keygen := keygenCall("ES256", random32(), false)
	steps := []refusalStep{
		{step: "keygen without token", call: with(keygen, "token", nil)},
		{step: "keygen with a token of 31 bytes", call: with(keygen, "token", make([]byte, 31))},
		{step: "keygen with text for a token", call: with(keygen, "token", strings.Repeat("t", 32))},
		{step: "keygen with replace 1", call: with(keygen, "replace", 1)},
		{step: "csr with a nonce of 33 bytes", call: with(s["csr"], "nonce", make([]byte, 33))},
		{step: "get without off", call: with(s["get of csr"], "off", nil)},
		{step: "get with off -1", call: with(s["get of csr"], "off", -1)},
		{step: "put at 0 without len", call: with(s["put"], "len", nil)},
		{step: "put at 0 without sha", call: with(s["put"], "sha", nil)},
		{step: "put with text for data", call: with(s["put"], "data", "text")},
		{step: "commit without chain", call: with(s["commit"], "chain", nil)},
		{step: "commit with a digest of 31 bytes", call: with(s["commit"], "anchors", make([]byte, 31))},
		{step: "prove without nonce", call: with(s["prove"], "nonce", nil)},
		{step: "tls-sign without tbs", call: with(s["tls-sign"], "tbs", nil)},
		{step: "lock with a digest of 31 bytes", call: with(s["lock"], "chain", make([]byte, 31))},
		{step: "rework with key 2", call: with(s["rework"], "key", 2)},
		{step: "rework without sig", call: with(s["rework"], "sig", nil)},
	}
	for i := range steps {
		steps[i].rc = enroll.RCMalformed
	}
	return steps
}

func (b *bench) blankOrder(ctx context.Context) error { return b.refuseAll(ctx, b.malformed()) }

func (b *bench) keygenAlgorithm(ctx context.Context) error {
	for _, alg := range []string{"", "ES255", "es256"} {
		if err := b.refuse(ctx, fmt.Sprintf("keygen of %q", alg), keygenCall(alg, random32(), false), enroll.RCAlgorithm); err != nil {
			return err
		}
	}
	return b.shows(ctx, "keygen of an unknown algorithm", enroll.Blank)
}

func (b *bench) keygenNew(ctx context.Context) error {
	if err := b.makeKey(ctx, "ES256", false); err != nil {
		return err
	}
	return b.shows(ctx, "keygen", enroll.Keyed)
}

// keeps asks for a key and demands the present one.
func (b *bench) keeps(ctx context.Context, step string, c call, isNew bool) error {
	spki, got, err := b.keygen(ctx, step, c)
	switch {
	case err != nil:
		return err
	case spki != b.spki:
		return wrong(step, fmt.Sprintf("the present key, spki %x", b.spki), "%x", spki)
	case got != isNew:
		return wrong(step, fmt.Sprintf("new %v", isNew), "new %v", got)
	}
	return nil
}

func (b *bench) keygenSame(ctx context.Context) error {
	if err := b.keeps(ctx, "keygen with the same token", keygenCall(b.alg, b.token, false), true); err != nil {
		return err
	}
	return b.keeps(ctx, "keygen with the same token and replace", keygenCall(b.alg, b.token, true), true)
}

func (b *bench) keygenOther(ctx context.Context) error {
	if err := b.keeps(ctx, "keygen with another token", keygenCall(b.alg, random32(), false), false); err != nil {
		return err
	}
	return b.keeps(ctx, "keygen with the first token again", keygenCall(b.alg, b.token, false), true)
}

func (b *bench) keygenOtherAlg(ctx context.Context) error {
	err := b.refuseAll(ctx, []refusalStep{
		{"keygen of ES384 with the token of an ES256 key", keygenCall("ES384", b.token, false), enroll.RCAlgorithm},
		{"keygen of ES384 with the token of an ES256 key and replace", keygenCall("ES384", b.token, true), enroll.RCAlgorithm},
		{"keygen of ES384 with another token", keygenCall("ES384", random32(), false), enroll.RCAlgorithm},
		{"keygen of an unknown algorithm with replace", keygenCall("ES255", random32(), true), enroll.RCAlgorithm},
	})
	if err != nil {
		return err
	}
	return b.shows(ctx, "the refusals", enroll.Keyed)
}

func (b *bench) keygenReplace(ctx context.Context) error {
	old, oldToken := b.spki, b.token
	if err := b.makeKey(ctx, "ES256", true); err != nil {
		return err
	}
	if b.spki == old {
		return wrong("keygen with another token and replace", "another key", "the same, spki %x", old)
	}
	if err := b.keeps(ctx, "keygen with the token of the replaced key", keygenCall("ES256", oldToken, false), false); err != nil {
		return err
	}
	return b.shows(ctx, "keygen with replace", enroll.Keyed)
}

func (b *bench) keygenDrops(ctx context.Context) error {
	object := bytes.Repeat([]byte("object "), 20)
	if _, err := b.request(ctx, "unit", "", random32()); err != nil {
		return err
	}
	if err := b.put(ctx, "put of 40 bytes of chain", putCall("chain", 0, object[:40], object), 40); err != nil {
		return err
	}
	if err := b.makeKey(ctx, "ES256", true); err != nil {
		return err
	}
	return b.ramIsEmpty(ctx, "keygen with replace", object)
}

// ramIsEmpty demands that csr and the staged object are gone.
func (b *bench) ramIsEmpty(ctx context.Context, after string, object []byte) error {
	if err := b.refuse(ctx, "get of csr after "+after, getCall("csr", 0), enroll.RCWrongState); err != nil {
		return err
	}
	return b.put(ctx, "put of the staged object, empty data at 0, after "+after, putCall("chain", 0, nil, object), 0)
}

// keygenInstalled and keygenDropsObjects are about state 2.
func (b *bench) keygenInstalled(ctx context.Context) error {
	if err := b.keeps(ctx, "keygen with the same token and replace", keygenCall(b.alg, b.token, true), true); err != nil {
		return err
	}
	return b.stores(ctx, "keygen with the same token and replace", enroll.Installed)
}

func (b *bench) keygenDropsObjects(ctx context.Context) error {
	if err := b.makeKey(ctx, "ES256", true); err != nil {
		return err
	}
	return b.shows(ctx, "keygen with replace", enroll.Keyed)
}
