// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/settings"
	"provisioning.example/station/internal/tpm"
)

// restoreHint is the way on for a ledger that the TPM's counter, or an audit,
// refuses.
const restoreHint = "qa finds out what happened; nothing was changed. Bring back the newest copy: station ledger restore FILE --reason WHY --approver ID; if there is none, leave FILE out"

// ledgerHint is what to do about a ledger that does not open.
func ledgerHint(err error) string {
	var format *reader.FormatError
	var seal *ledger.SealError
	if errors.As(err, &format) || errors.As(err, &seal) || errors.Is(err, ledger.ErrNotSealed) || errors.Is(err, fs.ErrNotExist) {
		return judgeHint(err)
	}
	return "see: station ledger verify"
}

// judgeHint is what to do about a ledger that cannot be judged.
func judgeHint(err error) string {
	var format *reader.FormatError
	if errors.As(err, &format) && format.Newer {
		return "use the newer program that wrote it: see station version"
	}
	return restoreHint
}

// restoreConfig is the part of handover.toml that says the new epoch begins with
// a ledger that was brought back.
type restoreConfig struct {
	File       string `toml:"file"`
	Digest     string `toml:"sha256"`
	Aside      string `toml:"aside"` // folder beside the ledger for the one that was there
	Detail     string `toml:"detail"`
	NV         int64  `toml:"nv,omitempty"` // the TPM's counter
	Origin     string `toml:"origin,omitempty"`
	Size       int64  `toml:"size,omitempty"` // of the newest known checkpoint that is lost
	Checkpoint string `toml:"checkpoint_sha256,omitempty"`
	Lost       int64  `toml:"lost,omitempty"` // certificates that lost entries name
	Held       int64  `toml:"held,omitempty"` // lines of what lost entries took, and that stays taken
}

type restoreFlags struct {
	reason string
	known  []string
	accept bool
}

// restoring is a restore under way: a handover to the same TPM, with another
// ledger.
type restoring struct {
	*handing
	file string // what is brought back; the present ledger for the way out without a copy
	out  io.Writer
	loss *loss
}

func newLedgerRestore(g *globals) *cobra.Command {
	var f restoreFlags
	c := &cobra.Command{
		Use: "restore [FILE]", Short: "bring back a copy of the ledger: says first what is lost", Args: cobra.MaximumNArgs(1),
		Long: `restore puts a copy, as ledger backup makes it, into the ledger's place, and begins
a new epoch there with a new checkpoint key and a new counter in the TPM. Without
FILE it goes on from the present ledger: the way out where the TPM's counter
refuses it and no newer copy exists.

A copy that does not verify is refused. What would be lost is said first: against
the TPM's counter, the present ledger, and proofs, bundles or copies named with
--known. If something is lost, nothing is done without --accept-loss. Serials,
boards, keys and numbers of revocation lists that only lost entries had stay
taken, as far as a bundle or copy shows them. The ledger that was there is kept
in a folder beside it, with a list of the certificates that lost entries name;
both are recorded. Somebody else than who acts approves.

A restore that was interrupted goes on with the same command.`,
		RunE: func(c *cobra.Command, args []string) error {
			x, err := prepareRestore(c, g, f, args)
			if err != nil {
				return err
			}
			defer x.b.Close()
			if err := x.do(c.Context()); err != nil {
				return err
			}
			return x.report(g)
		},
	}
	c.Flags().StringVar(&f.reason, "reason", "", "why, for the ledger")
	c.Flags().StringArrayVar(&f.known, "known", nil, "a proof, bundle or copy that tells of later entries, may be repeated")
	c.Flags().BoolVar(&f.accept, "accept-loss", false, "go on although something is lost")
	return c
}

// prepareRestore finds out everything before anything is done.
func prepareRestore(c *cobra.Command, g *globals, f restoreFlags, args []string) (_ *restoring, err error) {
	b, err := openBare(g)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	p, err := g.signIn(b.home)
	if err != nil {
		return nil, err
	}
	b.who = p.ID
	x := &restoring{handing: &handing{b: b}, file: b.home.ledgerPath(), out: c.OutOrStdout()}
	if len(args) == 1 {
		x.file = args[0]
	}
	pending, err := b.home.pendingHandover()
	switch {
	case err != nil:
		return nil, err
	case pending != nil && pending.Restore == nil:
		return nil, interrupted(b.home)
	case pending != nil:
		x.cfg = *pending
		return x, b.openTPM(c.Context())
	case f.reason == "":
		return nil, usage(errors.New("a restore needs a reason"), "say why, for the ledger, with --reason")
	}
	h := b.home
	x.cfg = handoverConfig{Epoch: h.cfg.Epoch + 1, TPM: h.cfg.TPM, Reason: f.reason, Operator: b.who}
	if x.cfg.Approver, err = g.approvalIn(h); err != nil {
		return nil, err
	}
	if err := b.openTPM(c.Context()); err != nil {
		return nil, err
	}
	return x, x.examine(c.Context(), g, f)
}

// examine judges the copy and what it would lose, and writes nothing but the
// copy of it in a folder of its own.
func (x *restoring) examine(ctx context.Context, g *globals, f restoreFlags) error {
	h := x.b.home
	seal, key, err := x.oldKeys(ctx)
	if err != nil {
		return err
	}
	if fitLedger(ctx, h, seal) == nil {
		return usage(errors.New("the ledger verifies, and the TPM's counter stands where its last seal says: there is nothing to restore"), "see: station doctor")
	}
	if err := os.MkdirAll(filepath.Dir(x.taken()), 0o700); err != nil {
		return unfit(err, "the home must be writable")
	}
	digest, err := ledger.TakeIn(ctx, x.file, x.taken())
	if err == nil {
		err = judgeCopy(ctx, h, x.taken(), key)
	}
	if err != nil {
		x.forget()
		return unfit(fmt.Errorf("%s is refused: %w", x.file, err), "nothing was changed; bring another copy")
	}
	// Where the ledger in place is gone, only the copy tells who may approve.
	operators, err := h.operators()
	if err == nil {
		err = missingOperators(x.taken(), operators)
	}
	if err != nil {
		x.forget()
		return err
	}
	if x.loss, err = x.estimate(ctx, seal, key, f.known); err != nil {
		x.forget()
		return err
	}
	if err := x.loss.show(x.out, g.json); err != nil {
		return err
	}
	if !f.accept && x.loss.any() {
		x.forget()
		return unfit(errors.New("something would be lost; nothing was changed"), "bring a newer copy; if there is none, once more with --accept-loss")
	}
	x.cfg.Restore = x.loss.config(filepath.Base(x.file), digest, "aside-"+time.Now().UTC().Format(backupTime))
	return nil
}

// oldKeys looks for the checkpoint key and the counter of the epoch that ends;
// nil where the TPM does not hold them any more. Keys that stay are named for
// the new epoch.
func (x *restoring) oldKeys(ctx context.Context) (ledger.Counter, *record.Verifier, error) {
	h, k := x.b.home, x.b.home.cfg.Keys
	missing := func(err error) bool { return errors.Is(err, tpm.ErrNotFound) || errors.Is(err, tpm.ErrOtherTPM) }
	if k.Checkpoint == nil || k.CA == nil {
		return nil, nil, unfit(fmt.Errorf("%s has no keys", h.dir), "make the home anew with: station init")
	}
	_, err := x.b.tpm.Key(ctx, *k.CA, noPIN)
	checkpoint, keyErr := x.b.tpm.Key(ctx, *k.Checkpoint, noPIN)
	if missing(err) || missing(keyErr) {
		return nil, nil, unfit(errors.Join(err, keyErr), "a new or cleared TPM: put the newest copy into ledger/ledger.db of the home, then: station handover")
	}
	if err := errors.Join(err, keyErr); err != nil {
		return nil, nil, unfit(fmt.Errorf("look for the keys: %w", err), "see: station doctor")
	}
	origin, err := record.ParseOrigin(h.origin())
	if err != nil {
		return nil, nil, unfit(err, "mend station.toml")
	}
	v, err := record.NewVerifier(origin, checkpoint.Public())
	if err != nil {
		return nil, nil, unfit(err, "see: station doctor")
	}
	x.cfg.Keys = k
	x.cfg.Keys.Checkpoint, x.cfg.Keys.CheckpointCreation, x.cfg.Keys.Counter = nil, nil, nil
	x.cfg.Keys.Manifest, x.cfg.Keys.ManifestCreation = nil, nil
	counter, err := findCounter(ctx, x.b.tpm, h)
	if missing(err) {
		return nil, v, nil
	}
	return counter, v, err
}

// findCounter is the counter that station.toml names; nil if it names none.
func findCounter(ctx context.Context, t *tpm.TPM, h *home) (ledger.Counter, error) {
	if h.cfg.Keys.Counter == nil {
		return nil, nil
	}
	auth, err := os.ReadFile(h.authPath())
	if err != nil {
		return nil, unfit(err, "the checkpoint key's secret belongs into the home; bring it back from a backup")
	}
	c, err := t.Counter(ctx, *h.cfg.Keys.Counter, func() ([]byte, error) { return auth, nil })
	if err != nil {
		return nil, fmt.Errorf("the ledger's counter: %w", err)
	}
	return sealCounter{c}, nil
}

// fitLedger audits the home's ledger and holds its seals against the counter.
func fitLedger(ctx context.Context, h *home, counter ledger.Counter) error {
	report, err := verifyLedger(ctx, h, "")
	if err == nil && !report.OK() {
		err = errors.New(report.Verdict())
	}
	if err != nil {
		return err
	}
	r, err := reader.Open(ctx, h.ledgerPath())
	if err != nil {
		return err
	}
	defer r.Close()
	return ledger.CheckSeals(ctx, r, h.cfg.Epoch, counter)
}

// taken is where the copy waits that was taken in.
func (x *restoring) taken() string { return x.b.home.path("ledger", "restoring", "ledger.db") }

// aside is where the ledger is kept that was there.
func (x *restoring) aside() string { return x.b.home.path("ledger", x.cfg.Restore.Aside) }

// forget takes away the copy of a restore that is not done.
func (x *restoring) forget() { os.RemoveAll(filepath.Dir(x.taken())) }

func (x *restoring) do(ctx context.Context) error {
	for _, step := range x.steps() {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// steps is the one list of what a restore does, as that of a handover. If the
// power fails
//
//	before save        nothing was done; a copy lies in ledger/restoring
//	before place       handover.toml names the new keys made so far
//	during place       the old ledger is in its folder, whole; the other one
//	                   has its name or waits in ledger/restoring
//	after that         as with a handover
//
// and the same command goes on from there.
func (x *restoring) steps() []func(context.Context) error {
	return []func(context.Context) error{x.list, x.save, x.keys, x.place, x.ledger, x.certificates, x.station, x.end, x.try}
}

// list writes down what lost entries say of certificates, beside the ledger that
// is kept.
func (x *restoring) list(context.Context) error {
	if x.loss == nil {
		return nil // it was written before handover.toml
	}
	err := os.MkdirAll(x.aside(), 0o700)
	if err == nil && len(x.loss.Certificates) > 0 {
		err = settings.Write(x.listPath(), x.loss.list(), 0o600)
	}
	if err == nil && len(x.loss.held) > 0 {
		err = settings.Write(x.heldPath(), x.loss.lines(), 0o600)
	}
	if err != nil {
		return unfit(err, "the home must be writable")
	}
	return nil
}

const lostList = "lost.jsonl"

func (x *restoring) listPath() string { return filepath.Join(x.aside(), lostList) }

func (x *restoring) place(context.Context) error {
	if err := ledger.Replace(x.b.home.ledgerPath(), x.taken(), x.aside()); err != nil {
		return unfit(err, "the home must be writable; then the same command again")
	}
	x.forget()
	return nil
}

// ledger begins the epoch.
func (x *restoring) ledger(ctx context.Context) error {
	h, r := x.b.home, x.cfg.Restore
	c, err := ledgerConfig(ctx, x.b.tpm, x.cfg.Keys, x.auth, x.cfg.Operator, x.b.log)
	if err != nil {
		return unfit(err, "is this the TPM the restore was begun with?")
	}
	c.Path, c.Origin = h.ledgerPath(), originOf(h.cfg.Name, x.cfg.Epoch)
	lost, err := x.lostEntry()
	var taken ledger.Batch
	if err == nil {
		taken, err = x.heldEntries()
	}
	if err == nil {
		err = ledger.NextEpoch(ctx, c, record.Body{
			Kind: record.KindRestored, Operator: x.cfg.Operator, Approver: x.cfg.Approver, Reason: x.cfg.Reason, Software: software(),
			File: r.File, FileDigest: r.Digest, NV: r.NV, Detail: r.Detail, Origin: r.Origin, Size: r.Size, Checkpoint: r.Checkpoint,
		}, lost, taken)
	}
	if err != nil {
		return unfit(fmt.Errorf("begin epoch %d of the ledger: %w", x.cfg.Epoch, err), "see: station ledger verify")
	}
	return nil
}

// maxStoredList bounds the list that the ledger holds; a longer one is recorded
// by its digest and lies beside the old ledger only.
const maxStoredList = 16 << 20

// lostEntry records the list.
func (x *restoring) lostEntry() (b ledger.Batch, err error) {
	if x.cfg.Restore.Lost == 0 {
		return b, nil
	}
	list, err := os.ReadFile(x.listPath())
	if err != nil {
		return b, err
	}
	b.Bodies = []record.Body{{
		Kind: record.KindImport, What: "certificates of lost entries", File: lostList, FileDigest: digestOf(list), Count: x.cfg.Restore.Lost,
		Reason: x.cfg.Reason, Approver: x.cfg.Approver, Operator: x.cfg.Operator, Software: software(),
	}}
	if len(list) <= maxStoredList {
		b.Blobs = [][]byte{list}
	}
	return b, nil
}

// certificates keeps what is installed for the auditors of the epoch that ends.
// The intermediate stays in use: its key is the same. The request is for a
// checkpoint key that is not.
func (x *restoring) certificates(context.Context) error {
	h := x.b.home
	if h.cfg.Epoch >= x.cfg.Epoch {
		return nil
	}
	from, to := h.path("ca"), h.pastCA(x.cfg.Epoch-1)
	names, err := os.ReadDir(from)
	if err == nil {
		err = os.MkdirAll(to, 0o700)
	}
	for _, n := range names {
		var text []byte
		if err == nil && n.Type().IsRegular() {
			text, err = os.ReadFile(filepath.Join(from, n.Name()))
		}
		if err == nil && n.Type().IsRegular() {
			err = settings.Write(filepath.Join(to, n.Name()), text, 0o600)
		}
	}
	if err != nil {
		return unfit(fmt.Errorf("keep the certificates: %w", err), "the home must be writable")
	}
	return nil
}

func (x *restoring) report(g *globals) error {
	r, h := x.cfg.Restore, x.b.home
	if g.json {
		return json.NewEncoder(x.out).Encode(map[string]any{"event": "restored", "origin": h.origin(), "kept": x.aside(), "lost_certificates": r.Lost, "held": r.Held})
	}
	fmt.Fprintf(x.out, "the ledger goes on as %s; the one that was there is kept in %s\n", h.origin(), x.aside())
	if r.Lost > 0 {
		fmt.Fprintf(x.out, "%d certificates that lost entries name are listed in %s, and on record\n", r.Lost, x.listPath())
	}
	if r.Held > 0 {
		fmt.Fprintf(x.out, "what lost entries took (serials, boards, keys, list numbers) stays taken: %s, and on record; rework or scrap gives it back\n", x.heldPath())
	}
	_, err := fmt.Fprintln(x.out, "next: station ca request --replace; the root certifies the new checkpoint key; station ca install --replace")
	return err
}

// interrupted says what finishes a handover or restore that was begun.
func interrupted(h *home) error {
	what, remedy := "a handover to a new TPM was interrupted", "finish it with: station handover"
	if p, err := h.pendingHandover(); err == nil && p != nil && p.Restore != nil {
		what, remedy = "a restore of the ledger was interrupted", "finish it with: station ledger restore"
	}
	return unfit(errors.New(what), remedy)
}
