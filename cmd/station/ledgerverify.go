// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

// verifyFlags are those of ledger verify.
type verifyFlags struct {
	root, challenge string
	vkeys           []string
	details         bool
	trust           trustFlags
}

func newLedgerVerify(g *globals) *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use: "verify", Short: "is the ledger what was written? one line, and every finding", Args: cobra.NoArgs,
		Long: `verify hashes everything again, checks every signature and follows every unit.
The anchor is the root certificate: name your own copy with --root; without it
the one in the station's home is taken, which proves less.

With --challenge the TPM signs the counter's value over your own random number
now (openssl rand -hex 32): a copy of the ledger that is not the newest is found
out. With --vendor-roots the certificate of the TPM's endorsement key is checked
again, against vendors that you trust.

Exit codes: 0 valid, and its origin proven; 3 something is wrong; 5 nothing is
wrong, but an anchor is missing: origin, TPM or challenge are not proven; 6 valid,
but the station's intermediate or checkpoint key was revoked.`,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c, g) },
	}
	c.Flags().StringVar(&f.root, "root", "", "root certificate to judge by")
	c.Flags().StringArrayVar(&f.vkeys, "vkey", nil, "key of the ledger (C2SP signed-note) where the root did not certify it; may be repeated")
	c.Flags().StringVar(&f.challenge, "challenge", "", "your own random number, 16 to 64 bytes in hex or base64url: the TPM answers it now")
	c.Flags().BoolVar(&f.details, "details", false, "say what is complete, what lies after the last seal, and who vouches for what")
	f.trust.add(c)
	return c
}

func (f *verifyFlags) run(c *cobra.Command, g *globals) error {
	h, err := openHome(g.home)
	if err != nil {
		return err
	}
	a, err := f.anchors(h)
	if err != nil {
		return err
	}
	report, err := f.verify(c.Context(), h, a)
	if e := (*exitError)(nil); errors.As(err, &e) {
		return err
	}
	if err != nil {
		return unfit(fmt.Errorf("the ledger cannot be judged: %w", err), judgeHint(err))
	}
	if err := tellVerdict(c, g, report, f.details); err != nil {
		return err
	}
	switch report.Grade() {
	case audit.Invalid:
		return unfit(fmt.Errorf("the ledger has %d findings", report.Wrong), restoreHint)
	case audit.Unproven:
		return exit(exitUnproven, errors.New("nothing is wrong, but not all is proven"), "see what is missing with --details; name your own copy of the root certificate with --root, or the ledger's key with --vkey")
	case audit.Revoked:
		return exit(exitRevoked, errors.New("an authority of this ledger was revoked"), "ask who keeps the root what to do with the units; nothing more is provisioned with it")
	}
	return nil
}

// anchors are those of the home, and what the auditor brings along.
func (f *verifyFlags) anchors(h *home) (a audit.Anchors, err error) {
	if a, err = h.anchors(f.root); err != nil {
		return a, err
	}
	if a.Trust, err = f.trust.read(); err != nil {
		return a, err
	}
	for _, k := range f.vkeys {
		v, err := record.ParseVerifier(k)
		if err != nil {
			return a, usage(fmt.Errorf("--vkey: %w", err), "a key as C2SP signed-note writes it: NAME+HASH+KEY")
		}
		a.Keys = append(a.Keys, v)
	}
	if f.challenge != "" {
		if a.Nonce, err = record.ParseNonce(f.challenge); err != nil {
			return a, usage(err, "make one with: openssl rand -hex 32")
		}
	}
	return a, nil
}

// tellVerdict tells people in lines, programs in JSON.
func tellVerdict(c *cobra.Command, g *globals, v audit.Verdict, details bool) error {
	out := c.OutOrStdout()
	if g.json {
		text, err := audit.JSON(v)
		if err == nil {
			_, err = fmt.Fprintf(out, "%s\n", text)
		}
		return err
	}
	fmt.Fprintln(out, v.Verdict())
	findings, more := v.Found()
	for _, f := range findings {
		fmt.Fprintln(out, " ", f)
	}
	if more > 0 {
		fmt.Fprintf(out, "  and %d more\n", more)
	}
	if details {
		for _, line := range v.Details() {
			fmt.Fprintln(out, " ", line)
		}
	}
	return nil
}

// answered is a moment of the ledger, and the TPM's answer to a challenge.
type answered struct {
	*reader.Reader
	answer *record.Challenge
}

func (a answered) Challenge() *record.Challenge { return a.answer }

// verify audits a home's ledger; if it was challenged, with the TPM's answer of now.
func (f *verifyFlags) verify(ctx context.Context, h *home, a audit.Anchors) (*audit.Report, error) {
	if a.Nonce == nil {
		return auditLedger(ctx, h, a, nil, nil)
	}
	// The station's own program would seal meanwhile.
	if err := h.acquire(); err != nil {
		return nil, err
	}
	defer h.release()
	t, err := tpm.Open(ctx, tpm.Config{Spec: h.tpmSpec()})
	if err != nil {
		return nil, unfit(fmt.Errorf("the TPM %s: %w", h.cfg.TPM, err), "see: station doctor")
	}
	defer t.Close()
	counter, err := findCounter(ctx, t, h)
	if err != nil {
		return nil, unfit(err, "is this the TPM the home was made with? see: station doctor")
	}
	return auditLedger(ctx, h, a, func(moment *reader.Reader) (*record.Challenge, error) {
		answer, err := ledger.Answer(ctx, moment, h.cfg.Epoch, counter, a.Nonce)
		if errors.Is(err, ledger.ErrNoCounter) {
			return nil, usage(errors.New("this station has no counter in its TPM: it cannot answer a challenge"), "a home of before there were seals: station handover")
		}
		return answer, err
	}, nil)
}

// verifyLedger audits a home's ledger. root names the auditor's own root
// certificate, "" stands for the installed one.
func verifyLedger(ctx context.Context, h *home, root string) (*audit.Report, error) {
	a, err := h.anchors(root)
	if err != nil {
		return nil, err
	}
	return auditLedger(ctx, h, a, nil, nil)
}

// auditLedger audits one moment of a home's ledger: a station may be writing.
// ask, if given, has the TPM answer for that moment; tell, if given, is told of
// the progress.
func auditLedger(ctx context.Context, h *home, a audit.Anchors, ask func(*reader.Reader) (*record.Challenge, error), tell progressTold) (*audit.Report, error) {
	r, err := reader.Open(ctx, h.ledgerPath())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	tell.begin("Looking for damage in the file")
	if err := r.Check(ctx); err != nil {
		return nil, err
	}
	moment, err := r.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer moment.Close()
	source := answered{Reader: moment}
	if ask != nil {
		if source.answer, err = ask(moment); err != nil {
			return nil, err
		}
	}
	counted, err := follow(ctx, source, tell)
	if err != nil {
		return nil, err
	}
	return audit.Verify(ctx, counted, a)
}
