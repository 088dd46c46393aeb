// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

// newCA is the station's side of its intermediate's life.
func newCA(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "ca", Short: "the intermediate: request, install, status"}
	c.AddCommand(newCARequest(g), newCAInstall(g), newCAStatus(g))
	return c
}

func newCARequest(g *globals) *cobra.Command {
	var org string
	c := &cobra.Command{
		Use: "request", Short: "ask the root for an intermediate, by file", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer b.Close()
			pin, err := g.pin.read("PIN of the CA key")
			if err != nil {
				return err
			}
			req, err := b.requestCA(c.Context(), pin, org)
			if err != nil {
				return err
			}
			path := authority.RequestPath(b.home.path("ca"))
			fmt.Fprintf(c.OutOrStdout(), "request for %s in %s\nits key, SHA-256: %x\n", req.Subject(), path, req.SPKI())
			fmt.Fprintf(c.OutOrStdout(), "next, at the root: station root sign --in request.pem --out answer.pem\n")
			return nil
		},
	}
	c.Flags().StringVar(&org, "org", "", "organization in the intermediate's name")
	return c
}

// requestCA writes the request and records it.
func (b *bench) requestCA(ctx context.Context, pin []byte, org string) (*authority.StationRequest, error) {
	ca, checkpoint, err := b.authorityKeys(ctx, func() ([]byte, error) { return pin, nil })
	if err != nil {
		return nil, err
	}
	info := b.tpm.Info()
	req, err := authority.Request(b.home.path("ca"), authority.RequestConfig{
		Origin: b.ledger.Origin(), Organization: org, Simulated: info.Simulated, CA: ca, Checkpoint: checkpoint,
	})
	if err != nil {
		return nil, unfit(err, "check PIN and TPM with: station doctor")
	}
	spki := req.SPKI()
	return req, b.note(ctx, record.Body{
		Kind: record.KindCA, Action: "requested", SPKI: hex.EncodeToString(spki[:]), Simulated: info.Simulated, TPM: info.Kind,
	})
}

// authorityKeys opens the CA key and the checkpoint key.
func (b *bench) authorityKeys(ctx context.Context, pin func() ([]byte, error)) (ca, checkpoint *tpm.Key, err error) {
	k := b.home.cfg.Keys
	if k.CA == nil || k.Checkpoint == nil {
		return nil, nil, unfit(fmt.Errorf("%s has no keys", b.home.dir), "make the home anew with: station init")
	}
	ca, err = b.tpm.Key(ctx, *k.CA, pin)
	if err == nil {
		checkpoint, err = b.tpm.Key(ctx, *k.Checkpoint, func() ([]byte, error) { return os.ReadFile(b.home.authPath()) })
	}
	if err != nil {
		return nil, nil, unfit(err, "is this the TPM the home was made with? see: station doctor")
	}
	return ca, checkpoint, nil
}

func newCAInstall(g *globals) *cobra.Command {
	var root string
	var replace bool
	c := &cobra.Command{
		Use: "install FILE...", Short: "install what came back from the root", Args: cobra.MinimumNArgs(1),
		Long: `install takes the answer of station root sign, or an intermediate that any other
root signed; then --root names that root's certificate.`,
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
			in, err := b.installCA(c.Context(), text, replace)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "installed %s, until %s\n%s\n", in.Intermediate().Subject, in.Intermediate().NotAfter.Format(time.DateOnly), in.TPM)
			if in.Checkpoint == nil {
				fmt.Fprintln(c.OutOrStdout(), "the root certified no checkpoint key: the ledger's verifier needs its key by hand")
			}
			return nil
		},
	}
	c.Flags().StringVar(&root, "root", "", "certificate of the root, where the answer does not hold it")
	c.Flags().BoolVar(&replace, "replace", false, "retire the intermediate that is installed")
	return c
}

// installCA checks the answer against the TPM's keys, installs and records it.
func (b *bench) installCA(ctx context.Context, text []byte, replace bool) (*authority.Installed, error) {
	ca, checkpoint, err := b.authorityKeys(ctx, noPIN)
	if err != nil {
		return nil, err
	}
	in, err := authority.Install(b.home.path("ca"), authority.Installation{
		Certificates: text, CA: ca.Public(), Checkpoint: checkpoint.Public(), Replace: replace,
	})
	if err != nil {
		return nil, usage(err, "nothing was installed; was this answer made for this station's request?")
	}
	return in, b.note(ctx, caEntry(in, b.tpm.Info()), in.Intermediate().Raw)
}

func caEntry(in *authority.Installed, t tpm.Info) record.Body {
	cert, root := in.Intermediate(), in.Root()
	return record.Body{
		Kind: record.KindCA, Action: "installed", Cert: digestOf(cert.Raw), CertSerial: hex.EncodeToString(cert.SerialNumber.Bytes()),
		NotBefore: record.Timestamp(cert.NotBefore), NotAfter: record.Timestamp(cert.NotAfter),
		IssuerKey: hex.EncodeToString(cert.SubjectKeyId), Root: digestOf(root.Raw), Simulated: t.Simulated, TPM: t.Kind, Detail: in.TPM,
	}
}

func digestOf(b []byte) string {
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:])
}

func newCAStatus(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "what the intermediate is and how long it lasts", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := openHome(g.home)
			if err != nil {
				return err
			}
			in, err := authority.Load(h.path("ca"))
			if err != nil {
				return unfit(err, "install one: station ca request, station root sign, station ca install")
			}
			show := func(what string, cert *x509.Certificate) {
				fmt.Fprintf(c.OutOrStdout(), "%-12s %s\n%12s serial %x, until %s\n", what, cert.Subject, "", cert.SerialNumber, cert.NotAfter.Format(time.DateOnly))
			}
			show("issuing", in.Intermediate())
			for _, up := range in.Chain[1:] {
				show("above", up)
			}
			if in.Checkpoint != nil {
				show("checkpoint", in.Checkpoint)
			}
			fmt.Fprintln(c.OutOrStdout(), in.TPM)
			return nil
		},
	}
}
