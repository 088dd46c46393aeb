// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

func newCAInstall(g *globals) *cobra.Command {
	var root string
	var replace bool
	c := &cobra.Command{
		Use: "install FILE...", Short: "install what came back from the root", Args: cobra.MinimumNArgs(1),
		Long: `install takes the certificates of station root sign, or an intermediate that any
other root signed; then --root names that root's certificate. The root's
revocation list may be among the files, or come later alone: a station whose
intermediate is in it provisions nothing any more.`,
		RunE: func(c *cobra.Command, args []string) error {
			text, err := readFiles(append(args, root)...)
			if err != nil {
				return usage(err, "name the file that came back from the root")
			}
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer b.Close()
			if authority.OnlyLists(text) {
				return b.installLists(c, text)
			}
			in, err := b.installCA(c.Context(), text, replace)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "installed %s, until %s\n%s\n", in.Intermediate().Subject, in.Intermediate().NotAfter.Format(time.DateOnly), in.TPM())
			if in.Checkpoint == nil {
				fmt.Fprintln(c.OutOrStdout(), "the root certified no checkpoint key: the ledger's verifier needs its key by hand")
			}
			return fit(in)
		},
	}
	c.Flags().StringVar(&root, "root", "", "certificate of the root, where the answer does not hold it")
	c.Flags().BoolVar(&replace, "replace", false, "retire the intermediate that is installed")
	return c
}

// fit says whether an authority may issue now.
func fit(in *authority.Installed) error {
	err := in.Fit(time.Now())
	if errors.Is(err, authority.ErrWindow) {
		return unfit(err, "have the root sign a new intermediate: station ca request, station root sign, station ca install --replace")
	}
	if err != nil {
		return unfit(err, "this station may not provision; ask who keeps the root")
	}
	return nil
}

// installCA checks the answer against the TPM's keys, installs and records it.
func (b *bench) installCA(ctx context.Context, text []byte, replace bool) (*authority.Installed, error) {
	ca, checkpoint, err := b.authorityKeys(ctx, noPIN)
	if err != nil {
		return nil, err
	}
	in, err := authority.Install(b.home.path("ca"), authority.Installation{
		Certificates: text, CA: ca.Public(), Checkpoint: checkpoint.Public(),
		Replace: replace || b.home.cfg.Keys.Next != nil, // of a rotation it was asked for
	})
	if errors.Is(err, authority.ErrExists) {
		return nil, usage(err, "nothing was installed; to retire the intermediate that is installed, and issue with this one: station ca install --replace FILE")
	}
	if err != nil {
		return nil, usage(err, "nothing was installed; was this made for this station's request?")
	}
	body, blobs := caEntry(in, b.tpm.Info())
	if err := b.note(ctx, body, blobs...); err != nil {
		return nil, err
	}
	return in, b.settleCA(ctx, in)
}

// installLists takes the root's newer revocation list.
func (b *bench) installLists(c *cobra.Command, text []byte) error {
	in, err := authority.InstallLists(b.home.path("ca"), text)
	if err != nil {
		return usage(err, "nothing was installed; is this the list of this station's root?")
	}
	for _, l := range in.CRLs {
		err := b.note(c.Context(), record.Body{Kind: record.KindCA, Action: "listed", CRL: digestOf(l.Raw), Detail: listWords(l)}, l.Raw)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "installed %s\n", listWords(l))
	}
	return fit(in)
}

func listWords(l *x509.RevocationList) string {
	return fmt.Sprintf("revocation list %d of %s: %d revoked, next by %s", l.Number, l.Issuer, len(l.RevokedCertificateEntries), l.NextUpdate.UTC().Format(time.DateOnly))
}

// caEntry says what was installed, and holds all of it but the root.
func caEntry(in *authority.Installed, t tpm.Info) (record.Body, [][]byte) {
	cert, root := in.Intermediate(), in.Root()
	b := record.Body{
		Kind: record.KindCA, Action: "installed", Cert: digestOf(cert.Raw), CertSerial: hex.EncodeToString(cert.SerialNumber.Bytes()),
		NotBefore: record.Timestamp(cert.NotBefore), NotAfter: record.Timestamp(cert.NotAfter),
		IssuerKey: hex.EncodeToString(cert.SubjectKeyId), Root: digestOf(root.Raw), Simulated: t.Simulated, TPM: t.Kind, Detail: in.TPM(),
	}
	blobs := [][]byte{cert.Raw}
	if in.Checkpoint != nil {
		b.CheckpointCert = digestOf(in.Checkpoint.Raw)
		blobs = append(blobs, in.Checkpoint.Raw)
	}
	if len(in.CRLs) > 0 {
		b.CRL = digestOf(in.CRLs[0].Raw)
		blobs = append(blobs, in.CRLs[0].Raw)
	}
	return b, blobs
}
