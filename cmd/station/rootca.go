// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/settings"
)

// newRootCA is the offline root's side. It knows nothing of a station's home.
func newRootCA(*globals) *cobra.Command {
	c := &cobra.Command{Use: "root", Short: "the offline root: make one, sign a station's intermediate"}
	dir, pass := "", secretFlags{fd: -1}
	c.PersistentFlags().StringVar(&dir, "root", "root", "the root's folder")
	c.PersistentFlags().StringVar(&pass.file, "passphrase-file", "", "file that holds the root key's passphrase")
	c.PersistentFlags().IntVar(&pass.fd, "passphrase-fd", -1, "open descriptor that holds the root key's passphrase")
	c.AddCommand(newRootCreate(&dir, &pass), newRootSign(&dir, &pass), newRootLog(&dir))
	return c
}

func newRootCreate(dir *string, pass *secretFlags) *cobra.Command {
	var cn, org string
	var years int
	c := &cobra.Command{
		Use: "create", Short: "make a root: an encrypted key file and its certificate", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			phrase, err := pass.readNew("new passphrase of the root key")
			if err != nil {
				return err
			}
			subject := pkix.Name{CommonName: cn}
			if org != "" {
				subject.Organization = []string{org}
			}
			r, err := authority.CreateRoot(*dir, authority.RootConfig{Subject: subject, Years: years}, phrase)
			if err != nil {
				return usage(err, "a root is never overwritten; its folder must be new, its passphrase have 12 bytes or more")
			}
			fmt.Fprintf(c.OutOrStdout(), "made root %s, valid until %s, in %s\n", r.Certificate().Subject, r.Certificate().NotAfter.Format(time.DateOnly), *dir)
			return nil
		},
	}
	c.Flags().StringVar(&cn, "cn", "", "common name of the root")
	c.Flags().StringVar(&org, "org", "", "organization of the root")
	c.Flags().IntVar(&years, "years", 20, "years of validity, 1 to 50")
	return c
}

func newRootSign(dir *string, pass *secretFlags) *cobra.Command {
	var in, out string
	window, longest := 365, 365
	c := &cobra.Command{
		Use: "sign", Short: "sign a station's intermediate and checkpoint key", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if in == "" || out == "" {
				return usage(errors.New("--in and --out are needed"), "--in is the station's request, --out what goes back to it")
			}
			text, err := settings.Read(in)
			if err != nil {
				return usage(err, "name the station's request with --in")
			}
			req, err := authority.ParseRequest(text)
			if err != nil {
				return usage(fmt.Errorf("%s: %w", in, err), "ask the station for a new one: station ca request")
			}
			phrase, err := pass.read("passphrase of the root key")
			if err != nil {
				return err
			}
			root, err := authority.OpenRoot(*dir, phrase)
			if err != nil {
				return usage(err, "check --root and the passphrase")
			}
			day := 24 * time.Hour
			a, err := root.Sign(req, authority.Terms{Window: time.Duration(window) * day, Longest: time.Duration(longest) * day})
			if err != nil {
				return usage(err, "nothing was signed")
			}
			if err := settings.Write(out, a.PEM, 0o644); err != nil {
				return usage(err, "name a writable file with --out; the answer also lies in the root's folder")
			}
			w := c.OutOrStdout()
			fmt.Fprintf(w, "signed %s until %s, serial %x\n", a.Intermediate.Subject, a.Intermediate.NotAfter.Format(time.DateOnly), a.Intermediate.SerialNumber)
			fmt.Fprintf(w, "its key, SHA-256: %x\n%s: compare that digest with the one the station shows\n", req.SPKI(), a.TPM)
			return nil
		},
	}
	c.Flags().StringVar(&in, "in", "", "the station's request")
	c.Flags().StringVar(&out, "out", "", "the answer for: station ca install")
	c.Flags().IntVar(&window, "window-days", window, "days in which the station may issue")
	c.Flags().IntVar(&longest, "longest-days", longest, "lifetime in days of the longest profile it uses")
	return c
}

func newRootLog(dir *string) *cobra.Command {
	return &cobra.Command{
		Use: "log", Short: "what this root has signed", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			entries, err := authority.RootLog(*dir)
			if err != nil {
				return usage(err, "name the root's folder with --root")
			}
			for _, e := range entries {
				fmt.Fprintf(c.OutOrStdout(), "%s  %-12s  %x  %s  until %s\n", e.Time.Format(time.DateTime), e.Kind,
					e.Certificate.SerialNumber, e.Certificate.Subject, e.Certificate.NotAfter.Format(time.DateOnly))
			}
			return nil
		},
	}
}

// readFiles reads files one behind the other, as Install takes them.
func readFiles(paths ...string) ([]byte, error) {
	var out []byte
	for _, p := range paths {
		if p == "" {
			continue
		}
		b, err := settings.Read(p)
		if err != nil {
			return nil, err
		}
		out = append(append(out, b...), '\n')
	}
	if len(out) == 0 {
		return nil, os.ErrNotExist
	}
	return out, nil
}
