// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/settings"
)

// crlFlags are those of ca crl.
type crlFlags struct {
	out    string
	days   int
	number int64
	// retired is the PIN of retired keys, where it is another than the CA key's.
	retired secretFlags
}

func newCACRL(g *globals) *cobra.Command {
	f := crlFlags{retired: secretFlags{fd: -1}}
	c := &cobra.Command{
		Use: "crl", Short: "sign the list of revoked certificates", Args: cobra.NoArgs,
		Long: `crl signs a revocation list with the TPM's key, puts it on record and writes it
as PEM: one list for the intermediate that issues, and one for each retired one
that needs it still, the issuing one first. Servers that take boards load the
file (mosquitto: crlfile; openssl verify: -CRLfile), and need the next one before
--days are over: a list that is overdue makes many of them refuse every board.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.days < 1 || f.days > authority.MaxCRLDays {
				return usage(fmt.Errorf("--days %d", f.days), fmt.Sprintf("1 to %d", authority.MaxCRLDays))
			}
			b, err := openAuthority(c.Context(), g)
			if err != nil {
				return err
			}
			defer b.Close()
			if f.out == "" {
				f.out = b.home.path("ca", "crl.pem")
			}
			return b.writeCRLs(c, g, f)
		},
	}
	c.Flags().StringVar(&f.out, "out", "", "where the lists go (default ca/crl.pem in the home)")
	c.Flags().IntVar(&f.days, "days", 30, "days until the next list is due")
	c.Flags().Int64Var(&f.number, "number", 0, "give it at least this number: after a restore, one more than the last list that is out there")
	c.Flags().StringVar(&f.retired.file, "retired-pin-file", "", "file that holds the PIN of retired keys, where it is another one")
	c.Flags().IntVar(&f.retired.fd, "retired-pin-fd", -1, "open descriptor that holds the PIN of retired keys, where it is another one")
	return c
}

// openAuthority opens a home for work with the CA key on no board: ledger, PIN
// and issuer.
func openAuthority(ctx context.Context, g *globals) (_ *bench, err error) {
	b, err := openLedger(ctx, g)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	ca, err := authority.Load(b.home.path("ca"))
	if err != nil {
		return nil, unfit(err, "install one: station ca request, station root sign, station ca install")
	}
	if err := b.settleCA(ctx, ca); err != nil {
		return nil, err
	}
	pin, err := g.pin.read("PIN of the CA key")
	if err != nil {
		return nil, err
	}
	return b, b.openIssuer(ctx, ca.Chain, pin)
}

// writeCRLs makes a list of each issuer, each on record before the file is written.
func (b *bench) writeCRLs(c *cobra.Command, g *globals, f crlFlags) error {
	retired, lost, err := b.retiredIssuers(c.Context(), f.retired)
	if err != nil {
		return err
	}
	issuers := append([]*issuer.Issuer{b.issuer}, retired...)
	var text []byte
	for _, i := range issuers {
		lostList, err := lostNumber(c.Context(), b.reader, i.KeyID())
		if err != nil {
			return unfit(err, "see: station ledger verify")
		}
		crl, body, err := authority.NewCRL(c.Context(), authority.CRLConfig{Reader: b.reader, Issuer: i, Days: f.days, Number: max(f.number, lostList+1)})
		if err != nil {
			return unfit(err, "nothing was signed that left; see: station doctor")
		}
		if err := b.note(c.Context(), body, crl.DER); err != nil {
			return err
		}
		text = append(text, authority.EncodeCRL(crl.Parsed)...)
		if err := tellCRL(c, g, crl, i); err != nil {
			return err
		}
	}
	if err := settings.Write(f.out, text, 0o644); err != nil {
		return usage(err, "name a writable file with --out; the lists are on record, another run makes newer ones")
	}
	listed := map[string]bool{}
	for _, i := range issuers {
		listed[i.KeyID()] = true
	}
	if err := b.tellOrphans(c, g, listed); err != nil {
		return err
	}
	for _, r := range lost {
		fmt.Fprintf(c.ErrOrStderr(), "no list of retired %s: its key is not in this TPM; if a certificate of it was revoked, the root must revoke serial %x\n",
			r.Intermediate().Subject, r.Intermediate().SerialNumber)
	}
	return nil
}

func tellCRL(c *cobra.Command, g *globals, crl *issuer.CRL, i *issuer.Issuer) error {
	l := crl.Parsed
	if g.json {
		return printJSON(c, map[string]any{
			"event": "crl", "issuer_key": i.KeyID(), "number": l.Number, "count": len(l.RevokedCertificateEntries),
			"this_update": l.ThisUpdate.UTC().Format(time.RFC3339), "next_update": l.NextUpdate.UTC().Format(time.RFC3339),
			"sha256": fmt.Sprintf("%x", crl.SHA256),
		})
	}
	fmt.Fprintln(c.OutOrStdout(), listWords(l))
	return nil
}

// orphan is an intermediate whose key signs no list any more although
// certificates of it were revoked, and still run.
type orphan struct {
	cert    *x509.Certificate
	revoked int
}

// orphans finds them among all intermediates that were ever installed, those of
// earlier epochs included. listed are the keys that do sign lists; what a list
// of the root in lists names is taken care of.
func orphans(ctx context.Context, r *reader.Reader, listed map[string]bool, lists []*x509.RevocationList, now time.Time) (all []orphan, err error) {
	seen := maps.Clone(listed)
	for at, more := (reader.Cursor{}), true; more; {
		page, next, older, err := r.Page(ctx, reader.Filter{Kinds: []string{record.KindCA}}, at, reader.MaxPage)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			if e.Body.Action != "installed" || e.Body.Cert == "" || seen[e.Body.IssuerKey] {
				continue
			}
			seen[e.Body.IssuerKey] = true
			o := orphan{}
			for v, err := range r.Revocations(ctx, e.Body.IssuerKey) {
				if err != nil {
					return nil, err
				}
				if v.NotAfter.IsZero() || v.NotAfter.After(now) {
					o.revoked++
				}
			}
			if o.revoked == 0 {
				continue
			}
			der, err := r.Blob(ctx, e.Body.Cert)
			if err != nil {
				return nil, err
			}
			if o.cert, err = x509.ParseCertificate(der); err != nil {
				return nil, fmt.Errorf("intermediate of entry %d: %w", e.Seq, err)
			}
			if !namedIn(lists, o.cert) {
				all = append(all, o)
			}
		}
		at, more = next, older
	}
	return all, nil
}

// namedIn says whether a list names a certificate. The lists are installed ones:
// their signatures were checked.
func namedIn(lists []*x509.RevocationList, cert *x509.Certificate) bool {
	return slices.ContainsFunc(lists, func(l *x509.RevocationList) bool {
		return bytes.Equal(l.RawIssuer, cert.RawIssuer) && slices.ContainsFunc(l.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
			return e.SerialNumber.Cmp(cert.SerialNumber) == 0
		})
	})
}

// tellOrphans warns of revoked certificates that no list can name.
func (b *bench) tellOrphans(c *cobra.Command, g *globals, listed map[string]bool) error {
	in, err := b.installedCA()
	if err != nil {
		return err
	}
	all, err := orphans(c.Context(), b.reader, listed, in.CRLs, time.Now())
	if err != nil {
		return unfit(err, "see: station ledger verify")
	}
	for _, o := range all {
		fmt.Fprintf(c.ErrOrStderr(), "WARNING: %d revoked certificates of %s are on no list: its key is not in this TPM; the root must revoke that intermediate: station root revoke --serial %x\n",
			o.revoked, o.cert.Subject, o.cert.SerialNumber)
		if !g.json {
			continue
		}
		if err := printJSON(c, map[string]any{
			"event": "unlisted", "issuer_key": hex.EncodeToString(o.cert.SubjectKeyId), "serial": fmt.Sprintf("%x", o.cert.SerialNumber), "count": o.revoked,
		}); err != nil {
			return err
		}
	}
	return nil
}
