// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/filter"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/settings"
)

func newFilterImport(g *globals) *cobra.Command {
	var by filterAnchors
	c := &cobra.Command{
		Use: "import FILE", Short: "refuse from now on what another station has used", Args: cobra.ExactArgs(1),
		Long: `import checks that the file is what the other station's ledger says it exported,
records it, and keeps it in the home. The ledger's key is known by the
certificate in the file, which the root must have issued and not have revoked
since, or is given with --key.
A newer file of the same station replaces an older one.`,
		RunE: func(c *cobra.Command, args []string) error {
			raw, err := readFilter(args[0])
			if err != nil {
				return usage(err, "name a file that another station wrote: station ledger filter export")
			}
			f, err := filter.Parse(raw)
			if err != nil {
				return usage(fmt.Errorf("%s: %w", args[0], err), "have the file exported again")
			}
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer b.Close()
			if err := b.checkFilter(f, by); err != nil {
				return usage(fmt.Errorf("%s: %w", args[0], err), "nothing was imported; have the file exported again, or name the right --key or --root")
			}
			if err := b.importFilter(c.Context(), f, raw, filepath.Base(args[0])); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s of station %s are refused from now on\n", counts(f.Set), f.Set.Station())
			return nil
		},
	}
	c.Flags().StringVar(&by.key, "key", "", "verifier key of the other ledger, as text or in a file")
	c.Flags().StringVar(&by.root, "root", "", "root certificate that issued the other station's checkpoint key (default: this station's)")
	c.Flags().StringVar(&by.list, "crl", "", "the root's newest revocation list (besides those that ca install took)")
	return c
}

// filterAnchors is by what a file of another station is judged.
type filterAnchors struct{ key, root, list string }

// checkFilter says whether the set is the one that the ledger it names exported.
func (b *bench) checkFilter(f *filter.File, by filterAnchors) error {
	origin, err := record.ParseOrigin(f.Set.Origin())
	if err != nil {
		return err
	}
	if err := authority.CheckStation(origin.Station); err != nil {
		return err
	}
	if origin.Station == b.ledger.Origin().Station {
		return fmt.Errorf("these are used values of %s itself: its own ledger knows them", origin.Station)
	}
	v, err := b.filterVerifier(f, origin, by)
	if err != nil {
		return err
	}
	proof, err := record.ParseProof(f.Proof)
	if err != nil {
		return err
	}
	if _, err := proof.Verify(v, f.Entry); err != nil {
		return err
	}
	body, err := record.Decode(f.Entry)
	if err != nil {
		return err
	}
	digest := f.Digest()
	switch {
	case body.Kind != record.KindExport || body.Format != filterFormat:
		return fmt.Errorf("the entry in it is no export of used values but %s %s", body.Kind, body.Format)
	case body.FileDigest != hex.EncodeToString(digest[:]) || body.To != f.Set.Size() || body.Station != origin.Station:
		return errors.New("the values in it are not those that the ledger's entry names")
	}
	return nil
}

// filterVerifier is the key of the other ledger: the given one, else the one
// that the root certified for this origin.
func (b *bench) filterVerifier(f *filter.File, origin record.Origin, by filterAnchors) (*record.Verifier, error) {
	if key := by.key; key != "" {
		if !strings.Contains(key, "+") || exists(key) {
			text, err := settings.Read(key)
			if err != nil {
				return nil, err
			}
			key = string(bytes.TrimSpace(text))
		}
		v, err := record.ParseVerifier(key)
		if err == nil && v.Origin() != origin {
			err = fmt.Errorf("the key is of %s, the values are of %s", v.Origin(), origin)
		}
		return v, err
	}
	if len(f.Certificate) == 0 {
		return nil, errors.New("it has no certificate of its ledger's key: give the key with --key")
	}
	cert, err := x509.ParseCertificate(f.Certificate)
	if err != nil {
		return nil, fmt.Errorf("certificate of its ledger's key: %w", err)
	}
	anchor, lists, err := b.filterRoot(by)
	if err != nil {
		return nil, err
	}
	if err := cert.CheckSignatureFrom(anchor); err != nil {
		return nil, fmt.Errorf("the certificate of its ledger's key was not issued by %s: %w", anchor.Subject, err)
	}
	name, err := issuer.LedgerOrigin(cert)
	if err == nil && name != origin.String() {
		err = fmt.Errorf("the certificate is for the ledger %s, the values are of %s", name, origin)
	}
	if err == nil {
		err = notRevoked(cert, anchor, lists)
	}
	if err != nil {
		return nil, err
	}
	return record.NewVerifier(origin, cert.PublicKey)
}

// notRevoked looks a certificate up in what the root took back. A list that the
// root did not sign says nothing of it.
func notRevoked(cert, root *x509.Certificate, lists []*x509.RevocationList) error {
	for _, l := range lists {
		if !bytes.Equal(l.RawIssuer, root.RawSubject) || l.CheckSignatureFrom(root) != nil {
			continue
		}
		for _, e := range l.RevokedCertificateEntries {
			if e.SerialNumber.Cmp(cert.SerialNumber) == 0 {
				return fmt.Errorf("the root revoked the key of that ledger at %s (list %d, serial %x): what it signs is not believed any more",
					e.RevocationTime.UTC().Format(time.RFC3339), l.Number, cert.SerialNumber)
			}
		}
	}
	return nil
}

// filterRoot is the root that is believed, and the revocation lists at hand.
func (b *bench) filterRoot(by filterAnchors) (root *x509.Certificate, lists []*x509.RevocationList, err error) {
	in, err := authority.Load(b.home.path("ca"))
	switch {
	case err == nil:
		root, lists = in.Root(), in.CRLs
	case by.root == "":
		return nil, nil, err
	}
	if by.root != "" {
		if root, err = readCertificate(by.root); err != nil {
			return nil, nil, err
		}
	}
	if by.list == "" {
		return root, lists, nil
	}
	l, err := readList(by.list)
	if err == nil {
		err = l.CheckSignatureFrom(root)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("--crl %s: it is no revocation list of %s: %w", by.list, root.Subject, err)
	}
	return root, append(lists, l), nil
}

func readList(path string) (*x509.RevocationList, error) {
	text, err := settings.Read(path)
	if err != nil {
		return nil, err
	}
	if b, _ := pem.Decode(text); b != nil {
		text = b.Bytes
	}
	return x509.ParseRevocationList(text)
}

// importFilter records the file, then keeps it. A crash between the two leaves
// a file that the ledger does not know: the line does not open before the
// import is done again.
func (b *bench) importFilter(ctx context.Context, f *filter.File, raw []byte, name string) error {
	last, err := imports(ctx, b.reader)
	if err != nil {
		return err
	}
	if was, known := last[f.Set.Station()]; known && older(f.Set, was) {
		return usage(fmt.Errorf("it is older than what was imported: %s with %d entries, known are %s with %d", f.Set.Origin(), f.Set.Size(), was.Origin, was.Size),
			"have a new one exported")
	}
	sum := sha256.Sum256(raw)
	err = b.note(ctx, record.Body{
		Kind: record.KindImport, What: filterWhat, File: record.Plain(name, 256), FileDigest: hex.EncodeToString(sum[:]),
		Origin: f.Set.Origin(), Size: f.Set.Size(), Detail: counts(f.Set),
	})
	if err != nil {
		return err
	}
	path := b.home.filterPath(f.Set.Station())
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return unfit(err, "the home must be writable")
	}
	if err := settings.Write(path, raw, 0o644); err != nil {
		return unfit(err, "the home must be writable; then import the file again")
	}
	return nil
}
