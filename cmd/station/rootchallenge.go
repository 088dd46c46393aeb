// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/settings"
)

// trustFlags say whom to believe about endorsement keys.
type trustFlags struct {
	vendors string
	pins    []string
}

func (f *trustFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.vendors, "vendor-roots", "", "folder of TPM vendors' certificates, PEM or DER")
	c.Flags().StringArrayVar(&f.pins, "ek-pin", nil, "SHA-256 of an endorsement key that is known to be the station's, in hex; may be repeated")
}

func newRootChallenge(f *rootFlags) *cobra.Command {
	var in, out string
	var trust trustFlags
	days := 14
	c := &cobra.Command{
		Use: "challenge", Short: "challenge a station's TPM: only the one that asked can answer", Args: cobra.NoArgs,
		Long: `challenge checks whose TPM a request comes from: by the certificate of its
endorsement key, which must lead to a root in --vendor-roots, or because the key
is known and named with --ek-pin. Then it seals a secret that only that TPM can
open. The challenge stands in the root's record and is good for one answer.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := inOut(in, out, "--in is the station's request, --out what goes back to it"); err != nil {
				return err
			}
			if err := lasting("days", days, 366); err != nil {
				return err
			}
			req, err := readRequest(in)
			if err != nil {
				return err
			}
			believed, err := trust.read()
			if err != nil {
				return err
			}
			root, err := f.open()
			if err != nil {
				return err
			}
			defer root.Close()
			challenge, by, err := root.Challenge(req, believed, time.Duration(days)*day, time.Time{})
			if err != nil {
				return usage(err, "nothing was challenged; root sign without a second round says: "+ceremony.NotProven)
			}
			if err := settings.Write(out, challenge.Encode(), 0o644); err != nil {
				return usage(err, "name a writable file with --out, and challenge again")
			}
			w := c.OutOrStdout()
			fmt.Fprintf(w, "challenged %s\nendorsement key, SHA-256: %x\nwho vouches for it: %s\n", challenge.Origin, req.Evidence().EK.Pin(), by)
			fmt.Fprintf(w, "good for one answer until %s\n", challenge.Expires.Format(time.RFC3339))
			fmt.Fprintln(w, "next, at the station: station ca answer --in challenge.pem --out answer.pem")
			return nil
		},
	}
	c.Flags().StringVar(&in, "in", "", "the station's request")
	c.Flags().StringVar(&out, "out", "", "the challenge for: station ca answer")
	c.Flags().IntVar(&days, "days", days, "days in which it can be answered")
	trust.add(c)
	return c
}

// read reads the folder and the pins.
func (f *trustFlags) read() (t ceremony.Trust, err error) {
	for _, text := range f.pins {
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != 32 {
			return t, usage(fmt.Errorf("--ek-pin %.80q", text), "64 hex digits, as station ca request shows them at the station itself")
		}
		t.Pins = append(t.Pins, [32]byte(b))
	}
	if f.vendors == "" {
		return t, nil
	}
	if t.Vendors, err = ceremony.ReadVendors(f.vendors); err != nil {
		return t, usage(err, "name a folder of certificates with --vendor-roots, and keep nothing else in such files there")
	}
	return t, nil
}
