// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/settings"
)

func newProfileCheck(g *globals) *cobra.Command {
	var show specimenFlags
	c := &cobra.Command{
		Use: "check FILE|NAME", Short: "the certificate a profile makes, or the line that is wrong", Args: cobra.ExactArgs(1),
		Long: `check reads a profile - a file, or by name one of the station's home or a
built-in one - and shows the certificate it would make for a unit. Where the
home has an intermediate, its names and dates are taken, so that what the
station would refuse is refused here, for the same reason. The keys and
signatures of what is shown are thrown away: it is good for nothing but looking.`,
		RunE: func(c *cobra.Command, args []string) error {
			profile, err := findProfile(g, args[0])
			if err != nil {
				return err
			}
			s, err := show.make(g, profile)
			if err != nil {
				return err
			}
			if g.json {
				return s.writeJSON(c.OutOrStdout())
			}
			if !show.pem && !show.text {
				fmt.Fprintf(c.OutOrStdout(), "profile %s is right\n", profile.Name())
			}
			return s.write(c.OutOrStdout())
		},
	}
	show.add(c)
	return c
}

// findProfile takes a path, else a name as products give it.
func findProfile(g *globals, name string) (*issuer.Profile, error) {
	if strings.ContainsAny(name, `/\.`) || exists(name) {
		return readProfile(name)
	}
	if path := filepath.Join(g.home, "profiles", name+".toml"); exists(path) {
		return readProfile(path)
	}
	p, err := issuer.BuiltinProfile(name)
	if err != nil {
		return nil, usage(err, "name a file, a profile of the home, or a built-in one: station profile list")
	}
	return p, nil
}

// profileOfProduct finds the profile that a product names.
func profileOfProduct(g *globals, product, name string) (*issuer.Profile, error) {
	for _, dir := range []string{g.home, filepath.Join(filepath.Dir(product), "..")} {
		if path := filepath.Join(dir, "profiles", name+".toml"); exists(path) {
			return readProfile(path)
		}
	}
	p, err := issuer.BuiltinProfile(name)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: profile: %w", product, err), "name a built-in profile, or write "+filepath.Join(g.home, "profiles", name+".toml"))
	}
	return p, nil
}

func readProfile(path string) (*issuer.Profile, error) {
	raw, err := settings.Read(path)
	if err != nil {
		return nil, usage(err, "name a readable profile")
	}
	p, err := issuer.ParseProfile(path, raw)
	if err != nil {
		return nil, usage(err, "testdata/profile.toml shows every key")
	}
	return p, nil
}

// specimenFlags say which unit's certificate is shown, and how.
type specimenFlags struct {
	serial, uid, model, alg string
	vars                    []string
	pem, text               bool
}

func (f *specimenFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.serial, "serial", "SN-000123", "serial of the unit that is shown")
	c.Flags().StringVar(&f.uid, "uid", "8a3c00112233445566778899", "board ID of the unit that is shown, in hex")
	c.Flags().StringVar(&f.model, "model", "", "model of the unit that is shown")
	c.Flags().StringArrayVar(&f.vars, "var", nil, "a column of the unit list, NAME=VALUE, may be repeated")
	c.Flags().StringVar(&f.alg, "alg", "", "algorithm of the unit's key (default: the first one allowed)")
	c.Flags().BoolVar(&f.pem, "pem", false, "show the specimen in PEM")
	c.Flags().BoolVar(&f.text, "text", false, "show every field, worded as openssl x509 -text does")
}

// specimen is a certificate to look at.
type specimen struct {
	profile *issuer.Profile
	cert    *issuer.Certificate
	under   string // whose names the issuers have
	made    []string
	flags   specimenFlags
}

// make makes the certificate that the line would make for the unit.
func (f *specimenFlags) make(g *globals, p *issuer.Profile) (*specimen, error) {
	s := &specimen{profile: p, flags: *f, under: "no intermediate is installed: its issuers are made up"}
	u := issuer.Unit{Serial: f.serial, UID: strings.ToLower(f.uid), Model: f.model, Vars: map[string]string{}}
	if u.Model == "" {
		u.Model = "model"
	}
	for _, v := range f.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, usage(fmt.Errorf("--var %q", v), "NAME=VALUE is allowed")
		}
		u.Vars[name] = value
	}
	for _, name := range p.Variables() {
		if u.Vars[name] == "" {
			u.Vars[name] = name
			s.made = append(s.made, name)
		}
	}
	c := issuer.SpecimenConfig{Alg: f.alg, Unit: u}
	chain, err := installedChain(g)
	if err != nil {
		return nil, err
	}
	if chain != nil {
		c.Chain, s.under = chain, "its issuers have names and dates of those installed"
	}
	s.cert, err = p.Specimen(c)
	switch {
	case errors.Is(err, issuer.ErrWindow):
		return nil, unfit(err, "see: station ca status; without --home the profile is shown under issuers that are made up")
	case err != nil:
		return nil, usage(fmt.Errorf("the line would refuse this unit: %w", err), "change the profile, or the unit with --serial, --uid, --model, --var, --alg")
	}
	return s, nil
}

// installedChain is the chain of the home's intermediate; nil where there is no
// home, or none is installed.
func installedChain(g *globals) ([]*x509.Certificate, error) {
	in, err := authority.Load(filepath.Join(g.home, "ca"))
	switch {
	case errors.Is(err, authority.ErrNotInstalled) || errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, unfit(err, "see: station ca status")
	}
	return in.Chain, nil
}

func (s *specimen) write(w io.Writer) error {
	switch {
	case s.flags.pem:
		return pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: s.cert.DER})
	case s.flags.text:
		return columns(w, issuer.Fields(s.cert.Parsed))
	}
	if err := columns(w, s.profile.Words(s.cert.Parsed)); err != nil {
		return err
	}
	if len(s.made) > 0 {
		fmt.Fprintf(w, "the unit list must have: %s (shown with made-up values; give them with --var)\n", strings.Join(s.made, ", "))
	}
	_, err := fmt.Fprintf(w, "a specimen of %d bytes; %s\n", len(s.cert.DER), s.under)
	return err
}

// columns writes fields one a line, values below each other.
func columns(w io.Writer, fields []issuer.Field) error {
	width := 0
	for _, f := range fields {
		width = max(width, len(f.Name))
	}
	for _, f := range fields {
		mark := ""
		if f.Critical {
			mark = " (critical)"
		}
		if _, err := fmt.Fprintf(w, "  %-*s  %s%s\n", width, f.Name, f.Value, mark); err != nil {
			return err
		}
	}
	return nil
}

// specimenObject is a specimen for scripts.
type specimenObject struct {
	Profile    string          `json:"profile"`
	Base       string          `json:"base"`
	Settings   json.RawMessage `json:"settings"` // defaults filled in
	Digest     string          `json:"profile_sha256"`
	Variables  []string        `json:"variables"`
	Fields     []issuer.Field  `json:"fields"`
	NotAfter   time.Time       `json:"not_after"`
	Specimen   []byte          `json:"specimen"` // DER
	Issuers    string          `json:"issuers"`
	MadeUpVars []string        `json:"made_up,omitempty"`
}

func (s *specimen) writeJSON(w io.Writer) error {
	return json.NewEncoder(w).Encode(specimenObject{
		Profile: s.profile.Name(), Base: s.profile.Base(), Settings: s.profile.Canonical(), Digest: fmt.Sprintf("%x", s.profile.Digest()),
		Variables: append([]string{}, s.profile.Variables()...), Fields: issuer.Fields(s.cert.Parsed),
		NotAfter: s.cert.Parsed.NotAfter, Specimen: s.cert.DER, Issuers: s.under, MadeUpVars: s.made,
	})
}
