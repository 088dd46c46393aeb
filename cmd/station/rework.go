// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/settings"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/tpm"
)

type reworkFlags struct {
	why  whyFlags
	uid  string
	port string
	pin  secretFlags // of the rework key
	key  string      // file with a rework bench's key
	show bool
}

func newRework(g *globals) *cobra.Command {
	f := reworkFlags{pin: secretFlags{fd: -1}}
	c := &cobra.Command{
		Use: "rework SERIAL", Short: "unlock a unit's board for another run, and revoke its certificates", Args: cobra.MaximumNArgs(1),
		Long: `rework takes a unit's key away, so that its board can be provisioned again: its
certificates are revoked, and a locked board is unlocked by a signature of the
rework key, whose PIN QA keeps. Before anything is signed the board proves that it
is the unit's own. Its serial number stays; somebody else approves it.

A rework that was interrupted is finished by the same command. A board that was
locked for two rework keys is unlocked by either: this station's in its TPM, or the
rework bench's in a file (--key; rework_bench in station.toml names its public half).

` + reasonsText(),
		RunE: func(c *cobra.Command, args []string) error {
			if f.show {
				return showReworkKey(c, g)
			}
			name := provision.UnitName{UID: strings.ToLower(f.uid)}
			if len(args) == 1 {
				name.Serial = args[0]
			}
			if name.Serial == "" && name.UID == "" {
				return usage(errors.New("no unit is named"), "name its serial number, or its board with --uid")
			}
			return reworkUnit(c, g, f, name)
		},
	}
	f.why.add(c)
	c.Flags().StringVar(&f.uid, "uid", "", "the board's ID in hex, where the serial number is not enough")
	c.Flags().StringVar(&f.port, "port", "", "the board's port (default: the only one that holds a board of the product)")
	c.Flags().StringVar(&f.pin.file, "rework-pin-file", "", "file that holds the rework key's PIN")
	c.Flags().IntVar(&f.pin.fd, "rework-pin-fd", -1, "open descriptor that holds the rework key's PIN")
	c.Flags().StringVar(&f.key, "key", "", "unlock with the rework bench's key in this file (PEM) instead of the TPM's")
	c.Flags().BoolVar(&f.show, "show-key", false, "print the public half of this station's rework key and do nothing")
	return c
}

func reworkUnit(c *cobra.Command, g *globals, f reworkFlags, name provision.UnitName) (err error) {
	if _, err := issuer.RevocationReasonNamed(f.why.reason); err != nil {
		return usage(err, "say why with --reason; --help explains each")
	}
	why := provision.Why{Reason: f.why.reason, Note: f.why.note}
	if why.Approver, err = g.approval(); err != nil {
		return err
	}
	b, err := openLedger(c.Context(), g)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if why.Approver == b.who {
		return usage(errors.New("who approves must be somebody else than who acts"), "see --approver and --operator")
	}
	bench, err := b.reworkBench(c.Context(), g, f)
	if err != nil {
		return err
	}
	done, err := b.desk().Rework(c.Context(), name, why, bench)
	if err != nil {
		return reworkFailed(err)
	}
	return tellReworked(c, g, done)
}

// reworkFailed says what became of the board and the ledger.
func reworkFailed(err error) error {
	var half *provision.NotUnlockedError
	switch {
	case errors.As(err, &half):
		return exit(exitUnits, err, "check cable and power, then give the same command again: it finishes")
	case errors.Is(err, provision.ErrRefused):
		return usage(err, "nothing was changed")
	case errors.Is(err, tpm.ErrPIN):
		return unfit(err, "the rework key's PIN is wrong, nothing was changed; QA keeps it")
	case isOfBoard(err):
		return exit(exitUnits, err, "nothing was changed: check cable and power of the board, then try again")
	}
	return unfit(err, "look whether it is on record: station ledger list --all")
}

// isOfBoard tells the troubles of a line and its board from the station's.
func isOfBoard(err error) bool {
	var link *smp.LinkError
	var rc *smp.RCError
	for _, is := range []error{smp.ErrTimeout, enroll.ErrNoAgent, enroll.ErrOtherBoard, enroll.ErrAnswer, enroll.ErrReadBack, enroll.ErrBusy} {
		if errors.Is(err, is) {
			return true
		}
	}
	return errors.As(err, &link) || errors.As(err, &rc)
}

// reworkBench finds the board's port and the key.
func (b *bench) reworkBench(ctx context.Context, g *globals, f reworkFlags) (bench provision.ReworkBench, err error) {
	line, err := b.lineTo(g, f.port)
	if err != nil {
		return bench, err
	}
	bench.Line = line
	key, err := b.reworkKey(ctx, f)
	if key != nil {
		bench.Key = key
	}
	return bench, err
}

// lineTo finds the port of the one board that is meant: the named one, or the
// only one of the product.
func (b *bench) lineTo(g *globals, named string) (line provision.Line, err error) {
	if b.product, err = b.loadProduct(b.home.cfg.Product); err != nil {
		return line, err
	}
	ports, err := g.ports().List()
	if err != nil {
		return line, unfit(err, "the system's list of devices must be readable")
	}
	var names []string
	if named != "" {
		names = []string{named}
	}
	boards := onBench(ports, names, b.product)
	switch {
	case len(boards) == 0 && named != "":
		return line, usage(fmt.Errorf("there is no port %s", named), "see what is plugged in with: station ports")
	case len(boards) == 0:
		return line, usage(errors.New("no board is plugged in"), "plug the unit's board in, or name its port with --port")
	case len(boards) > 1:
		return line, usage(fmt.Errorf("%d boards are plugged in", len(boards)), "name the port of the unit's board with --port; see: station ports")
	}
	port := boards[0].name
	baud, _, _ := b.product.Line()
	return provision.Line{
		Port: port, Baud: baud, Log: b.log,
		Open: func(ctx context.Context) (smp.Stream, error) { return b.openPort(ctx, port) },
	}, nil
}

// reworkKey is the bench's key from its file, or the TPM's; nil: there is none.
// The TPM's PIN is asked for when the key is used: not every board needs it.
func (b *bench) reworkKey(ctx context.Context, f reworkFlags) (crypto.Signer, error) {
	if f.key != "" {
		key, err := readReworkKey(f.key)
		if err != nil {
			return nil, usage(err, "name the file of the rework bench's private key, PEM")
		}
		return key, nil
	}
	if b.home.cfg.Keys.Rework == nil {
		return nil, nil
	}
	key, err := b.tpm.Key(ctx, *b.home.cfg.Keys.Rework, func() ([]byte, error) { return f.pin.read("PIN of the rework key") })
	if err != nil {
		return nil, unfit(fmt.Errorf("the rework key: %w", err), "check the TPM with: station doctor")
	}
	return key, nil
}

func tellReworked(c *cobra.Command, g *globals, done *provision.Reworked) error {
	if g.json {
		o := map[string]any{
			"event": "reworked", "serial": done.Serial, "model": done.Model, "uid": done.UID, "revoked": append([]string{}, done.Certificates...),
			"was": done.Was.String(), "again": done.Again,
		}
		if done.Seq > 0 {
			o["seq"] = done.Seq
		}
		if done.KeyUsed >= 0 {
			o["key"] = done.KeyUsed
		}
		return printJSON(c, o)
	}
	out := c.OutOrStdout()
	unit := fmt.Sprintf("unit %s (board %s/%s)", done.Serial, done.Model, done.UID)
	switch {
	case done.Seq == 0:
		fmt.Fprintf(out, "%s is reworked already, its board is %s\n", unit, done.Was)
	case done.KeyUsed >= 0:
		fmt.Fprintf(out, "reworked %s, entry %d: its board is unlocked and blank\n", unit, done.Seq)
	default:
		fmt.Fprintf(out, "reworked %s, entry %d: its board was %s and needed no unlocking\n", unit, done.Seq, done.Was)
	}
	for _, s := range done.Certificates {
		fmt.Fprintf(out, "revoked certificate %s\n", s)
	}
	if len(done.Certificates) > 0 {
		fmt.Fprintln(out, "next: station ca crl, and bring the list to the servers")
	}
	fmt.Fprintln(out, "next: provision the board again, under its serial")
	return nil
}

// showReworkKey prints what another station names in rework_bench.
func showReworkKey(c *cobra.Command, g *globals) error {
	b, err := openBare(g)
	if err != nil {
		return err
	}
	defer b.Close()
	if b.home.cfg.Keys.Rework == nil {
		return unfit(fmt.Errorf("%s has no rework key", b.home.dir), "a home gets one from: station init --rework-pin-file FILE")
	}
	if err := b.openTPM(c.Context()); err != nil {
		return err
	}
	der, err := b.publicReworkKey(c.Context())
	if err != nil {
		return err
	}
	return pem.Encode(c.OutOrStdout(), &pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// publicReworkKey is the public half of the TPM's rework key, DER.
func (b *bench) publicReworkKey(ctx context.Context) ([]byte, error) {
	key, err := b.tpm.Key(ctx, *b.home.cfg.Keys.Rework, noPIN)
	if err != nil {
		return nil, unfit(fmt.Errorf("the rework key: %w", err), "check the TPM with: station doctor")
	}
	return x509.MarshalPKIXPublicKey(key.Public())
}

// reworkObject puts together what boards are locked for: this station's rework
// key, then the bench's; nil where there is neither.
func (b *bench) reworkObject(ctx context.Context) (object []byte, err error) {
	if b.home.cfg.Keys.Rework != nil {
		if object, err = b.publicReworkKey(ctx); err != nil {
			return nil, err
		}
	}
	if b.home.cfg.ReworkBench == "" {
		return object, nil
	}
	path := b.home.cfg.ReworkBench
	if !filepath.IsAbs(path) {
		path = b.home.path(path)
	}
	der, err := readPublicReworkKey(path)
	if err != nil {
		return nil, usage(err, "rework_bench in station.toml names a PEM file with the bench's public key on P-256")
	}
	if string(der) == string(object) {
		return nil, usage(fmt.Errorf("%s: it is this station's own rework key", path), "rework_bench in station.toml names another one, or is left out")
	}
	return append(object, der...), nil
}

func readPublicReworkKey(path string) ([]byte, error) {
	raw, err := settings.Read(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("%s: no public key in it", path)
	}
	keys, err := enroll.SplitRework(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(keys) != 1 {
		return nil, fmt.Errorf("%s: it holds two keys", path)
	}
	return block.Bytes, nil
}

func readReworkKey(path string) (*ecdsa.PrivateKey, error) {
	signer, err := readKey(path)
	if err != nil {
		return nil, err
	}
	key, ok := signer.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s: a rework key is on P-256", path)
	}
	return key, nil
}
