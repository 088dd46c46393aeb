// SPDX-License-Identifier: Apache-2.0

package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/record/dossier"
)

// AuditOptions are what a unit's file says besides the ledger's own bytes.
type AuditOptions struct {
	Unit, Station, Created, Operator, Software string
	Certificates                               []byte // PEM: what the station has installed

	// Sign records an export entry that names the manifest's SHA-256 and returns its stored bytes and its proof.
	Sign func(manifest string, entries int64) (entry []byte, proof record.Proof, err error)
}

// ErrNoUnit says that the ledger does not know a serial.
var ErrNoUnit = errors.New("export: no such unit")

// Audit writes everything the ledger knows about one unit as one file that its customer can check. The ledger is a snapshot whose
// entries are all under a checkpoint. It is recorded while it is made, as a bundle is.
func Audit(ctx context.Context, path string, ledger *reader.Reader, o AuditOptions) (Result, error) {
	c := dossier.Content{
		Station: o.Station, Unit: o.Unit, Created: o.Created, Operator: o.Operator, Software: o.Software,
		Certificates: o.Certificates, Blobs: map[string][]byte{},
	}
	entries, err := unitEntries(ctx, ledger, o.Unit)
	if err != nil {
		return Result{}, err
	}
	for _, e := range entries {
		proof, err := ledger.Proof(ctx, e.Epoch, e.Seq)
		if err != nil {
			return Result{}, err
		}
		c.Entries = append(c.Entries, dossier.Proven{Entry: e, Proof: proof})
		if err := addBlobs(ctx, ledger, e.Body, c.Blobs); err != nil {
			return Result{}, damaged(e, err)
		}
	}
	c.Sign = func(manifest string) ([]byte, record.Proof, error) { return o.Sign(manifest, int64(len(entries))) }
	return whole(path, nil, func(f *os.File) (Result, error) {
		m, err := dossier.Write(writing{ctx, f}, c)
		if err != nil {
			return Result{}, err
		}
		info, err := f.Stat()
		if err != nil {
			return Result{}, err
		}
		return Result{Rows: int64(len(entries)), Bytes: info.Size(), SHA256: m.Digest()}, nil
	})
}

// unitEntries is the unit's timeline, and before it the entries by which the intermediates that signed for it were installed.
func unitEntries(ctx context.Context, ledger *reader.Reader, serial string) ([]record.Entry, error) {
	timeline, err := ledger.Timeline(ctx, reader.Query{Serial: serial})
	if err != nil {
		return nil, err
	}
	if len(timeline) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNoUnit, serial)
	}
	issuers := map[string]bool{}
	for _, e := range timeline {
		issuers[e.Body.IssuerKey] = true
	}
	installed, err := ledger.EntriesOf(ctx, reader.Query{Kinds: []string{record.KindCA}})
	if err != nil {
		return nil, err
	}
	var all []record.Entry
	for _, e := range installed {
		if e.Body.Action == "installed" && issuers[e.Body.IssuerKey] {
			all = append(all, e)
		}
	}
	return inOrder(append(all, timeline...)), nil
}

// addBlobs adds what a body names by its digest and the ledger stores.
func addBlobs(ctx context.Context, ledger *reader.Reader, b record.Body, blobs map[string][]byte) error {
	for _, digest := range []string{b.CSR, b.TBS, b.Cert, b.Console, b.BoardAttest, b.CheckpointCert} {
		if digest == "" || blobs[digest] != nil {
			continue
		}
		data, err := ledger.Blob(ctx, digest)
		if errors.Is(err, reader.ErrNoBlob) {
			continue // it is named only, and who judges the file says so where it must be there
		}
		if err != nil {
			return err
		}
		blobs[digest] = data
	}
	return nil
}

// inOrder sorts entries as the ledger has them, each once.
func inOrder(entries []record.Entry) []record.Entry {
	place := func(e record.Entry) int64 { return reader.ID(e.Epoch, e.Seq) }
	slices.SortFunc(entries, func(a, b record.Entry) int { return cmp.Compare(place(a), place(b)) })
	return slices.CompactFunc(entries, func(a, b record.Entry) bool { return place(a) == place(b) })
}
