// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"provisioning.example/station/internal/conform"
	"provisioning.example/station/internal/port"
	"provisioning.example/station/internal/settings"
	"provisioning.example/station/internal/smp"
)

// boardTestFlags say which board is tested, and with what.
type boardTestFlags struct {
	port, model   string
	baud          int
	group         uint16
	dtr, rts      bool
	caCert, caKey string
	reworkKey     string
	bytes         string
}

// newBoard is for the authors of firmware. It needs no home.
func newBoard(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "board", Short: "for firmware authors: test a board's agent"}
	c.AddCommand(newBoardTest(g))
	return c
}

func newBoardTest(g *globals) *cobra.Command {
	var f boardTestFlags
	c := &cobra.Command{
		Use: "test", Short: "does a board keep the enrollment protocol? names the step that is wrong", Args: cobra.NoArgs,
		Long: `test runs a board through everything that docs/protocol.md demands, over its own
console, and tells of each check: ok, WRONG (with the step, what was expected and
what came) or not checked (with the reason). It makes keys, installs chains of a
throw-away authority, locks the board and unlocks it again: what the board held
before is lost, and it is blank at the end. A board that is not blank is wiped only
after a question, or with --yes.

A board whose firmware pins a root accepts no throw-away authority: give a TEST root
and its key with --ca-cert and --ca-key. The key that unlocks the board is made once
and kept, so that the test can be run again on a board that an interrupted one left
locked.`,
		RunE: func(c *cobra.Command, _ []string) error { return boardTest(c, g, f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.port, "port", "", "the board's port")
	fl.StringVar(&f.model, "model", "", "the model that the board must show (default any)")
	fl.IntVar(&f.baud, "baud", port.DefaultBaud, "bits per second")
	fl.Uint16Var(&f.group, "group", 64, "number of the enrollment group")
	fl.BoolVar(&f.dtr, "dtr", false, "raise DTR, or not (default as the system does)")
	fl.BoolVar(&f.rts, "rts", false, "raise RTS, or not (default as the system does)")
	fl.StringVar(&f.caCert, "ca-cert", "", "certificate of the TEST root that the board pins, PEM or DER")
	fl.StringVar(&f.caKey, "ca-key", "", "that root's private key, PEM (PKCS#8 or EC) without a passphrase")
	fl.StringVar(&f.reworkKey, "rework-key", "", "file with the key that unlocks the board; made when missing (default in the user's cache)")
	fl.StringVar(&f.bytes, "bytes", "", "show what passed on the line, in hex: of wrong checks, or with --bytes=all of all")
	fl.Lookup("bytes").NoOptDefVal = "wrong"
	return c
}

func boardTest(c *cobra.Command, g *globals, f boardTestFlags) error {
	cfg, show, err := f.config(c, g)
	if err != nil {
		return err
	}
	o := port.Options{Baud: f.baud}
	if c.Flags().Changed("dtr") {
		o.DTR = &f.dtr
	}
	if c.Flags().Changed("rts") {
		o.RTS = &f.rts
	}
	p, err := port.Open(c.Context(), f.port, o)
	if err != nil {
		return unfit(err, "see what is plugged in with: station ports")
	}
	defer p.Close()
	cfg.Stream = p
	sum, err := conform.Run(c.Context(), cfg)
	if err != nil {
		return boardTestError(c.Context(), err)
	}
	return show.close(sum)
}

// config reads the files that the flags name.
func (f boardTestFlags) config(c *cobra.Command, g *globals) (cfg conform.Config, show *checkShow, err error) {
	switch {
	case f.port == "":
		return cfg, nil, usage(errors.New("--port is needed"), "see what is plugged in with: station ports")
	case f.baud <= 0:
		return cfg, nil, usage(fmt.Errorf("--baud %d", f.baud), "a line speed in bits per second, as 115200")
	case f.bytes != "" && f.bytes != "wrong" && f.bytes != "all":
		return cfg, nil, usage(fmt.Errorf("--bytes=%s", f.bytes), "allowed: --bytes, --bytes=all")
	case (f.caCert == "") != (f.caKey == ""):
		return cfg, nil, usage(errors.New("--ca-cert and --ca-key belong together"), "give the test root's certificate and its key")
	}
	log, err := g.logger()
	if err != nil {
		return cfg, nil, err
	}
	show = &checkShow{w: c.OutOrStdout(), json: g.json, bytes: f.bytes}
	cfg = conform.Config{
		Baud: f.baud, Group: f.group, Model: f.model, Log: log, Report: show.result,
		Wipe: func(b conform.Board) bool { return g.yes || askToWipe(c, b) },
	}
	if f.caCert != "" {
		if cfg.Authority, err = readAuthority(f.caCert, f.caKey); err != nil {
			return cfg, nil, usage(err, "a test root: its certificate in PEM or DER, its key in PEM without a passphrase (openssl pkey makes one)")
		}
	}
	if cfg.Rework, err = f.rework(); err != nil {
		return cfg, nil, usage(err, "name a file of your own for the key with --rework-key")
	}
	return cfg, show, nil
}

// boardTestError sorts what ends a test before its end.
func boardTestError(ctx context.Context, err error) error {
	var link *smp.LinkError
	switch {
	case ctx.Err() != nil:
		return exit(exitInterrupted, errors.New("interrupted"), "run the test again: it makes the board blank")
	case errors.Is(err, conform.ErrNotBlank):
		return usage(err, "--yes wipes it: key, certificate and lock")
	case errors.Is(err, conform.ErrLocked):
		return usage(err, "name the key that its rework object holds with --rework-key, or take another board")
	case errors.Is(err, conform.ErrAuthority):
		return usage(err, "give the root that this board's firmware pins")
	case errors.As(err, &link):
		return unfit(err, "check cable, power and port, and run the test again")
	}
	return unfit(err, "run the test again")
}

// askToWipe asks at the terminal; without one the answer is no.
func askToWipe(c *cobra.Command, b conform.Board) bool {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return false
	}
	fmt.Fprintf(c.ErrOrStderr(), "board %x (%q) is %v; the test wipes it. go on? [y/N] ", b.UID, b.Model, b.State)
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n') // no line is no
	return strings.EqualFold(strings.TrimSpace(line), "y")
}

func readAuthority(certPath, keyPath string) (*conform.Authority, error) {
	raw, err := settings.Read(certPath)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(raw); block != nil {
		raw = block.Bytes
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certPath, err)
	}
	key, err := readKey(keyPath)
	if err != nil {
		return nil, err
	}
	return conform.NewAuthority(cert, key)
}

// readKey reads a private key without a passphrase.
func readKey(path string) (crypto.Signer, error) {
	text, err := settings.Read(path)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var key any
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			continue // openssl puts EC PARAMETERS before the key
		}
		if signer, ok := key.(crypto.Signer); ok && err == nil {
			return signer, nil
		}
		return nil, fmt.Errorf("%s: not a private key: %w", path, err)
	}
	return nil, fmt.Errorf("%s: no private key in it that is not encrypted", path)
}

// rework reads the key that unlocks boards after a test, or makes it.
func (f boardTestFlags) rework() (*ecdsa.PrivateKey, error) {
	path := f.reworkKey
	if path == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("keep the key that unlocks the board: %w", err)
		}
		if err := os.MkdirAll(filepath.Join(dir, "station"), 0o700); err != nil {
			return nil, err
		}
		path = filepath.Join(dir, "station", "board-test.key")
	}
	if !exists(path) {
		if err := makeRework(path); err != nil {
			return nil, fmt.Errorf("make the key that unlocks the board: %w", err)
		}
	}
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

// makeRework writes a new key, unless another test did so meanwhile: a key that
// some board is locked for is never written over.
func makeRework(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := settings.Write(fresh, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	defer os.Remove(fresh)
	if err := os.Link(fresh, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
