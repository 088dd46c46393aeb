// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/settings"
)

// renewFlags are those of ca renew.
type renewFlags struct {
	in, out, profile string
	ended            bool
}

func newCARenew(g *globals) *cobra.Command {
	var f renewFlags
	c := &cobra.Command{
		Use: "renew", Short: "renew the certificates of units that left: a folder of requests in, certificates out", Args: cobra.NoArgs,
		Long: `renew reads every file of a folder (.csr, .pem, .der, .req) as a request
(PKCS#10) signed by the key that a unit of this station was certified with, and
writes the new chain of each as PEM into another folder, named by the unit's
serial number, for delivery over the air. The unit keeps its name; lifetime and
key usage are those of the profile it was made with, or of --profile.

A unit that was renewed keeps that certificate until its last third: the same
folder again gives the same certificates. Refused, each with its reason: keys that
no unit here has, other names, requests that ask for more, units that were scrapped
or revoked or have not passed, certificates that have ended.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.in == "" || f.out == "" {
				return usage(errors.New("--in and --out are needed"), "--in is the folder of requests, --out that of certificates")
			}
			b, err := openAuthority(c.Context(), g)
			if err != nil {
				return err
			}
			defer b.Close()
			return b.renewFolder(c, g, f)
		},
	}
	c.Flags().StringVar(&f.in, "in", "", "folder of requests")
	c.Flags().StringVar(&f.out, "out", "", "folder for the certificates")
	c.Flags().StringVar(&f.profile, "profile", "", "profile of the new certificates (default: each unit's own)")
	c.Flags().BoolVar(&f.ended, "ended", false, "renew certificates that have ended, too")
	return c
}

// renewTotals count what became of a folder's files.
type renewTotals struct{ renewed, kept, refused int }

// renewFolder goes through a folder in portions, however many files it has.
func (b *bench) renewFolder(c *cobra.Command, g *globals, f renewFlags) error {
	dir, err := os.Open(f.in)
	if err != nil {
		return usage(err, "name the folder of requests with --in")
	}
	defer dir.Close()
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return usage(err, "name a folder that can be made with --out")
	}
	terms := provision.RenewalTerms{Issuer: b.issuer, Ended: f.ended, Profile: b.profiles(f.profile)}
	var totals renewTotals
	for {
		files, err := dir.ReadDir(256)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return usage(err, "the folder of requests must be readable")
		}
		for _, file := range files {
			if !isRequestFile(file) {
				continue
			}
			if err := c.Context().Err(); err != nil {
				return err
			}
			if err := b.renewFile(c, g, f, terms, file.Name(), &totals); err != nil {
				return err
			}
		}
	}
	return tellRenewed(c, g, totals)
}

func isRequestFile(file fs.DirEntry) bool {
	switch strings.ToLower(filepath.Ext(file.Name())) {
	case ".csr", ".pem", ".der", ".req":
		return file.Type().IsRegular()
	}
	return false
}

// profiles finds the profile of a unit: the one that was asked for, else the
// unit's own. Each file is read once.
func (b *bench) profiles(always string) func(string) (*issuer.Profile, error) {
	read := map[string]*issuer.Profile{}
	return func(name string) (*issuer.Profile, error) {
		if always != "" {
			name = always
		}
		if read[name] == nil {
			p, err := loadProfile(b.home, name)
			if err != nil {
				return nil, err
			}
			read[name] = p
		}
		return read[name], nil
	}
}

// renewFile answers one request. Only what is the station's fault ends the
// work; the certificates made so far are on record, and the next run writes
// them again.
func (b *bench) renewFile(c *cobra.Command, g *globals, f renewFlags, terms provision.RenewalTerms, name string, totals *renewTotals) error {
	der, err := readRequestFile(filepath.Join(f.in, name))
	var r *provision.Renewal
	if err == nil {
		r, err = b.desk().Renew(c.Context(), terms, der)
	}
	switch {
	case errors.Is(err, provision.ErrRefused):
		totals.refused++
		return tellRefused(c, g, name, err)
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, issuer.ErrWindow):
		return unfit(fmt.Errorf("%s: %w", name, err), "see: station ca status, station ca rotate")
	case err != nil:
		return unfit(fmt.Errorf("%s: %w", name, err), "mend it, see: station doctor; then run the same command again")
	}
	out := plainName(r.Serial) + ".pem"
	var text []byte
	for _, cert := range r.Chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...)
	}
	if err := settings.Write(filepath.Join(f.out, out), text, 0o644); err != nil {
		return usage(err, "name a writable folder with --out; the certificate is on record, the same command writes it")
	}
	word := "renewed"
	if r.Kept {
		word = "kept"
		totals.kept++
	} else {
		totals.renewed++
	}
	if g.json {
		return printJSON(c, map[string]any{
			"event": word, "file": name, "serial": r.Serial, "uid": r.UID, "cert_serial": r.CertSerial,
			"not_after": r.NotAfter.UTC().Format(time.RFC3339), "out": out, "seq": r.Seq,
		})
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%-8s %s: unit %s, until %s, in %s\n", word, name, r.Serial, r.NotAfter.UTC().Format(time.DateOnly), out)
	return err
}

func tellRefused(c *cobra.Command, g *globals, name string, err error) error {
	if g.json {
		return printJSON(c, map[string]any{"event": "refused", "file": name, "why": oneLine(err.Error())})
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%-8s %s: %s\n", "refused", name, strings.TrimPrefix(oneLine(err.Error()), "refused: "))
	return err
}

func tellRenewed(c *cobra.Command, g *globals, t renewTotals) error {
	if g.json {
		if err := printJSON(c, map[string]any{"event": "summary", "renewed": t.renewed, "kept": t.kept, "refused": t.refused}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(c.ErrOrStderr(), "%d renewed, %d kept, %d refused\n", t.renewed, t.kept, t.refused)
	}
	if t.renewed+t.kept+t.refused == 0 {
		return usage(errors.New("there is no request in the folder"), "files end in .csr, .pem, .der or .req")
	}
	if t.refused > 0 {
		return exit(exitUnits, fmt.Errorf("%d requests were refused", t.refused), "each line says why")
	}
	return nil
}

// maxRequestFile bounds a request as PEM, in bytes: base64 and line ends, text
// before it.
const maxRequestFile = 4 * issuer.MaxRequest

// readRequestFile reads a request as DER, or as PEM with one block. What it
// cannot be is refused, not an error of the station.
func readRequestFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", provision.ErrRefused, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxRequestFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", provision.ErrRefused, err)
	case len(text) > maxRequestFile:
		return nil, fmt.Errorf("%w: longer than %d bytes", provision.ErrRefused, maxRequestFile)
	case !bytes.Contains(text, []byte("-----BEGIN ")):
		return text, nil
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" || bytes.Contains(rest, []byte("-----BEGIN ")) {
		return nil, fmt.Errorf("%w: not one PEM block CERTIFICATE REQUEST", provision.ErrRefused)
	}
	return block.Bytes, nil
}

// plainName makes a serial number a file's name on any system: what could mean
// something else is written as %XX, so that no two serial numbers share one.
func plainName(serial string) string {
	var b strings.Builder
	for n := range len(serial) {
		c := serial[n]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' && n > 0
		if plain {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
