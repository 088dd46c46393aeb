// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"slices"

	"provisioning.example/station/internal/enroll"
)

// garbageObject is no certificate.
var garbageObject = []byte("this is not a certificate")

// attempt puts objects (nil ones are left out) and demands that their commit
// is refused with rc and changes nothing. The reply is the refusal.
func (b *bench) attempt(ctx context.Context, step string, chain, anchors, rework []byte, rc int) (reply, error) {
	var objects []object
	for _, o := range []object{{"chain", chain}, {"anchors", anchors}, {"rework", rework}} {
		if o.data != nil {
			objects = append(objects, o)
		}
	}
	if err := b.putAll(ctx, objects); err != nil {
		return reply{}, err
	}
	r, err := b.refusal(ctx, step, commitCall(chain, anchors, rework), rc)
	if err != nil {
		return r, err
	}
	return r, b.stores(ctx, step, b.state())
}

// stores demands that info shows a state, and the objects of this run or none.
func (b *bench) stores(ctx context.Context, after string, want enroll.State) error {
	if err := b.shows(ctx, after, want); err != nil || want < enroll.Installed {
		return err
	}
	for _, o := range []struct {
		name      string
		want, got []byte
	}{{"chain", b.chain, b.facts.Chain}, {"anchors", b.anchors, b.facts.Anchors}, {"rework", b.keys, b.facts.Rework}} {
		if !bytes.Equal(sum(o.want), o.got) {
			return wrong("info after "+after, fmt.Sprintf("%s %x", o.name, sum(o.want)), "%x", o.got)
		}
	}
	return nil
}

func (b *bench) commitUnknown(ctx context.Context) error {
	chain, _, err := b.sound(ctx)
	if err != nil {
		return err
	}
	if err := b.makeKey(ctx, "ES256", true); err != nil { // drops staging
		return err
	}
	err = b.refuse(ctx, "commit where nothing is staged", commitCall(chain, nil, nil), enroll.RCWrongState)
	if err != nil {
		return err
	}
	if err := b.put(ctx, "put of 40 bytes of chain", putCall("chain", 0, chain[:40], chain), 40); err != nil {
		return err
	}
	return b.refuse(ctx, "commit of an incomplete chain with anchors that are not staged",
		commitCall(chain, garbageObject, nil), enroll.RCWrongState)
}

func (b *bench) commitIncomplete(ctx context.Context) error {
	anchors := text(100)
	if err := b.put(ctx, "put of 40 bytes of 100 of anchors", putCall("anchors", 0, anchors[:40], anchors), 40); err != nil {
		return err
	}
	if err := b.putAll(ctx, []object{{"chain", garbageObject}}); err != nil {
		return err
	}
	const step = "commit of a chain with a wrong digest, and anchors that are not complete"
	r, err := b.refusal(ctx, step, commitCall(anchors, anchors, nil), enroll.RCOffset)
	if err != nil {
		return err
	}
	if r.Obj == nil || *r.Obj != "anchors" || r.Off == nil || *r.Off != 40 {
		return wrong(step, `top-level obj "anchors" and off 40 beside rc 4`, "%v", r)
	}
	return b.put(ctx, "put of bytes 40 to 100 of anchors", putCall("anchors", 40, anchors[40:], anchors), 100)
}

func (b *bench) commitDigest(ctx context.Context) error {
	anchors := text(60)
	bad := putCall("anchors", 0, anchors, anchors)
	bad.body["sha"] = sum(garbageObject) // of other bytes than these
	if err := b.putAll(ctx, []object{{"chain", garbageObject}}); err != nil {
		return err
	}
	if err := b.put(ctx, "put of anchors under a digest of other bytes", bad, 60); err != nil {
		return err
	}
	const step = "commit of a chain that does not parse, and anchors whose bytes have another digest"
	r, err := b.refusal(ctx, step, commitCall(garbageObject, garbageObject, nil), enroll.RCDigest)
	if err != nil {
		return err
	}
	if r.Obj == nil || *r.Obj != "anchors" {
		return wrong(step, `a top-level obj "anchors" beside rc 5`, "%v", r)
	}
	return b.refuse(ctx, "commit again, after rc 5 dropped all staging", commitCall(garbageObject, nil, nil), enroll.RCWrongState)
}

func (b *bench) commitParse(ctx context.Context) error {
	chain, _, err := b.sound(ctx)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		step  string
		chain []byte
	}{
		{"commit of a chain that is no certificate", garbageObject},
		{"commit of a chain cut short", chain[:len(chain)-1]},
		{"commit of a chain with a byte behind it", append(bytes.Clone(chain), 0)},
	} {
		if _, err := b.attempt(ctx, c.step, c.chain, nil, nil, enroll.RCChain); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) commitLength(ctx context.Context) error {
	_, issuers, err := b.sound(ctx)
	if err != nil {
		return err
	}
	above := []*Authority{issuers[0]}
	for i := range 3 {
		next, err := b.authority(nil, caTemplate(fmt.Sprintf("Test %d", i)))
		if err != nil {
			return err
		}
		// From the leaf up: each authority is certified anew by the next one.
		last := above[len(above)-1]
		if last.cert, err = sign(next, caTemplate(last.cert.Subject.CommonName), last.key.Public(), nil); err != nil {
			return err
		}
		above = append(above, next)
	}
	chain, err := b.under(above[0], above[1:]...)
	if err != nil {
		return err
	}
	_, err = b.attempt(ctx, "commit of a chain of five certificates", chain, nil, nil, enroll.RCChain)
	return err
}

func (b *bench) commitAnchors(ctx context.Context) error {
	chain, err := b.foreign(ctx, false)
	if err != nil {
		return err
	}
	_, err = b.attempt(ctx, "commit of anchors that are no certificate, and a chain for another key", chain, garbageObject, nil, enroll.RCChain)
	return err
}

func (b *bench) commitRework(ctx context.Context) error {
	chain, _, err := b.sound(ctx)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return err
	}
	p384, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	offCurve := bytes.Clone(b.keys)
	offCurve[len(offCurve)-1] ^= 1
	for _, c := range []struct {
		step string
		keys []byte
	}{
		{"commit of a rework key on P-384", p384},
		{"commit of a rework key whose point is not on P-256", offCurve},
		{"commit of a rework key with a byte behind it", append(bytes.Clone(b.keys), 0)},
		{"commit of three rework keys", slices.Concat(b.keys, b.keys, b.keys)},
	} {
		if _, err := b.attempt(ctx, c.step, chain, nil, c.keys, enroll.RCChain); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) commitKey(ctx context.Context) error {
	for _, c := range []struct {
		step   string
		broken bool
	}{{"commit of a chain for another key", false}, {"commit of a chain for another key, with a broken link", true}} {
		chain, err := b.foreign(ctx, c.broken)
		if err != nil {
			return err
		}
		if _, err := b.attempt(ctx, c.step, chain, nil, nil, enroll.RCKeyMismatch); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) commitKeyUsage(ctx context.Context) error {
	for _, c := range []struct {
		step  string
		usage x509.KeyUsage
	}{{"commit of a chain whose issuer has no keyUsage", 0}, {"commit of a chain whose issuer has keyUsage cRLSign only", x509.KeyUsageCRLSign}} {
		_, issuers, err := b.sound(ctx)
		if err != nil {
			return err
		}
		t := caTemplate("Test usage")
		t.KeyUsage = c.usage
		issuer, err := b.authority(issuers[1], t)
		if err != nil {
			return err
		}
		chain, err := b.under(issuer)
		if err != nil {
			return err
		}
		if _, err := b.attempt(ctx, c.step, chain, nil, nil, enroll.RCChain); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) commitRoot(ctx context.Context) error {
	if b.facts.Root == nil {
		return outside("the board pins no root")
	}
	chain, _, err := b.sound(ctx)
	if err != nil {
		return err
	}
	_, err = b.attempt(ctx, "commit of a sound chain under another root", chain, nil, nil, enroll.RCUntrusted)
	return err
}

func (b *bench) commitRootPath(ctx context.Context) error {
	const most = 3 // authorities in a chain
	if b.facts.Root == nil {
		return outside("the board pins no root")
	}
	if b.root == nil {
		return unchecked("the board pins a root; its test root and key are needed")
	}
	if err := b.knowKey(ctx); err != nil {
		return err
	}
	root := b.root.cert
	if root.MaxPathLen < 0 || root.MaxPathLen == 0 && !root.MaxPathLenZero || root.MaxPathLen >= most {
		return outside("the pinned root has no pathLen that a chain of four could break")
	}
	issuers := []*Authority{b.root}
	for i := range root.MaxPathLen + 1 {
		next, err := b.authority(issuers[0], caTemplate(fmt.Sprintf("Test %d", i)))
		if err != nil {
			return err
		}
		issuers = append([]*Authority{next}, issuers...)
	}
	chain, err := b.under(issuers[0], issuers[1:len(issuers)-1]...)
	if err != nil {
		return err
	}
	_, err = b.attempt(ctx, fmt.Sprintf("commit of a chain with %d authorities", len(issuers)-1), chain, nil, nil, enroll.RCUntrusted)
	return err
}

func (b *bench) commitAccept(ctx context.Context) error {
	if err := b.install(ctx); err != nil {
		return err
	}
	return b.stores(ctx, "commit", enroll.Installed)
}

func (b *bench) readBack(ctx context.Context) error {
	for _, o := range b.objects() {
		got, err := b.getAll(ctx, o.name)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, o.data) {
			return wrong("get of "+o.name, fmt.Sprintf("the %d bytes that were put, digest %x", len(o.data), sum(o.data)), "%d bytes, digest %x", len(got), sum(got))
		}
	}
	_, size, err := b.get(ctx, "chain", len(b.chain))
	if err == nil && size != len(b.chain) {
		err = wrong("get of chain at its end", fmt.Sprintf("len %d", len(b.chain)), "%d", size)
	}
	return err
}

func (b *bench) commitAgain(ctx context.Context) error {
	if err := b.installedBy(ctx, "commit of the stored digests", commitCall(b.chain, b.anchors, b.keys)); err != nil {
		return err
	}
	return b.stores(ctx, "commit of the stored digests", enroll.Installed)
}

// installedBy commits and demands state 2 in the answer.
func (b *bench) installedBy(ctx context.Context, step string, c call) error {
	return b.answersState(ctx, step, c, enroll.Installed)
}

func (b *bench) answersState(ctx context.Context, step string, c call, want enroll.State) error {
	var a struct {
		State *uint64 `cbor:"state"`
	}
	if err := b.accept(ctx, step, c, &a); err != nil {
		return err
	}
	expected := fmt.Sprintf("state %d", want)
	if a.State == nil {
		return wrong(step, expected, "no state")
	}
	if *a.State != uint64(want) {
		return wrong(step, expected, "state %d", *a.State)
	}
	return nil
}

func (b *bench) commitRefused(ctx context.Context) error {
	chain, err := b.foreign(ctx, false)
	if err != nil {
		return err
	}
	_, err = b.attempt(ctx, "commit of a chain for another key in state 2", chain, nil, nil, enroll.RCKeyMismatch)
	return err
}

func (b *bench) commitKeeps(ctx context.Context) error {
	if err := b.knowKey(ctx); err != nil {
		return err
	}
	certs, err := b.accepted()
	if err != nil {
		return err
	}
	chain := slices.Concat(certs...)
	if err := b.putAll(ctx, []object{{"chain", chain}}); err != nil {
		return err
	}
	if err := b.installedBy(ctx, "commit of another chain alone", commitCall(chain, nil, nil)); err != nil {
		return err
	}
	b.chain, b.certs = chain, certs
	return b.stores(ctx, "commit of another chain alone", enroll.Installed)
}
