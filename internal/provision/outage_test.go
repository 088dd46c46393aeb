// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

// outageEnv tells this test binary, started again, to be the station whose
// power is cut, by this plan.
const outageEnv = "PROVISION_TEST_OUTAGE"

type outagePlan struct {
	Bench, Disk string
	Old, New    []string // boards of before, which must pass; and those of this round
	Point       string   // where it stops, once the old ones are done
	Mutant      bool     // sends before it records
	SignOff     bool     // no boards: somebody signs for what was made
}

// gate stops the station at one point, for good, and says so: there its power
// is cut.
type gate struct {
	point   string
	armed   atomic.Bool
	sealing atomic.Bool
}

func (g *gate) at(point string) {
	if point == g.point && g.armed.CompareAndSwap(true, false) {
		fmt.Println("at", point)
		select {}
	}
}

// gatedTPM is the TPM's counter and checkpoint key, with a gate before and
// after what they do.
type gatedTPM struct {
	*tpm.Counter
	crypto.Signer
	gate *gate
}

func (g gatedTPM) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if g.gate.sealing.Load() {
		g.gate.at("seal")
	} else {
		g.gate.at("checkpoint")
	}
	return g.Signer.Sign(r, digest, o)
}

func (g gatedTPM) Increment(ctx context.Context) (uint64, error) {
	g.gate.at("increment")
	value, err := g.Counter.Increment(ctx)
	g.gate.at("incremented")
	return value, err
}

func (g gatedTPM) Certify(ctx context.Context, qualifying [32]byte) (uint64, []byte, []byte, error) {
	g.gate.at("certify")
	value, said, err := g.Counter.Certify(ctx, qualifying)
	g.gate.at("certified")
	return value, said.Attest, said.Signature, err
}

// sealed is the configuration of a ledger on a disk that the bench's TPM seals.
func (b *crashOpen) sealed(ctx context.Context, disk string, g *gate) (ledger.Config, error) {
	c := ledger.Config{Path: filepath.Join(disk, "ledger.db"), Seal: record.Body{Operator: "os:test", Software: "station test"}}
	key, err := b.tpm.Key(ctx, b.keys.Checkpoint, crashPIN)
	if err != nil {
		return c, err
	}
	counter, err := b.tpm.Counter(ctx, b.keys.Counter, crashPIN)
	if err != nil {
		return c, err
	}
	gated := gatedTPM{counter, key, g}
	c.Signer, c.Counter, c.Origin = gated, gated, origin
	return c, nil
}

// outageStation is the station's program: it finishes the old boards, then
// begins with the new ones, makes a seal, and says what it has shown.
func outageStation(raw string) error {
	var plan outagePlan
	if err := json.Unmarshal([]byte(raw), &plan); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	b, err := openCrashTPM(ctx, plan.Bench)
	if err != nil {
		return err
	}
	g := &gate{point: plan.Point}
	config, err := b.sealed(ctx, plan.Disk, g)
	if err != nil {
		return err
	}
	if b.ledger, err = ledger.Open(ctx, config); err != nil {
		return err
	}
	defer b.close()
	if plan.SignOff {
		return b.signOff(ctx)
	}
	var bad atomic.Int32
	st, err := b.outageLine(ctx, len(plan.Old)+len(plan.New), func(e provision.Result) {
		if err := b.show(e, g); err != nil {
			bad.Add(1)
			fmt.Fprintln(os.Stderr, err)
		}
	})
	if err != nil {
		return err
	}
	st.OnCommit(g.at)
	if plan.Mutant {
		st.SendFirst()
	}
	for _, boards := range [][]string{plan.Old, plan.New} {
		for _, socket := range boards {
			st.Attach(0, socket, "")
		}
		st.Provision()
		if err := st.Wait(ctx); err != nil {
			return err
		}
		g.armed.Store(true)
	}
	if bad.Load() > 0 {
		return fmt.Errorf("%d boards did not pass", bad.Load())
	}
	g.sealing.Store(true)
	if err := b.ledger.Seal(ctx, "shift"); err != nil {
		return err
	}
	fmt.Println("at done")
	if plan.Point != "" {
		select {} // until the power is cut
	}
	return nil
}

// signOff signs for all that nobody has signed for.
func (b *crashOpen) signOff(ctx context.Context) error {
	d := provision.Desk{Ledger: b.ledger, Operator: "os:test", Software: "station test"}
	spans, err := d.Spans(ctx, provision.Scope{})
	if err != nil || len(spans) == 0 {
		return err
	}
	_, err = d.SignOff(ctx, spans, provision.Statement{Meaning: "reviewed", Reason: "end of the shift"})
	return err
}

// outageLine is a station over boards at sockets.
func (b *crashOpen) outageLine(ctx context.Context, slots int, ended func(provision.Result)) (*provision.Station, error) {
	product, err := provision.NewProduct(provision.ProductConfig{Name: "gw-2", Model: "virtual-board"})
	if err != nil {
		return nil, err
	}
	profile, err := issuer.BuiltinProfile("mtls")
	if err != nil {
		return nil, err
	}
	return provision.New(ctx, provision.Config{
		Ledger: b.ledger, Reader: b.ledger.Reader(), Issuer: b.issuer, Profile: profile, Product: product,
		Operator: "os:test", Software: "station test", Slots: max(slots, 1), Open: dialWire,
		Observe: func(e provision.Event) {
			if e.End != nil {
				ended(*e.End)
			}
		},
	})
}

// show says that a unit has passed, by which entry and under which checkpoint.
func (b *crashOpen) show(e provision.Result, g *gate) error {
	if e.Outcome != record.Passed {
		return fmt.Errorf("slot %d: %w", e.Slot, e.Fault)
	}
	c, found, err := b.ledger.Reader().NewestCheckpoint(context.Background())
	if err != nil || !found {
		return fmt.Errorf("no checkpoint: %w", err)
	}
	fmt.Println("passed", e.Entry, e.Serial, e.CertSHA256, base64.StdEncoding.EncodeToString(c.Note))
	g.at("passed")
	return nil
}

func digestOf(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
