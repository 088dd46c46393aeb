// SPDX-License-Identifier: Apache-2.0

// Package specimen makes ledgers for tests and benchmarks: real entries,
// certificates, requests, receipts and signed checkpoints, of any length and
// without a station. Their keys are in memory and gone afterwards.
package specimen

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"iter"
	"math/big"
	"net/url"
	"os"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/bundle"
)

// began is the time of all entries.
var began = time.Date(2026, 11, 22, 7, 31, 0, 0, time.UTC)

// Root certifies stations.
type Root struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewRoot makes a root.
func NewRoot() (*Root, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert, err := certify(authority("specimen root"), nil, &key.PublicKey, key)
	return &Root{cert, key}, err
}

func authority(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1<<40 + int64(len(name))), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: began, NotAfter: began.AddDate(20, 0, 0),
	}
}

// certify issues a certificate; without a parent, by itself.
func certify(template, parent *x509.Certificate, pub *ecdsa.PublicKey, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Ledger is a station's ledger of one epoch. It is a [bundle.Source].
type Ledger struct {
	Origin     record.Origin
	root       *x509.Certificate
	issuer     *x509.Certificate
	issuerKey  *ecdsa.PrivateKey
	checkpoint *x509.Certificate
	signer     *ecdsa.PrivateKey

	units   int64
	entries [][]byte
	hashes  []tlog.Hash // as tlog numbers them
	points  []record.StoredCheckpoint
	blobs   map[[32]byte][]byte
}

// Ledger makes the ledger of a station (plant/station) that the root certified.
func (r *Root) Ledger(station string) (*Ledger, error) {
	l := &Ledger{Origin: record.Origin{Station: station, Epoch: 1}, root: r.Certificate, blobs: map[[32]byte][]byte{}}
	var err error
	if l.issuerKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if l.signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if l.issuer, err = certify(authority(station), r.Certificate, &l.issuerKey.PublicKey, r.key); err != nil {
		return nil, err
	}
	l.checkpoint, err = certify(&x509.Certificate{
		SerialNumber: big.NewInt(1 << 50), Subject: pkix.Name{CommonName: l.Origin.String()}, URIs: []*url.URL{{Scheme: "ledger", Opaque: l.Origin.String()}},
		KeyUsage: x509.KeyUsageDigitalSignature, NotBefore: began, NotAfter: began.AddDate(20, 0, 0),
	}, r.Certificate, &l.signer.PublicKey, r.key)
	if err != nil {
		return nil, err
	}
	if err := l.Cover(); err != nil { // a ledger begins with the checkpoint of nothing
		return nil, err
	}
	return l, l.Append(record.Body{Kind: record.KindCA, Action: "installed", Cert: l.keep(l.issuer.Raw)})
}

// Copy is the ledger as it is, to go on in another way: what a station does that was rolled back.
func (l *Ledger) Copy() *Ledger {
	c := *l
	c.entries, c.hashes, c.points = slices.Clip(l.entries), slices.Clip(l.hashes), slices.Clip(l.points)
	c.blobs = map[[32]byte][]byte{}
	for sum, b := range l.blobs {
		c.blobs[sum] = b
	}
	return &c
}

// Size is the number of entries.
func (l *Ledger) Size() int64 { return int64(len(l.entries)) }

func (l *Ledger) keep(b []byte) string {
	sum := sha256.Sum256(b)
	l.blobs[sum] = b
	return hex.EncodeToString(sum[:])
}

// Append adds an entry.
func (l *Ledger) Append(b record.Body) error {
	b.Station, b.Time, b.Operator, b.Software = l.Origin.Station, record.Timestamp(began), "op-17", "specimen"
	raw, err := b.Encode()
	if err != nil {
		return err
	}
	more, err := tlog.StoredHashes(l.Size(), raw, l.reader())
	if err != nil {
		return err
	}
	l.entries, l.hashes = append(l.entries, raw), append(l.hashes, more...)
	return nil
}

func (l *Ledger) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, n := range at {
			out[i] = l.hashes[n]
		}
		return out, nil
	})
}

// Cover signs a checkpoint of all entries.
func (l *Ledger) Cover() error {
	root, err := tlog.TreeHash(l.Size(), l.reader())
	if err != nil {
		return err
	}
	note, err := record.Checkpoint{Origin: l.Origin, Size: l.Size(), Root: root}.Sign(l.signer)
	if err == nil {
		l.points = append(l.points, record.StoredCheckpoint{Epoch: 1, Size: l.Size(), Note: note})
	}
	return err
}

// Raw yields the entries.
func (l *Ledger) Raw(_ context.Context, epoch int, seq int64) iter.Seq2[record.Entry, error] {
	return func(yield func(record.Entry, error) bool) {
		for i, raw := range l.entries {
			e := record.Entry{Epoch: 1, Seq: int64(i) + 1, Raw: raw, Leaf: record.Leaf(raw)}
			if (epoch > 1 || e.Seq < seq) || !yield(e, nil) {
				return
			}
		}
	}
}

// Checkpoints yields the signed checkpoints.
func (l *Ledger) Checkpoints(context.Context) iter.Seq2[record.StoredCheckpoint, error] {
	return func(yield func(record.StoredCheckpoint, error) bool) {
		for _, c := range l.points {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// Blobs yields what entries name, by SHA-256.
func (l *Ledger) Blobs(context.Context) iter.Seq2[record.StoredBlob, error] {
	sums := make([][32]byte, 0, len(l.blobs))
	for sum := range l.blobs {
		sums = append(sums, sum)
	}
	slices.SortFunc(sums, func(x, y [32]byte) int { return bytes.Compare(x[:], y[:]) })
	return func(yield func(record.StoredBlob, error) bool) {
		for _, sum := range sums {
			if !yield(record.StoredBlob{Digest: sum, Bytes: l.blobs[sum]}, nil) {
				return
			}
		}
	}
}

// Bundle writes the ledger as a bundle, and goes on with the entry that says so.
func (l *Ledger) Bundle(ctx context.Context, path string) error {
	var certs []byte
	for _, c := range []*x509.Certificate{l.issuer, l.checkpoint, l.root} {
		certs = append(certs, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = bundle.Write(ctx, f, l.Copy(), bundle.Head{
		Station: l.Origin.Station, Created: record.Timestamp(began), Operator: "op-17", Software: "specimen", Certificates: certs,
		Sign: func(_ context.Context, manifest string, m *bundle.Manifest) ([]byte, record.Proof, error) {
			var p record.Proof
			if err := l.Append(record.Body{Kind: record.KindExport, Format: "bundle", FileDigest: manifest, Count: m.Entries()}); err != nil {
				return nil, p, err
			}
			if err := l.Cover(); err != nil {
				return nil, p, err
			}
			var err error
			p.Index, p.Checkpoint = l.Size()-1, l.points[len(l.points)-1].Note
			p.Hashes, err = tlog.ProveRecord(l.Size(), p.Index, l.reader())
			return l.entries[p.Index], p, err
		},
	})
	if err != nil {
		return fmt.Errorf("specimen: %w", err)
	}
	return f.Close()
}
