// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

func newCARotate(g *globals) *cobra.Command {
	var f requestFlags
	var curve string
	c := &cobra.Command{
		Use: "rotate", Short: "make a new CA key and ask the root for its intermediate", Args: cobra.NoArgs,
		Long: `rotate makes a new CA key in the TPM, with the PIN of the present one, and writes
the request for its intermediate. The present intermediate goes on issuing until
the answer is installed (station ca install): that switches over and retires it.
Its key stays in the TPM and signs its revocation lists until its last certificate
has ended (station ca crl). Boards that it certified and that are not finished yet
are finished with its chain.

The same command again goes on with the key that was made.`,
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := openLedger(c.Context(), g)
			if err != nil {
				return err
			}
			defer b.Close()
			in, err := authority.Load(b.home.path("ca"))
			if err != nil {
				return usage(err, "there is nothing to rotate yet; begin with: station ca request")
			}
			pin, err := g.pin.read("PIN of the CA key")
			if err != nil {
				return err
			}
			req, err := b.rotate(c.Context(), in, pin, curve, f)
			if err != nil {
				return err
			}
			return b.showRequest(c, req)
		},
	}
	c.Flags().StringVar(&f.org, "org", "", "organization in the intermediate's name (default: as in the present one)")
	c.Flags().BoolVar(&f.bare, "without-evidence", false, "leave out what the TPM says; then nothing is proven about it")
	c.Flags().StringVar(&curve, "curve", "", "curve of the new key: P-256 or P-384 (default: that of the present one)")
	return c
}

// rotate makes the next CA key, if there is none yet, and the request for it.
//
// If the power fails before station.toml is saved, a key nobody knows is left
// in the TPM, and the next call makes another. Behind it, the next call goes on
// with the key. The installed intermediate issues through all of it.
func (b *bench) rotate(ctx context.Context, in *authority.Installed, pin []byte, curve string, f requestFlags) (*ceremony.Request, error) {
	if err := b.settleCA(ctx, in); err != nil {
		return nil, err
	}
	k := &b.home.cfg.Keys
	if k.CA == nil {
		return nil, unfit(fmt.Errorf("%s has no CA key", b.home.dir), "see: station doctor")
	}
	key, err := b.tpm.Key(ctx, *k.CA, func() ([]byte, error) { return pin, nil })
	if err == nil {
		err = tryPIN(ctx, key)
	}
	if err != nil {
		return nil, b.caKeyUnfit(ctx, err)
	}
	if k.Next == nil {
		if err := b.makeNext(ctx, in, pin, curve); err != nil {
			return nil, err
		}
	}
	if o := in.Intermediate().Subject.Organization; f.org == "" && len(o) > 0 {
		f.org = o[0]
	}
	f.replace = true
	return b.requestCA(ctx, pin, f)
}

func (b *bench) makeNext(ctx context.Context, in *authority.Installed, pin []byte, name string) error {
	var curve elliptic.Curve
	if public, ok := in.Intermediate().PublicKey.(*ecdsa.PublicKey); ok {
		curve = public.Curve
	}
	if name != "" {
		var err error
		if curve, err = curves(name); err != nil {
			return err
		}
	}
	ref, creation, err := b.tpm.CreateKey(ctx, tpm.CA, curve, pin)
	if err != nil {
		return unfit(fmt.Errorf("make the next CA key in the TPM: %w", err), "is the TPM free, and does it have the curve?")
	}
	b.home.cfg.Keys.Next, b.home.cfg.Keys.NextCreation = &ref, &creation
	return b.home.save()
}

// requested is the CA key that requests and answers are about: the next one
// while a rotation is under way.
func (k homeKeys) requested() (*tpm.KeyRef, *tpm.Creation) {
	if k.Next != nil {
		return k.Next, k.NextCreation
	}
	return k.CA, k.CACreation
}

// settleCA finishes what an installation that was cut off left undone. The
// installed file says which intermediate issues; station.toml and the ledger
// follow it, before anything is signed:
//
//	the next key's certificate is installed  the next key becomes the CA key
//	it is not on record                      the installed entry
//	a retired one is not on record as such   the retired entry
func (b *bench) settleCA(ctx context.Context, in *authority.Installed) error {
	k := &b.home.cfg.Keys
	if k.Next != nil {
		next, err := b.tpm.Key(ctx, *k.Next, noPIN)
		if err != nil {
			return unfit(fmt.Errorf("the next CA key: %w", err), "see: station doctor")
		}
		if same(next, in) {
			k.Retired = append(k.Retired, k.CA)
			k.CA, k.CACreation, k.Next, k.NextCreation = k.Next, k.NextCreation, nil, nil
			if err := b.home.save(); err != nil {
				return err
			}
		}
	}
	body, blobs := caEntry(in, b.tpm.Info())
	if err := b.noteOnce(ctx, body, blobs...); err != nil {
		return err
	}
	retired, err := authority.Retired(b.home.path("ca"))
	if err != nil {
		return unfit(err, "the folder ca of the home was damaged; bring it back from a backup")
	}
	for _, r := range retired {
		cert := r.Intermediate()
		err := b.noteOnce(ctx, record.Body{
			Kind: record.KindCA, Action: "retired", Cert: digestOf(cert.Raw), CertSerial: hex.EncodeToString(cert.SerialNumber.Bytes()),
			NotBefore: record.Timestamp(cert.NotBefore), NotAfter: record.Timestamp(cert.NotAfter), IssuerKey: hex.EncodeToString(cert.SubjectKeyId),
		}, cert.Raw)
		if err != nil {
			return err
		}
	}
	return nil
}

// noteOnce records what became of an intermediate, unless that is on record.
func (b *bench) noteOnce(ctx context.Context, body record.Body, blobs ...[]byte) error {
	entries, err := b.reader.EntriesOf(ctx, reader.Query{Cert: body.Cert, Kinds: []string{record.KindCA}})
	if err != nil {
		return unfit(err, "see: station ledger verify")
	}
	if slices.ContainsFunc(entries, func(e record.Entry) bool { return e.Body.Action == body.Action }) {
		return nil
	}
	return b.note(ctx, body, blobs...)
}

// same says whether a key is that of an intermediate.
func same(key *tpm.Key, in *authority.Installed) bool {
	public, ok := key.Public().(*ecdsa.PublicKey)
	return ok && public.Equal(in.Intermediate().PublicKey)
}

// retiredIssuers are the issuers that still need revocation lists, besides the
// one that issues. One whose key was only certified anew is none of them: its
// certificates are in the list of the same key. lost are those whose key is not
// in the TPM any more: it was replaced or cleared.
func (b *bench) retiredIssuers(ctx context.Context, pin secretFlags) (out []*issuer.Issuer, lost []*authority.Installed, err error) {
	retired, err := authority.Retired(b.home.path("ca"))
	if err != nil {
		return nil, nil, unfit(err, "the folder ca of the home was damaged; bring it back from a backup")
	}
	seen := map[string]bool{b.issuer.KeyID(): true}
	get := b.pin.get
	for _, r := range retired {
		id := hex.EncodeToString(r.Intermediate().SubjectKeyId)
		due, err := authority.CRLDue(ctx, b.reader, id)
		if err != nil {
			return nil, nil, unfit(err, "see: station ledger verify")
		}
		if seen[id] || !due {
			continue
		}
		seen[id] = true
		if pin.given() && len(out) == 0 {
			text, err := pin.read("PIN of the retired keys")
			if err != nil {
				return nil, nil, err
			}
			get = func() ([]byte, error) { return text, nil }
		}
		key, err := b.retiredKey(ctx, r, get)
		if err != nil {
			return nil, nil, err
		}
		if key == nil {
			lost = append(lost, r)
			continue
		}
		i, err := issuer.New(issuer.Config{Chain: r.Chain, Signer: key})
		if err != nil {
			return nil, nil, unfit(err, "see: station ca status")
		}
		out = append(out, i)
	}
	return out, lost, nil
}

// retiredKey finds the key of a retired intermediate in the TPM; nil: it is not there.
func (b *bench) retiredKey(ctx context.Context, r *authority.Installed, pin func() ([]byte, error)) (*tpm.Key, error) {
	for _, ref := range b.home.cfg.Keys.Retired {
		key, err := b.tpm.Key(ctx, *ref, pin)
		if errors.Is(err, tpm.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, unfit(fmt.Errorf("a retired key: %w", err), "see: station doctor")
		}
		if !same(key, r) {
			continue
		}
		if err := tryPIN(ctx, key); errors.Is(err, tpm.ErrPIN) {
			return nil, unfit(fmt.Errorf("retired intermediate %q: %w", r.Intermediate().Subject, err), "its key has another PIN: --retired-pin-file; it was not tried again")
		} else if err != nil {
			return nil, b.caKeyUnfit(ctx, err)
		}
		return key, nil
	}
	return nil, nil
}
