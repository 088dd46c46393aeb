// SPDX-License-Identifier: Apache-2.0

// Command ledger-verify judges what a station's ledger exported, on any machine:
// it needs no station, database, TPM or network.
//
//	ledger-verify --root ROOT.pem BUNDLE   the whole ledger
//	ledger-verify --root ROOT.pem UNIT     all about one unit (--format audit)
//	ledger-verify --root ROOT.pem FILE     a file exported with --proof
//
// The anchor is your own copy of the root certificate, or the ledger's key
// (--vkey). Without one the verdict is "self-consistent, origin not proven".
//
// Exit codes: 0 valid, and its origin proven; 1 something is wrong; 2 it could
// not be judged; 5 nothing is wrong, but an anchor is missing; 6 valid, but an
// authority of the station, or the unit's certificate, was revoked.
package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/bundle"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes; scripts depend on them. docs/ledger.md lists them.
const (
	exitRight    = 0
	exitWrong    = 1
	exitUnjudged = 2
	exitUnproven = 5
	exitRevoked  = 6
)

// exits is the exit code of each grade.
var exits = map[audit.Grade]int{audit.Valid: exitRight, audit.Revoked: exitRevoked, audit.Unproven: exitUnproven, audit.Invalid: exitWrong}

// options are what the auditor brings along.
type options struct {
	root    string
	vkeys   []string
	known   []string
	vendors string
	nonce   []byte
	json    bool
	details bool
	bundle  string
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	o, err := parse(args, errs)
	if errors.Is(err, flag.ErrHelp) {
		return exitRight
	}
	var r audit.Verdict
	if err == nil {
		r, err = judgeAny(ctx, o, errs)
	}
	if damaged(err) {
		r, err = audit.Damaged(err), nil
	}
	if err == nil {
		err = tell(out, r, o)
	}
	if err != nil {
		fmt.Fprintf(errs, "error: %v\n", err)
		return exitUnjudged
	}
	return exits[r.Grade()]
}

func parse(args []string, errs io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("ledger-verify", flag.ContinueOnError)
	f.SetOutput(errs)
	f.Usage = func() {
		fmt.Fprintln(errs, "usage: ledger-verify [--root FILE] [--vkey KEY]... [--known FILE]... [--challenge NONCE] [--vendor-roots DIR] [--details] [--json] BUNDLE|UNIT|FILE")
		f.PrintDefaults()
	}
	f.StringVar(&o.root, "root", "", "your copy of the root certificate, PEM")
	f.Func("vkey", "key of the ledger as the station prints it (C2SP signed-note), may be repeated", func(s string) error {
		o.vkeys = append(o.vkeys, s)
		return nil
	})
	f.Func("known", "a checkpoint, proof (.tlog-proof) or bundle seen earlier, may be repeated", func(s string) error {
		o.known = append(o.known, s)
		return nil
	})
	f.Func("challenge", "of a bundle: your own random number, which it was exported with (ledger export --challenge), in hex or base64url", func(s string) (err error) {
		o.nonce, err = record.ParseNonce(s)
		return err
	})
	f.StringVar(&o.vendors, "vendor-roots", "", "of a bundle: folder of TPM vendors' certificates, PEM or DER; the TPM's own is checked against them again")
	f.BoolVar(&o.details, "details", false, "say what is complete and what only included, what lies after the last seal, and who vouches for what")
	f.BoolVar(&o.json, "json", false, "the whole report as JSON")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() != 1 {
		f.Usage()
		return o, errors.New("name one bundle, unit's file, or file that was exported with --proof")
	}
	o.bundle = f.Arg(0)
	return o, nil
}

func judge(ctx context.Context, o options, errs io.Writer) (*audit.Report, error) {
	b, err := bundle.Open(ctx, o.bundle)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	a, err := o.anchors(b.Certificates)
	if err != nil {
		return nil, err
	}
	for _, path := range o.known {
		note, err := readKnown(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("--known: %w", err)
		}
		a.Known = append(a.Known, note)
	}
	a.Nonce = o.nonce
	if o.vendors != "" {
		if a.Trust.Vendors, err = audit.ReadVendors(o.vendors); err != nil {
			return nil, fmt.Errorf("--vendor-roots: %w", err)
		}
	}
	m := b.Manifest
	fmt.Fprintf(errs, "bundle of %s, made %s by %s with %s: %d entries, %d blobs\n", m.Station, m.Created, m.Operator, m.Software, m.Entries(), m.Blobs)
	return audit.VerifyBundle(ctx, b, a)
}

// anchors are what the auditor brings along, and of the certificates that came
// with the export those that the auditor's root vouches for.
func (o *options) anchors(certificates []byte) (a audit.Anchors, err error) {
	var root *x509.Certificate
	if o.root != "" {
		if root, err = readRoot(o.root); err != nil {
			return a, err
		}
	}
	if a, err = audit.SortCertificates(certificates, root); err != nil {
		return a, err
	}
	for _, k := range o.vkeys {
		v, err := record.ParseVerifier(k)
		if err != nil {
			return a, fmt.Errorf("--vkey: %w", err)
		}
		a.Keys = append(a.Keys, v)
	}
	return a, nil
}

// maxSmall bounds the files the auditor names.
const maxSmall = 8 << 20

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSmall+1))
	if err == nil && len(text) > maxSmall {
		err = fmt.Errorf("%s: longer than %d bytes", path, maxSmall)
	}
	return text, err
}

func readRoot(path string) (*x509.Certificate, error) {
	text, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// readKnown finds the checkpoint in a note, a proof or an earlier bundle.
func readKnown(ctx context.Context, path string) ([]byte, error) {
	if b, err := bundle.Open(ctx, path); err == nil {
		defer b.Close()
		return b.Proof.Checkpoint, nil
	}
	text, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	if p, err := record.ParseProof(text); err == nil {
		return p.Checkpoint, nil
	}
	if _, err := record.ReadCheckpoint(text); err != nil {
		return nil, fmt.Errorf("%s is neither a checkpoint nor a proof nor a bundle", path)
	}
	return text, nil
}
