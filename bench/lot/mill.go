// SPDX-License-Identifier: Apache-2.0

package lot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"provisioning.example/station/internal/record"
)

// mill makes units on all processors, gives them their places one after the
// other, and has the store write them behind that.
type mill struct {
	*maker
	home     *home
	store    *store
	share    int
	want     int64
	progress func(int64)

	tree tree
	rows *rows
	full chan<- *rows
}

// batch is a number of units, on their way.
type batch struct {
	first int64
	units chan []made
}

func (m *mill) run(ctx context.Context) error {
	var err error
	if m.tree, err = m.store.tree(ctx); err != nil {
		return err
	}
	at, err := record.ParseTime(m.sample.last.Body.Time)
	if err != nil {
		return err
	}
	// The last unit is done when the home was made: nothing is of tomorrow.
	m.began = at.Add(-time.Duration(m.want/int64(len(lifeOf))+failing) * tact)
	g, ctx := errgroup.WithContext(ctx)
	work, order, full := make(chan batch), make(chan batch, 2*runtime.GOMAXPROCS(0)), make(chan *rows, 2)
	m.full, m.rows = full, &rows{}
	enough := make(chan struct{})
	g.Go(func() error {
		defer close(work)
		defer close(order)
		for first := int64(0); ; first += chunk {
			b := batch{first, make(chan []made, 1)}
			select {
			case order <- b:
			case <-enough:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case work <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error { return m.work(work) })
	}
	g.Go(func() error {
		defer close(full)
		return m.place(ctx, order, enough)
	})
	g.Go(func() error {
		for r := range full {
			if err := m.store.write(ctx, r); err != nil {
				return err
			}
			if m.progress != nil {
				m.progress(r.last)
			}
		}
		return nil
	})
	return g.Wait()
}

func (m *mill) work(work <-chan batch) error {
	for b := range work {
		units := make([]made, chunk)
		for i := range units {
			var err error
			if units[i], err = m.unit(b.first + int64(i)); err != nil {
				return err
			}
		}
		b.units <- units
	}
	return nil
}

// place installs the intermediate and puts the units behind it, until there are enough.
func (m *mill) place(ctx context.Context, order <-chan batch, enough chan<- struct{}) error {
	defer close(enough)
	if err := m.install(ctx); err != nil {
		return err
	}
	for b := range order {
		var units []made
		select {
		case units = <-b.units:
		case <-ctx.Done():
			return ctx.Err()
		}
		for i, u := range units {
			if err := m.put(ctx, b.first+int64(i), u); err != nil {
				return err
			}
			if m.tree.size+2 >= m.want {
				return m.end(ctx, b.first+int64(i))
			}
		}
	}
	return ctx.Err()
}

func (m *mill) put(ctx context.Context, n int64, u made) error {
	for _, l := range u.lines {
		m.add(l)
	}
	for _, b := range u.blobs {
		m.keep(b)
	}
	if n%int64(m.share) == int64(m.share)-1 {
		if _, err := m.cover(); err != nil {
			return err
		}
	}
	if n%sealed == sealed-1 {
		if err := m.seal(ctx, n, "time"); err != nil {
			return err
		}
	}
	return m.hand(ctx, false)
}

// end covers and seals what there is.
func (m *mill) end(ctx context.Context, n int64) error {
	if err := m.seal(ctx, n, "stop"); err != nil {
		return err
	}
	return m.hand(ctx, true)
}

// rowsAtOnce is how many entries the store gets at a time.
const rowsAtOnce = 4096

// hand gives the store what there is for it.
func (m *mill) hand(ctx context.Context, all bool) error {
	if len(m.rows.entries) == 0 || len(m.rows.entries) < rowsAtOnce && !all {
		return nil
	}
	m.rows.last = m.tree.size
	select {
	case m.full <- m.rows:
	case <-ctx.Done():
		return ctx.Err()
	}
	m.rows = &rows{}
	return nil
}

func (m *mill) install(ctx context.Context) error {
	b := m.sample.installed
	cert := m.authority.cert
	b.Time, b.Detail, b.CheckpointCert = record.Timestamp(m.began.Add(-time.Second)), "TPM not proven: the key of this lot is in memory", ""
	b.CertSerial, b.Cert, b.IssuerKey = hex.EncodeToString(cert.SerialNumber.Bytes()), m.keep(cert.Raw), hex.EncodeToString(cert.SubjectKeyId)
	b.NotBefore, b.NotAfter = record.Timestamp(cert.NotBefore), record.Timestamp(cert.NotAfter)
	l, err := newLine(b)
	if err != nil {
		return err
	}
	m.add(l)
	_, err = m.cover()
	return err
}

func (m *mill) add(l line) {
	nodes := m.tree.add(l.leaf)
	m.rows.entries = append(m.rows.entries, entryRow{m.tree.size, l.raw, l.leaf})
	m.rows.nodes = append(m.rows.nodes, nodes...)
	for _, c := range l.claims {
		m.rows.claims = append(m.rows.claims, record.HeldClaim{Claim: c, Epoch: m.home.origin.Epoch, Seq: m.tree.size})
	}
}

func (m *mill) keep(b []byte) string {
	sum := sha256.Sum256(b)
	m.rows.blobs = append(m.rows.blobs, record.StoredBlob{Digest: sum, Bytes: b})
	return hex.EncodeToString(sum[:])
}

// cover has the TPM sign a checkpoint of all entries.
func (m *mill) cover() (note []byte, err error) {
	note, err = record.Checkpoint{Origin: m.home.origin, Size: m.tree.size, Root: m.tree.root()}.Sign(m.home.signer)
	if err != nil {
		return nil, err
	}
	m.rows.points = append(m.rows.points, record.StoredCheckpoint{Size: m.tree.size, Note: note})
	return note, nil
}

// seal is what the ledger does every ten minutes.
func (m *mill) seal(ctx context.Context, n int64, reason string) error {
	value, err := m.home.counter.Read(ctx)
	if err != nil {
		return err
	}
	b := m.sample.seal
	b.NV, b.Reason, b.Time = int64(value)+1, reason, record.Timestamp(m.began.Add(time.Duration(n)*tact+tact*9/10))
	l, err := newLine(b)
	if err != nil {
		return err
	}
	m.add(l)
	size := m.tree.size
	note, err := m.cover()
	if err != nil {
		return err
	}
	if value, err = m.home.counter.Increment(ctx); err != nil {
		return err
	}
	sum := sha256.Sum256(note)
	certified, said, err := m.home.counter.Certify(ctx, sum)
	if err != nil {
		return err
	}
	if certified != value || value != uint64(b.NV) {
		return fmt.Errorf("the counter is at %d, its TPM says %d, the seal %d", value, certified, b.NV)
	}
	b.Reason, b.Attest, b.AttestSig = "", hex.EncodeToString(said.Attest), hex.EncodeToString(said.Signature)
	b.Checkpoint, b.Size = hex.EncodeToString(sum[:]), size
	if l, err = newLine(b); err != nil {
		return err
	}
	m.add(l)
	return nil
}
