// SPDX-License-Identifier: Apache-2.0

package firmware_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"provisioning.example/station/internal/enroll"
)

// cuts is how often power is cut. Most cuts leave a copy half written or half
// erased; a test where few do would not show much.
const cuts = 16

// Power is cut while a Cortex-M3 writes: QEMU is killed at a random one of its
// stores to non-volatile memory. The state is then the one before or the one
// after, and the one after where the board had answered. That every write may be
// the last is shown by the C tests (test/test_store.c), which cut at each; here
// the same code runs on the target, with a port's real stores.
func TestCortexMPowerCut(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	ctx := deadline(t)
	cut := cutter{random: rand.New(rand.NewPCG(seed, 0)), b: newEmulated(t, *mps2Path, nil), p: newPlant(t)}
	cut.c = cut.b.connect(t)
	cut.now.token = token(t)
	if _, _, err := cut.c.Keygen(ctx, "ES256", cut.now.token, false); err != nil {
		t.Fatal(err)
	}
	after := 0
	for range cuts {
		if cut.step(ctx, t) {
			after++
		}
	}
	t.Logf("%d cuts, %d in the middle of a write; state after in %d of them", cuts, cut.torn, after)
	if cut.torn < cuts/4 {
		t.Errorf("only %d of %d cuts came in the middle of a write", cut.torn, cuts)
	}
}

// What a board holds: a key, and a chain when it is installed.
type holding struct {
	token [32]byte
	unit  *unit // nil: keyed
}

type cutter struct {
	random *rand.Rand
	b      *emulated
	p      *plant
	c      *talk
	now    holding
	torn   int // cuts that left a copy half written or half erased
}

// step installs a keyed board or replaces the key of an installed one, cuts its
// power, and looks at what it holds then; true: the state after.
func (k *cutter) step(ctx context.Context, t *testing.T) bool {
	t.Helper()
	if k.now.unit != nil {
		next := holding{token: token(t)}
		return k.cut(ctx, t, next, func(ctx context.Context) error {
			_, _, err := k.c.Keygen(ctx, "ES256", next.token, true)
			return err
		})
	}
	spki, _, err := k.c.Keygen(ctx, "ES256", k.now.token, false)
	if err != nil {
		t.Fatal(err)
	}
	u := &unit{spki: spki, pub: checkRequest(ctx, t, k.c, spki), anchors: k.p.root.Raw, rework: k.p.reworkObject(t)}
	u.chain = k.p.certify(t, u.pub)
	for obj, data := range map[string][]byte{"chain": u.chain, "anchors": u.anchors, "rework": u.rework} {
		if err := k.c.Put(ctx, obj, data); err != nil {
			t.Fatal(err)
		}
	}
	return k.cut(ctx, t, holding{k.now.token, u}, func(ctx context.Context) error {
		return k.c.Commit(ctx, *digest(u.chain), digest(u.anchors), digest(u.rework))
	})
}

func (k *cutter) cut(ctx context.Context, t *testing.T, next holding, write func(context.Context) error) bool {
	t.Helper()
	answered := k.killDuring(ctx, t, write)
	if k.half(t) {
		k.torn++
	}
	k.b.start(t)
	k.c = k.b.connect(t)
	if k.half(t) {
		t.Fatal("the copy that does not count was not wiped at boot")
	}
	after := k.holds(ctx, t, next)
	if !after && answered {
		t.Fatal("the board answered, and its storage forgot")
	}
	if !after && !k.holds(ctx, t, k.now) {
		t.Fatalf("neither the state before nor the one after: %+v", k.c.info)
	}
	if after {
		k.now = next
	}
	return after
}

// half tells whether both copies hold something: one is half of it.
func (k *cutter) half(t *testing.T) bool {
	t.Helper()
	copies := k.b.memory(t, copiesAt, copiesEnd)
	isErased := func(b []byte) bool { return len(bytes.Trim(b, "\xff")) == 0 }
	return !isErased(copies[:copySize]) && !isErased(copies[copySize:])
}

// killDuring cuts the power at a random store; true: the board had answered
// before it came so far.
func (k *cutter) killDuring(ctx context.Context, t *testing.T, write func(context.Context) error) bool {
	t.Helper()
	// A key takes 68 stores of 4 bytes, a commit here about 370, the erasure of
	// the old copy 2,048 more.
	limit := 1 + k.random.IntN([]int{75, 400, 2500}[k.random.IntN(3)])
	return k.c.cutDuring(ctx, t, k.b, copiesAt, copiesEnd-copiesAt, limit, write)
}

// cutDuring kills the board at a store to a range of its memory, while it is
// asked to do something; true: it had answered before it came so far.
func (c *talk) cutDuring(ctx context.Context, t *testing.T, b *emulated, from, size, limit int, do func(context.Context) error) bool {
	t.Helper()
	d := b.attach(ctx, t)
	d.watch(t, from, size)
	dying, cancel := context.WithCancel(ctx)
	defer cancel()
	done, stopped := make(chan error, 1), make(chan error, 1)
	go func() { done <- do(dying) }()
	go func() {
		var err error
		for n := 0; err == nil && n < limit; n++ {
			err = d.next()
		}
		stopped <- err
	}()
	select {
	case err := <-stopped:
		if err != nil {
			t.Fatal(err)
		}
		b.kill(t)
		cancel()
		if <-done == nil {
			t.Fatal("the board answered before it had stored all")
		}
		_ = c.client.Close() // of a line that is gone
		return false
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
		b.kill(t)
		_ = c.client.Close() // the same
		return true
	}
}

// holds asks the board whether it is in this state: the key works, the objects
// are whole.
func (k *cutter) holds(ctx context.Context, t *testing.T, want holding) bool {
	t.Helper()
	if want.unit != nil {
		if k.c.info.State != enroll.Installed || k.c.info.SPKI == nil || *k.c.info.SPKI != want.unit.spki {
			return false
		}
		want.unit.readBack(ctx, t, k.c)
		want.unit.prove(ctx, t, &k.b.board, k.c, "ES256", enroll.Installed)
		return true
	}
	if k.c.info.State != enroll.Keyed || k.c.info.SPKI == nil || k.c.info.Chain != nil {
		return false
	}
	spki, made, err := k.c.Keygen(ctx, "ES256", want.token, false)
	if err != nil || spki != *k.c.info.SPKI {
		t.Fatalf("keygen after the cut: %v", err)
	}
	if made {
		checkRequest(ctx, t, k.c, spki)
	}
	return made
}
