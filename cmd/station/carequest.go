// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/record"
)

// requestFlags are those of ca request.
type requestFlags struct {
	org     string
	replace bool
	bare    bool
}

func newCARequest(g *globals) *cobra.Command {
	var f requestFlags
	c := &cobra.Command{
		Use: "request", Short: "ask the root for an intermediate, by file", Args: cobra.NoArgs,
		Long: `request writes ca/request.pem: the certification requests of the CA key and the
checkpoint key, and what the TPM says of itself and its keys. The root challenges
the TPM with it, and signs it. A request that is there already is kept while it is
for the same keys; after a change --replace puts it aside and writes a new one.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := ceremony.CheckOrganization(f.org); err != nil {
				return usage(fmt.Errorf("--org: %w", err), "1 to 64 bytes of text on one line, or leave it out")
			}
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer b.Close()
			pin, err := g.pin.read("PIN of the CA key")
			if err != nil {
				return err
			}
			req, err := b.requestCA(c.Context(), pin, f)
			if err != nil {
				return err
			}
			return b.showRequest(c, req)
		},
	}
	c.Flags().StringVar(&f.org, "org", "", "organization in the intermediate's name")
	c.Flags().BoolVar(&f.replace, "replace", false, "put a request that is there aside, and write a new one")
	c.Flags().BoolVar(&f.bare, "without-evidence", false, "leave out what the TPM says; then nothing is proven about it")
	return c
}

func (b *bench) showRequest(c *cobra.Command, req *ceremony.Request) error {
	w := c.OutOrStdout()
	fmt.Fprintf(w, "request for %s in %s\nits key, SHA-256: %x\n", req.Subject(), authority.RequestPath(b.home.path("ca")), req.SPKI())
	e := req.Evidence()
	if e == nil {
		fmt.Fprintf(w, "without evidence: the result will say %q\n", ceremony.NotProven)
		_, err := fmt.Fprintln(w, "next, at the root: station root sign --in request.pem --out certificates.pem")
		return err
	}
	fmt.Fprintf(w, "endorsement key of the TPM, SHA-256: %x\n", e.EK.Pin())
	if len(e.Certificates) > 0 {
		fmt.Fprintf(w, "certified by %s\n", e.Certificates[0].Issuer)
	} else {
		fmt.Fprintln(w, "the TPM holds no certificate for it: the root must know that digest, see --ek-pin there")
	}
	_, err := fmt.Fprintln(w, "next, at the root: station root challenge --in request.pem --out challenge.pem")
	return err
}

// requestCA writes the request and records it.
func (b *bench) requestCA(ctx context.Context, pin []byte, f requestFlags) (*ceremony.Request, error) {
	ca, checkpoint, err := b.authorityKeys(ctx, func() ([]byte, error) { return pin, nil })
	if err != nil {
		return nil, err
	}
	info := b.tpm.Info()
	config := authority.RequestConfig{
		Origin: b.ledger.Origin(), Organization: f.org, Simulated: info.Simulated, CA: ca, Checkpoint: checkpoint, Replace: f.replace,
	}
	if !f.bare {
		config.Evidence, err = authority.ReadEvidence(ctx, b.tpm, b.tpmKeys(), b.home.cfg.Keys.counterName())
		if errors.Is(err, authority.ErrNoCreation) {
			return nil, unfit(err, "this home was made by an older program: go on with --without-evidence, or make new keys with: station handover")
		}
		if err != nil {
			return nil, unfit(fmt.Errorf("what the TPM says of itself: %w", err), "see: station doctor; or go on with --without-evidence")
		}
	}
	req, err := authority.Request(b.home.path("ca"), config)
	if errors.Is(err, authority.ErrExists) {
		return nil, usage(err, "put it aside with --replace; what was signed for it can then not be installed any more")
	}
	if err != nil {
		return nil, unfit(err, "check PIN and TPM with: station doctor")
	}
	spki, text := req.SPKI(), req.Encode()
	return req, b.note(ctx, record.Body{
		Kind: record.KindCA, Action: "requested", SPKI: hex.EncodeToString(spki[:]), Request: digestOf(text), Simulated: info.Simulated, TPM: info.Kind,
	}, text)
}
