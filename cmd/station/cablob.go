// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/attest"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/settings"
)

// blobWarning is what an exported key is worth to whoever holds it.
const blobWarning = `Whoever holds the file, this TPM and the PIN can sign outside of the station and
its ledger. The file keeps today's PIN: it goes on loading after a change of the
PIN, until the TPM is cleared. Elsewhere than in this TPM it is worth nothing, so
it is no backup against the loss of the TPM.`

func newCABlob(g *globals) *cobra.Command {
	var out, reason string
	c := &cobra.Command{
		Use: "export-blob --out FILE --reason WHY", Short: "write the CA key as a file for openssl and tpm2-tools on this TPM", Args: cobra.NoArgs,
		Long: `export-blob has the TPM wrap the CA key once more and writes it as a TSS2 PRIVATE
KEY file (PEM), which the openssl tpm2 provider and tpm2-tools read. Nothing of
the key leaves the TPM in clear. A station never needs it, and no such file is
made otherwise. It is recorded before the file is written, and needs somebody's
approval.

` + blobWarning,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := exportBlob(c.Context(), g, out, reason); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "the CA key is in %s\n%s\n", out, blobWarning)
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "the file to write; it must not exist")
	c.Flags().StringVar(&reason, "reason", "", "why, for the ledger")
	return c
}

func exportBlob(ctx context.Context, g *globals, out, reason string) error {
	switch {
	case out == "" || reason == "":
		return usage(errors.New("--out and --reason are needed"), "name the file to write, and say why for the ledger")
	case exists(out):
		return usage(fmt.Errorf("%s is there already", out), "name a file that is not")
	}
	approver, err := g.approval()
	if err != nil {
		return err
	}
	b, err := openLedger(ctx, g)
	if err != nil {
		return err
	}
	defer b.Close()
	if b.home.cfg.Keys.CA == nil {
		return unfit(fmt.Errorf("%s has no CA key", b.home.dir), "see: station doctor")
	}
	pin, err := g.pin.read("PIN of the CA key")
	if err != nil {
		return err
	}
	defer clear(pin)
	ref := *b.home.cfg.Keys.CA
	file, err := b.tpm.ExportBlob(ctx, ref, pin)
	if err != nil {
		return b.caKeyUnfit(ctx, err)
	}
	k, err := attest.ParseKeyFile(file)
	if err == nil && k.Public.Name() != ref.Name {
		err = fmt.Errorf("it holds another key, %x", k.Public.Name())
	}
	if err != nil {
		return unfit(fmt.Errorf("the TPM's own export is no good: %w", err), "nothing was recorded or written; see: station doctor")
	}
	// If the power fails before this entry is on the disk, nothing has left the
	// process; after it, the ledger tells of a file that may not be there.
	if err := b.note(ctx, blobEntry(k, file, approver, reason)); err != nil {
		return err
	}
	if err := settings.Write(out, file, 0o600); err != nil {
		return usage(err, "the export is recorded, the file is not there; ask again with a writable --out")
	}
	return nil
}

func blobEntry(k *attest.KeyFile, file []byte, approver, reason string) record.Body {
	return record.Body{
		Kind: record.KindConfig, What: "private blob of the CA key", New: "exported", Approver: approver, Reason: reason,
		Detail: fmt.Sprintf("SHA-256 of the file %s, of the key %x", digestOf(file), k.Public.Pin()),
	}
}
