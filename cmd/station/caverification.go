// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/settings"
)

// verificationFlags are those of ca verification.
type verificationFlags struct {
	code, csr, out string
	days           int
	reason         string
}

func newCAVerification(g *globals) *cobra.Command {
	f := verificationFlags{}
	c := &cobra.Command{
		Use: "verification --code CODE --out FILE", Short: "show a cloud that the intermediate's key is yours", Args: cobra.NoArgs,
		Long: `verification signs the code that a cloud shows (AWS IoT: get-registration-code,
Azure: generate-verification-code) with the intermediate's key. The certificate
serves for that and nothing else: no device can use it. Its own key is thrown away
at once; bring yours with --csr where a cloud wants to see more of it. It is
recorded before the file is written, and needs somebody's approval.`,
		RunE: func(c *cobra.Command, _ []string) error {
			cert, err := verification(c.Context(), g, f)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "signed %s until %s, serial %s, in %s\n", f.code, cert.Parsed.NotAfter.Format(time.DateOnly), cert.Serial, f.out)
			return nil
		},
	}
	c.Flags().StringVar(&f.code, "code", "", "the code as the cloud shows it")
	c.Flags().StringVar(&f.csr, "csr", "", "certification request (PEM) with the code as its common name; without it the key is thrown away")
	c.Flags().StringVar(&f.out, "out", "", "the file to write (PEM)")
	c.Flags().IntVar(&f.days, "days", 7, "days it is valid, 1 to 30")
	c.Flags().StringVar(&f.reason, "reason", "", "why, for the ledger: which account or hub")
	return c
}

func verification(ctx context.Context, g *globals, f verificationFlags) (*issuer.Certificate, error) {
	if f.out == "" {
		return nil, usage(errors.New("--out is needed"), "name the file to write")
	}
	if f.days < 1 || f.days > 30 {
		return nil, usage(fmt.Errorf("--days %d", f.days), "1 to 30")
	}
	public, err := verificationKey(f)
	if err != nil {
		return nil, err
	}
	approver, err := g.approval()
	if err != nil {
		return nil, err
	}
	b, err := openAuthority(ctx, g)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if err := b.unknownKey(ctx, public); err != nil {
		return nil, err
	}
	cert, err := b.issuer.Verification(ctx, f.code, public, time.Duration(f.days)*24*time.Hour)
	if err != nil {
		return nil, unfit(err, "nothing was recorded or written; see: station ca status")
	}
	body := certificateEntry(record.KindCAVerify, b.issuer, cert)
	body.Code, body.Approver, body.Reason = f.code, approver, f.reason
	// If the power fails before this entry is on the disk, no byte of the
	// certificate has left, and another can be asked for.
	if err := b.note(ctx, body, cert.DER, cert.Parsed.RawTBSCertificate); err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.DER})
	if err := settings.Write(f.out, text, 0o644); err != nil {
		return nil, usage(err, "the certificate is in the ledger, the file is not there; ask again with a writable --out")
	}
	return cert, nil
}

// verificationKey is the key of the request, or a new one that nobody keeps.
func verificationKey(f verificationFlags) (crypto.PublicKey, error) {
	if err := issuer.CheckVerificationCode(f.code); err != nil {
		return nil, usage(err, "copy it from the cloud's console or command line")
	}
	if f.csr == "" {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make a key to throw away: %w", err)
		}
		return key.Public(), nil
	}
	text, err := settings.Read(f.csr)
	if err != nil {
		return nil, usage(err, "name a readable request with --csr")
	}
	public, err := issuer.ParseVerificationRequest(text, f.code)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %w", f.csr, err), "make it with: openssl req -new -newkey rsa:2048 -nodes -keyout KEY -subj /CN=CODE")
	}
	return public, nil
}

// unknownKey refuses a key that the ledger knows: a device's, or the station's.
func (b *bench) unknownKey(ctx context.Context, public crypto.PublicKey) error {
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("encode public key: %w", err)
	}
	known, err := b.reader.Count(ctx, reader.Query{SPKI: digestOf(spki)})
	if err != nil {
		return unfit(err, "see: station ledger verify")
	}
	if known > 0 {
		return usage(errors.New("the request is for a key that the ledger knows already"), "a proof of ownership has a key of its own")
	}
	return nil
}

// certificateEntry says of a certificate of the station what every such entry says.
func certificateEntry(kind string, i *issuer.Issuer, cert *issuer.Certificate) record.Body {
	spki := sha256.Sum256(cert.Parsed.RawSubjectPublicKeyInfo)
	return record.Body{
		Kind: kind, CertSerial: cert.Serial, Cert: hex.EncodeToString(cert.SHA256[:]), TBS: digestOf(cert.Parsed.RawTBSCertificate),
		SPKI: hex.EncodeToString(spki[:]), IssuerKey: i.KeyID(),
		NotBefore: record.Timestamp(cert.Parsed.NotBefore), NotAfter: record.Timestamp(cert.Parsed.NotAfter),
	}
}
