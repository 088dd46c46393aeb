// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/filter"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
)

// StepInfo names one step: Code stands in fault codes and in the ledger, Name
// on the card.
type StepInfo struct{ Code, Name string }

type step struct {
	StepInfo
	// deadline bounds the whole step, a busy board's 120 s (protocol, rc 13)
	// and the three tries of its slowest command included.
	deadline time.Duration
	do       func(*run, context.Context) error
}

// procedure is the one list of steps: the loop in run.go, the card's
// segments, the fault codes and the docs all come from it. Each step may be
// run again from its start after the link to the board was lost and is back.
func procedure() []step {
	return []step{
		{StepInfo{"CONNECT", "Connect to the board"}, 30 * time.Second, (*run).connect},
		{StepInfo{"FLASH", "Write the firmware"}, 30 * time.Minute, (*run).flash},
		{StepInfo{"KEY", "Make the key"}, 170 * time.Second, (*run).key},
		{StepInfo{"REQUEST", "Fetch the request"}, 180 * time.Second, (*run).request},
		{StepInfo{"ISSUE", "Sign the certificate"}, 120 * time.Second, (*run).issue},
		{StepInfo{"INSTALL", "Write the chain"}, 180 * time.Second, (*run).install},
		{StepInfo{"PROVE", "Read back and prove"}, 180 * time.Second, (*run).prove},
		{StepInfo{"REHEARSE", "Rehearse the TLS handshake"}, 170 * time.Second, (*run).rehearse},
		{StepInfo{"LOCK", "Lock the board"}, 170 * time.Second, (*run).lock},
		{StepInfo{"RECEIPT", "Restart and prove again"}, 180 * time.Second, (*run).receipt},
	}
}

// Steps lists the steps of the procedure in order.
func Steps() []StepInfo {
	var out []StepInfo
	for _, s := range procedure() {
		out = append(out, s.StepInfo)
	}
	return out
}

// connect opens the port, reads who is there and decides from the ledger what
// is left to do for this unit.
func (r *run) connect(ctx context.Context) error {
	if err := r.st.fit(); err != nil {
		return &fault{"F-RECORD-03", err}
	}
	info, err := r.dial(ctx)
	if err != nil {
		return err
	}
	r.info = info
	if err := r.fits(); err != nil {
		return err
	}
	if r.st.cfg.Product.image == nil {
		if err := r.suits(); err != nil {
			return err
		}
	}
	if err := r.st.enter(r); err != nil {
		return err
	}
	if r.history, err = r.st.history(ctx, r.info.Model, r.uid()); err != nil {
		return err
	}
	r.attempt = r.history.attempts + 1
	if err := r.notElsewhere(filter.Board, r.info.Model+"/"+r.uid(), "F-CONNECT-20"); err != nil {
		return err
	}
	if err := r.plan(); err != nil {
		return err
	}
	if err := r.chooseSerial(ctx); err != nil {
		return err
	}
	if err := r.notElsewhere(filter.Serial, r.serial, "F-CONNECT-21"); err != nil {
		return err
	}
	if r.cn, r.sn, err = r.st.subject(r.unit()); err != nil {
		return err
	}
	return r.ownName(ctx)
}

// fits tells whether this is a board of the product.
func (r *run) fits() error {
	p, i := r.st.cfg.Product, r.info
	switch {
	case i.Proto != 1:
		return &fault{"F-CONNECT-03", fmt.Errorf("the board speaks protocol %d, this station 1", i.Proto)}
	case i.Model != p.cfg.Model:
		return &fault{"F-CONNECT-04", fmt.Errorf("model %q, the product is %q", i.Model, p.cfg.Model)}
	}
	return nil
}

// suits compares what the board's firmware says of itself with what the product
// demands: of the firmware that the product brings along, if it brings any.
func (r *run) suits() error {
	p, i := r.st.cfg.Product, r.info
	root := sha256.Sum256(r.st.cfg.Issuer.Root().Raw)
	switch {
	case i.Prot&p.prot != p.prot:
		return &fault{"F-CONNECT-07", fmt.Errorf("protection bits %04b, demanded %04b", i.Prot, p.prot)}
	case !slices.Contains(i.Algs, p.cfg.Algorithm):
		return &fault{"F-CONNECT-08", fmt.Errorf("the board offers %v, the product wants %s", i.Algs, p.cfg.Algorithm)}
	case max(len(p.anchors), len(r.st.cfg.ReworkKeys)) > i.Max:
		return &fault{"F-CONNECT-22", fmt.Errorf("anchors of %d bytes, rework keys of %d, the board takes %d", len(p.anchors), len(r.st.cfg.ReworkKeys), i.Max)}
	case i.Root != nil && *i.Root != root:
		return &fault{"F-CONNECT-12", fmt.Errorf("pinned root %x, this line's is %x", i.Root[:8], root[:8])}
	}
	return nil
}

// key has the board make its own key, unless it holds one the ledger knows.
//
// Commit point: the append of begun and key claims serial, board ID and key
// for this unit. A crash before it leaves a key on the board that no ledger
// knows; the next run replaces it. A crash after it finds the key known and
// goes on with it.
func (r *run) key(ctx context.Context) error {
	if r.keep {
		r.spki = *r.info.SPKI
		return r.begin(ctx)
	}
	replace := r.info.State != enroll.Blank
	spki, isNew, err := r.session.Keygen(ctx, r.st.cfg.Product.cfg.Algorithm, r.token, replace)
	if err != nil {
		return err
	}
	if !isNew {
		return &fault{"F-KEY-03", errors.New(`the board answered "new": false to a new token`)}
	}
	r.spki = spki
	r.session.Expect(r.info.UID, &spki)
	if err := r.newKey(ctx); err != nil {
		return err
	}
	b := r.body(record.KindKey)
	b.Alg, b.Token = r.st.cfg.Product.cfg.Algorithm, hexOf(r.token[:])
	b.Made, b.Claims = true, r.claims()
	if err := r.append(ctx, ledger.Batch{Bodies: append(r.superseded(), b)}); err != nil {
		return err
	}
	r.claimed = true
	r.st.committed("key")
	return nil
}

// request fetches a CSR over a fresh nonce and checks it. A unit whose
// certificate or TBS is on record already needs none.
func (r *run) request(ctx context.Context) error {
	if r.keep && (r.history.issued != nil || r.unsigned()) {
		return nil
	}
	return r.fetchRequest(ctx)
}

func (r *run) fetchRequest(ctx context.Context) error {
	rand.Read(r.nonce[:])
	der, err := r.session.CSR(ctx, r.cn, r.sn, r.nonce)
	if err != nil {
		return err
	}
	r.req, err = issuer.ParseRequest(der, issuer.Expect{
		CN: r.cn, SN: r.sn, Nonce: r.nonce, Alg: r.st.cfg.Product.cfg.Algorithm, SPKI: r.spki,
	})
	if err != nil {
		return err
	}
	return r.newRandom(ctx)
}

// issue gets the certificate: from the ledger when this key has one, else by
// the TPM's signature over a TBS that is on record first.
//
// Commit points: issuing holds the whole TBS; after a crash behind it nothing
// has left the station, and the next run signs exactly that TBS. issued holds
// the certificate; only then may its bytes leave, and every later run of this
// key installs the same one.
func (r *run) issue(ctx context.Context) error {
	if err := r.st.clockSane(); err != nil {
		return err
	}
	if r.keep && r.history.issued != nil {
		return r.adopt(ctx)
	}
	if r.tbs == nil {
		if err := r.recordTBS(ctx); err != nil {
			return err
		}
	}
	cert, err := r.st.cfg.Issuer.Sign(ctx, r.tbs, r.spki)
	if err != nil {
		return fmt.Errorf("sign the certificate: %w", err)
	}
	if err := r.st.cfg.Profile.Lint(cert.Parsed); err != nil {
		return &fault{"F-ISSUE-05", err}
	}
	r.st.committed("signed")
	b := r.issued(cert)
	if err := r.append(ctx, ledger.Batch{Bodies: []record.Body{b}, Blobs: [][]byte{cert.DER}}); err != nil {
		return err
	}
	r.st.committed("issued")
	r.setChain(r.st.cfg.Issuer.Chain(cert.DER), cert.Serial)
	return nil
}

// install writes chain, anchors and rework keys, and has the board take all
// of them at once. A board that already stores exactly these is left alone.
func (r *run) install(ctx context.Context) error {
	if r.stores() {
		return nil
	}
	if r.info.State == enroll.Locked {
		return &fault{"F-PROVE-02", errors.New("the locked board stores other objects than the ledger knows")}
	}
	var digests [3]*[32]byte
	for i, o := range r.objects() {
		if len(o.data) == 0 {
			continue
		}
		if err := r.session.Put(ctx, o.name, o.data); err != nil {
			return fmt.Errorf("write %s: %w", o.name, err)
		}
		d := sha256.Sum256(o.data)
		digests[i] = &d
	}
	if err := r.session.Commit(ctx, *digests[0], digests[1], digests[2]); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	r.st.committed("installed")
	r.info.State, r.info.Chain, r.info.Anchors, r.info.Rework = enroll.Installed, digests[0], digests[1], digests[2]
	return nil
}

// prove reads every object back, compares it byte by byte, and has the board
// sign a fresh nonce over what its storage holds.
func (r *run) prove(ctx context.Context) error {
	for _, o := range r.objects() {
		if len(o.data) == 0 {
			continue
		}
		got, err := r.session.Get(ctx, o.name)
		if err != nil {
			return fmt.Errorf("read %s back: %w", o.name, err)
		}
		if !bytes.Equal(got, o.data) {
			return fmt.Errorf("%w: %s differs", enroll.ErrReadBack, o.name)
		}
	}
	r.readBack = sha256.Sum256(r.chain)
	_, err := r.proof(ctx, r.info.State)
	return err
}

// rehearse runs a real TLS 1.3 handshake in which the board signs as the
// client. A board that was locked when it came refuses to (protocol, state 3):
// plan let it in because the ledger holds its rehearsal.
//
// Commit point: the proven entry. The lock cannot be undone, so what allows it
// is on record first; a crash behind it finds the board's proofs in the ledger.
func (r *run) rehearse(ctx context.Context) error {
	if r.came == enroll.Locked {
		r.rehearsal = r.history.proven.Rehearsal
		return nil
	}
	p := r.st.cfg.Product
	t, err := r.session.Rehearse(ctx, enroll.Rehearsal{
		Chain:  r.links,
		Roots:  r.st.roots,
		Alg:    p.cfg.Algorithm,
		Target: p.cfg.Rehearse, ServerRoots: p.serverRoots,
	})
	if err != nil {
		return err
	}
	r.rehearsal = hexOf(t.Hash[:])
	b := r.body(record.KindProven)
	b.Cert, b.CertSerial, b.ChainReadBack, b.Rehearsal = digestHex(r.cert), r.certSerial, hexOf(r.readBack[:]), r.rehearsal
	if err := r.append(ctx, ledger.Batch{Bodies: []record.Body{b}}); err != nil {
		return err
	}
	r.st.committed("proven")
	return nil
}

// lock ends the board's time on the bench and believes it only when the board
// shows the state itself.
func (r *run) lock(ctx context.Context) error {
	if !*r.st.cfg.Product.cfg.Lock || r.info.State == enroll.Locked {
		return nil
	}
	if err := r.session.Lock(ctx, sha256.Sum256(r.chain)); err != nil {
		return err
	}
	info, err := r.session.Info(ctx)
	if err != nil {
		return err
	}
	if info.State != enroll.Locked {
		return &fault{"F-LOCK-01", fmt.Errorf("after lock the board is %s", info.State)}
	}
	r.info = info
	r.st.committed("locked")
	return nil
}

// receipt restarts the board and has it sign once more over what it stores:
// that signature, with all its inputs, is kept in the ledger. A board whose
// port goes away with the restart comes here again with another boot, and is
// not restarted twice.
func (r *run) receipt(ctx context.Context) error {
	want := enroll.Installed
	if *r.st.cfg.Product.cfg.Lock {
		want = enroll.Locked
	}
	if *r.st.cfg.Product.cfg.Reset {
		if r.boot == nil {
			boot := r.info.Boot
			r.boot = &boot
		}
		if r.info.Boot == *r.boot {
			info, err := r.session.Reset(ctx)
			if err != nil {
				return err
			}
			r.info = info
		}
	}
	if r.info.State != want || r.info.Chain == nil || *r.info.Chain != sha256.Sum256(r.chain) {
		return &fault{"F-RECEIPT-02", fmt.Errorf("after the restart the board is %s", r.info.State)}
	}
	receipt, err := r.proof(ctx, want)
	r.signed = receipt
	return err
}
