// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"provisioning.example/station/bench/lot"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

const verifyHow = `The station's own command, from its start to the verdict: SQLite's search for damage,
every entry decoded, hashed and followed, every signature of requests, certificates,
receipts, checkpoints and seals, claims and tree nodes compared. The limit is what no
auditor can save: SHA-256 over the same entries and blobs, and as many ECDSA P-256
verifications as there are signatures, on all processors. Its two rates are taken
before and after each verification, with entries and certificates of the ledger
itself, and applied to its numbers.`

// verifyTurn is one verification and the limit beside it.
type verifyTurn struct {
	ours  run
	limit float64 // seconds
}

// content is how much there is to verify.
type content struct{ entries, bytes, signatures int64 }

// verifyFigures is P7: a whole ledger judged.
func verifyFigures(ctx context.Context, p *plant) (*report, error) {
	r := &report{
		title: "P7, verification", how: verifyHow,
		head: []string{"entries", "bytes hashed", "signatures", "ours", "limit", "our memory", "our processor time"},
	}
	for _, entries := range p.lots.sizes {
		dir, err := p.lot(ctx, entries)
		if err != nil {
			return nil, err
		}
		has, err := contentOf(ctx, dir)
		if err != nil {
			return nil, err
		}
		load, err := newLoad(ctx, dir)
		if err != nil {
			return nil, err
		}
		var turns []verifyTurn
		for range p.lots.turnsFor(entries) {
			t, err := p.verifyTurn(ctx, dir, has, load)
			if err != nil {
				return nil, err
			}
			turns = append(turns, t)
		}
		r.addVerify(entries, has, turns)
	}
	return r, nil
}

func (p *plant) verifyTurn(ctx context.Context, dir string, has content, l *load) (t verifyTurn, err error) {
	before := l.limit(has)
	c := exec.CommandContext(ctx, p.station, "ledger", "verify", "--home", home(dir), "--root", lot.Root(dir))
	var verdict strings.Builder
	c.Stdout = &verdict
	if t.ours, err = measure(c); err != nil {
		return t, err
	}
	if !strings.HasPrefix(verdict.String(), "valid, origin proven") {
		return t, fmt.Errorf("%s is not what a lot is: %s", dir, verdict.String())
	}
	t.limit = (before + l.limit(has)) / 2
	return t, nil
}

func contentOf(ctx context.Context, dir string) (c content, err error) {
	err = count(ctx, lot.Path(dir), `SELECT count(*),
		sum(length(CAST(body AS BLOB))) + (SELECT sum(length(bytes)) FROM blob),
		sum(kind IN ('issuing', 'issued')) + sum(kind = 'end' AND outcome = 'passed') +
		sum(kind = 'seal' AND body ->> '$.attest' IS NOT NULL) + (SELECT count(*) FROM checkpoint) FROM entry`,
		&c.entries, &c.bytes, &c.signatures)
	return c, err
}

// load is work of the kind that verification is made of.
type load struct {
	raw    []byte
	key    *ecdsa.PublicKey
	digest [32]byte
	sig    []byte
}

// newLoad takes the last certificate of a ledger, and an entry.
func newLoad(ctx context.Context, dir string) (*load, error) {
	r, err := reader.Open(ctx, lot.Path(dir))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	page, _, _, err := r.Page(ctx, reader.Filter{Kinds: []string{record.KindIssued}}, reader.Cursor{}, 1)
	if err != nil {
		return nil, err
	}
	der, err := r.Blob(ctx, page[0].Body.Cert)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	l := &load{raw: page[0].Raw, digest: sha256.Sum256(cert.RawTBSCertificate), sig: cert.Signature}
	installed, err := r.EntriesOf(ctx, reader.Query{Kinds: []string{record.KindCA}})
	if err != nil {
		return nil, err
	}
	for _, e := range installed {
		if e.Body.IssuerKey != page[0].Body.IssuerKey || e.Body.Cert == "" {
			continue
		}
		der, err := r.Blob(ctx, e.Body.Cert)
		if err != nil {
			return nil, err
		}
		issuer, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		l.key, _ = issuer.PublicKey.(*ecdsa.PublicKey)
	}
	if l.key == nil || !l.verify() {
		return nil, fmt.Errorf("%s: the last certificate is not by an issuer in it", dir)
	}
	return l, nil
}

func (l *load) verify() bool { return ecdsa.VerifyASN1(l.key, l.digest[:], l.sig) }

func (l *load) hash() bool { return record.Leaf(l.raw) != [32]byte{} }

// rateTime is how long each of the two rates is taken.
const rateTime = time.Second

// limit is how long the content takes at the least, in seconds, at what the machine does now.
func (l *load) limit(c content) float64 {
	hashes := float64(c.bytes) / float64(len(l.raw))
	return hashes/rate(l.hash) + float64(c.signatures)/rate(l.verify)
}

// rate is how often f is done in a second, on all processors.
func rate(f func() bool) float64 {
	var done atomic.Int64
	var g sync.WaitGroup
	began := time.Now()
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() {
			n := int64(0)
			for ; time.Since(began) < rateTime; n++ {
				if !f() {
					return
				}
			}
			done.Add(n)
		})
	}
	g.Wait()
	return float64(done.Load()) / time.Since(began).Seconds()
}

func (r *report) addVerify(entries int64, has content, turns []verifyTurn) {
	ours := medianBy(turns, func(t verifyTurn) float64 { return t.ours.seconds })
	limit := medianBy(turns, func(t verifyTurn) float64 { return t.limit })
	r.figures = append(r.figures, figure{
		"P7", fmt.Sprintf("verification of %s entries", million(entries)), fmt.Sprintf("%.1f s", ours), fmt.Sprintf("hashes and signatures, %.1f s", limit),
		medianBy(turns, func(t verifyTurn) float64 { return t.ours.seconds / t.limit }), atMost(2),
	})
	r.rows = append(r.rows, []string{
		fmt.Sprint(has.entries), fmt.Sprint(has.bytes), fmt.Sprint(has.signatures), fmt.Sprintf("%.1f s", ours), fmt.Sprintf("%.1f s", limit),
		mebibytes(int64(medianBy(turns, func(t verifyTurn) float64 { return float64(t.ours.peak) }))),
		fmt.Sprintf("%.1f s", medianBy(turns, func(t verifyTurn) float64 { return t.ours.cpu })),
	})
}
