// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/settings"
)

func newRootSign(f *rootFlags) *cobra.Command {
	var in, out, answer string
	var bounds authority.Constraints
	var forever bool
	window, longest := 365, 365
	c := &cobra.Command{
		Use: "sign", Short: "sign a station's intermediate and checkpoint key", Args: cobra.NoArgs,
		Long: `sign makes the certificates of a station's intermediate and of its checkpoint
key. With the answer to a challenge of this root it first checks that the keys
were made by the TPM that was challenged, and the certificate says so; without
one everything works and every result says "TPM not proven".`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := inOut(in, out, "--in is the station's request, --out what goes back to it"); err != nil {
				return err
			}
			if err := cmp.Or(lasting("window-days", window, maxYears), lasting("longest-days", longest, maxYears)); err != nil {
				return err
			}
			req, err := readRequest(in)
			if err != nil {
				return err
			}
			terms := authority.Terms{Window: time.Duration(window) * day, Longest: time.Duration(longest) * day, Constraints: bounds, Forever: forever}
			if answer != "" {
				if terms.Answer, err = readAnswer(answer); err != nil {
					return err
				}
			}
			root, err := f.open()
			if err != nil {
				return err
			}
			defer root.Close()
			s, err := root.Sign(req, terms)
			if err != nil {
				return usage(err, "nothing was signed")
			}
			if err := settings.Write(out, s.PEM, 0o644); err != nil {
				return usage(err, "name a writable file with --out next time; the certificates are in "+s.File)
			}
			return showSigned(c, req, s)
		},
	}
	c.Flags().StringVar(&in, "in", "", "the station's request")
	c.Flags().StringVar(&answer, "answer", "", "the station's answer to a challenge of this root")
	c.Flags().StringVar(&out, "out", "", "the certificates for: station ca install")
	c.Flags().IntVar(&window, "window-days", window, "days in which the station may issue")
	c.Flags().IntVar(&longest, "longest-days", longest, "lifetime in days of the longest profile it uses")
	c.Flags().BoolVar(&forever, "no-expiry", false, "no end of validity, for device identities that have none; --window-days still counts")
	c.Flags().StringSliceVar(&bounds.PermitDNS, "permit-dns", nil, "domains that names in devices' certificates must lie in")
	c.Flags().StringSliceVar(&bounds.ExcludeDNS, "exclude-dns", nil, "domains that they must not lie in")
	c.Flags().StringSliceVar(&bounds.PermitIP, "permit-ip", nil, "networks that addresses must lie in, as 10.1.0.0/16")
	c.Flags().StringSliceVar(&bounds.ExcludeIP, "exclude-ip", nil, "networks that they must not lie in")
	c.Flags().StringSliceVar(&bounds.PermitURI, "permit-uri", nil, "hosts that URIs must name; .example.com is all below")
	return c
}

func readAnswer(path string) (*ceremony.Answer, error) {
	text, err := settings.Read(path)
	if err != nil {
		return nil, usage(err, "name the station's answer with --answer")
	}
	a, err := ceremony.ParseAnswer(text)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %w", path, err), "ask the station for a new one: station ca answer")
	}
	return a, nil
}

func showSigned(c *cobra.Command, req *ceremony.Request, s *authority.Signed) error {
	w := c.OutOrStdout()
	fmt.Fprintf(w, "signed %s until %s, serial %x\n", s.Intermediate.Subject, s.Intermediate.NotAfter.Format(time.DateOnly), s.Intermediate.SerialNumber)
	if s.Checkpoint != nil {
		origin, _ := req.Origin()
		fmt.Fprintf(w, "signed the checkpoint key of ledger %s until %s, serial %x\n", origin, s.Checkpoint.NotAfter.Format(time.DateOnly), s.Checkpoint.SerialNumber)
	}
	fmt.Fprintf(w, "its key, SHA-256: %x\n", req.SPKI())
	note := ""
	if s.Proof == nil {
		note = ": compare that digest with the one the station shows"
	}
	_, err := fmt.Fprintf(w, "%s%s\n", s.TPM(), note)
	return err
}
