// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/settings"
	"provisioning.example/station/internal/tpm"
)

func newCAAnswer(g *globals) *cobra.Command {
	var in, out string
	c := &cobra.Command{
		Use: "answer", Short: "answer the root's challenge: the TPM shows that it has the keys", Args: cobra.NoArgs,
		Long: `answer opens the root's challenge in the TPM, which no other TPM can, and has it
say for each key that it was made there. No PIN is needed. Request, challenge and
answer are kept in the ledger, so that anybody can check them again later.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := inOut(in, out, "--in is the root's challenge, --out what goes back to it"); err != nil {
				return err
			}
			text, err := settings.Read(in)
			if err != nil {
				return usage(err, "name the root's challenge with --in")
			}
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer b.Close()
			answer, err := b.answerCA(c.Context(), text)
			if err != nil {
				return err
			}
			if err := settings.Write(out, answer.Encode(), 0o644); err != nil {
				return usage(err, "name a writable file with --out, and answer again")
			}
			fmt.Fprintf(c.OutOrStdout(), "answered challenge %x: the TPM speaks for %d keys\n", answer.ID, len(answer.Statements))
			fmt.Fprintln(c.OutOrStdout(), "next, at the root: station root sign --in request.pem --answer answer.pem --out certificates.pem")
			return nil
		},
	}
	c.Flags().StringVar(&in, "in", "", "the root's challenge")
	c.Flags().StringVar(&out, "out", "", "the answer for: station root sign --answer")
	return c
}

// answerCA answers a challenge and keeps the evidence in the ledger.
func (b *bench) answerCA(ctx context.Context, text []byte) (*ceremony.Answer, error) {
	challenge, err := ceremony.ParseChallenge(text)
	if err != nil {
		return nil, usage(err, "ask the root for a new one: station root challenge")
	}
	req, err := authority.ReadRequest(b.home.path("ca"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage(errors.New("there is no request that could be answered for"), "begin with: station ca request")
	}
	if err != nil {
		return nil, unfit(err, "put the file aside, and begin with: station ca request")
	}
	answer, err := authority.Respond(ctx, b.tpm, b.tpmKeys(), req, challenge, time.Time{})
	switch {
	case errors.Is(err, tpm.ErrNotFound), errors.Is(err, tpm.ErrLost), errors.Is(err, tpm.ErrOtherTPM):
		return nil, unfit(err, "is this the TPM the home was made with? see: station doctor")
	case err != nil:
		return nil, usage(err, "was this challenge made for this station's request as it is now? else ask the root for a new one")
	}
	info, request, said := b.tpm.Info(), req.Encode(), answer.Encode()
	blobs := [][]byte{request, challenge.Encode(), said}
	spki := req.SPKI()
	return answer, b.note(ctx, record.Body{
		Kind: record.KindCA, Action: "answered", SPKI: hex.EncodeToString(spki[:]), Request: digestOf(request),
		Challenge: digestOf(blobs[1]), Answer: digestOf(said), Simulated: info.Simulated, TPM: info.Kind,
	}, blobs...)
}
