// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// counterSize is the size of a counter's value in bytes (Part 2, section 13.2).
const counterSize = 8

// Counter is a counter in the TPM that only goes up, whoever has it undefined
// and defined anew included (Part 1, section 37.2.4). A copied software TPM
// goes back with its copy. It is safe for concurrent use.
type Counter struct {
	tpm     *TPM
	ref     CounterRef
	auth    func() ([]byte, error)
	checked uint64 // generation of the link on which ref was last compared; the owner's
}

// counterPublic is the public area of a new counter. It is not ORDERLY: such a
// counter jumps at an unclean stop. Only its own authorisation value reads and
// increments it, outside of the lockout.
func counterPublic(index uint32) tpm2.TPMSNVPublic {
	return tpm2.TPMSNVPublic{
		NVIndex:    tpm2.TPMHandle(index),
		NameAlg:    tpm2.TPMAlgSHA256,
		Attributes: tpm2.TPMANV{NT: tpm2.TPMNTCounter, AuthRead: true, AuthWrite: true, NoDA: true},
		DataSize:   counterSize,
	}
}

// DefineCounter makes a counter at the first free index from 0x0180A000 on and
// increments it once, which gives it its final Name and its first value: above
// that of any counter that was taken away before. auth is its secret, as for CreateKey.
// If the link breaks, DefineCounter goes on where it was; if it returns an error
// because its context ended, a counter may remain.
func (t *TPM) DefineCounter(ctx context.Context, auth []byte) (CounterRef, error) {
	const op = "make a counter"
	if err := checkAuth(auth); err != nil {
		return CounterRef{}, fmt.Errorf("%s: %w", op, err)
	}
	d := defining{auth: bytes.Clone(auth)}
	if err := t.run(ctx, d.do); err != nil {
		return CounterRef{}, fmt.Errorf("%s: %w", op, err)
	}
	return d.ref, nil
}

// defining is a counter on its way into the TPM.
type defining struct {
	auth []byte
	ref  CounterRef // its index is set once the TPM was told to define it
}

func (d *defining) do(b *bus) error {
	if d.ref.Handle != 0 {
		_, _, err := b.nvPublic(d.ref.Handle)
		if errors.Is(err, ErrNotFound) {
			d.ref.Handle = 0
		} else if err != nil {
			return err
		}
	}
	if d.ref.Handle == 0 {
		index, err := b.free(firstCounter, lastCounter, "counters")
		if err != nil {
			return err
		}
		d.ref.Handle = index
		if err := b.inSession(func() error { return d.define(b) }, nothing); err != nil {
			return err
		}
	}
	return d.begin(b)
}

func nothing() error { return nil }

// define sends TPM2_NV_DefineSpace (Part 3, section 31.3).
func (d *defining) define(b *bus) error {
	s, err := b.authorise(Name{}, nil)
	if err != nil {
		return err
	}
	d.ref.SRK = s.srk
	public := counterPublic(d.ref.Handle)
	_, err = tpm2.NVDefineSpace{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: s},
		Auth:       tpm2.TPM2BAuth{Buffer: d.auth},
		PublicInfo: tpm2.New2B(public),
	}.Execute(b)
	if err != nil {
		return b.fault("define the counter", err)
	}
	return nil
}

// begin increments a counter that never was.
func (d *defining) begin(b *bus) error {
	public, name, err := b.nvPublic(d.ref.Handle)
	if err != nil {
		return err
	}
	d.ref.Name = name
	if !public.Attributes.Written {
		err := b.inPlain(d.ref.SRK, d.auth, func(s *session) error { return b.increment(d.ref, s) })
		if err != nil {
			return err
		}
		if public, d.ref.Name, err = b.nvPublic(d.ref.Handle); err != nil {
			return err
		}
	}
	want := counterPublic(d.ref.Handle)
	want.Attributes.Written = true
	if !bytes.Equal(tpm2.Marshal(*public), tpm2.Marshal(want)) {
		return errors.New("the TPM made another counter than it was asked for")
	}
	return nil
}

// Counter finds the counter of ref: ErrNotFound if the index is empty or holds
// another one. auth gives its secret under the rules of [TPM.Key].
func (t *TPM) Counter(ctx context.Context, ref CounterRef, auth func() ([]byte, error)) (*Counter, error) {
	c := &Counter{tpm: t, ref: ref, auth: auth}
	if auth == nil {
		return nil, fmt.Errorf("counter %#x: a secret is needed, and no source of it was given", ref.Handle)
	}
	if err := t.run(ctx, c.find); err != nil {
		return nil, fmt.Errorf("counter %#x: %w", ref.Handle, err)
	}
	return c, nil
}

// find compares what stands at the index with the reference.
func (c *Counter) find(b *bus) error {
	_, name, err := b.nvPublic(c.ref.Handle)
	if err != nil {
		return err
	}
	if name != c.ref.Name {
		return fmt.Errorf("%w: the index holds another one, %s, expected was %s", ErrNotFound, name, c.ref.Name)
	}
	c.checked = b.generation
	return nil
}

// Ref returns the reference the counter was found by.
func (c *Counter) Ref() CounterRef { return c.ref }

// use runs commands that need the counter's secret.
func (c *Counter) use(ctx context.Context, op string, commands func(*bus, *session) error) error {
	err := c.tpm.run(ctx, func(b *bus) error {
		if c.checked != b.generation {
			if err := c.find(b); err != nil {
				return err
			}
		}
		secret, err := c.auth()
		if err != nil {
			return fmt.Errorf("get its secret: %w", err)
		}
		if err := checkAuth(secret); err != nil {
			return err
		}
		return b.inPlain(c.ref.SRK, secret, func(s *session) error { return commands(b, s) })
	})
	if err != nil {
		return fmt.Errorf("%s counter %#x: %w", op, c.ref.Handle, err)
	}
	return nil
}

// Read reads the counter.
func (c *Counter) Read(ctx context.Context) (uint64, error) {
	var value uint64
	err := c.use(ctx, "read", func(b *bus, s *session) (err error) {
		value, err = b.counterValue(c.ref, s)
		return err
	})
	if err != nil {
		return 0, err
	}
	return value, nil
}

// Increment adds one and returns the new value. It reads before and after: when
// the answer is lost it increments again only if the value has not moved. After
// an error nobody knows whether it did; Read tells.
func (c *Counter) Increment(ctx context.Context) (uint64, error) {
	var before, after uint64
	sent := false
	err := c.use(ctx, "increment", func(b *bus, s *session) error {
		value, err := b.counterValue(c.ref, s)
		if err != nil {
			return err
		}
		if sent && value > before {
			after = value
			return nil
		}
		before, sent = value, true
		if err := b.increment(c.ref, s); err != nil {
			return err
		}
		if after, err = b.counterValue(c.ref, s); err != nil {
			return err
		}
		if after <= before {
			return fmt.Errorf("the counter went from %d to %d", before, after)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return after, nil
}

// Certify has the attestation key sign the value, over qualifying (Part 3,
// section 31.16).
func (c *Counter) Certify(ctx context.Context, qualifying [32]byte) (uint64, Statement, error) {
	var value uint64
	var said Statement
	err := c.use(ctx, "certify", func(b *bus, s *session) (err error) {
		value, said, err = b.certifyCounter(c.ref, s, qualifying)
		return err
	})
	if err != nil {
		return 0, Statement{}, err
	}
	return value, said, nil
}

// indexAuth names the counter's index and authorises its use.
func (r CounterRef) indexAuth(s tpm2.Session) (tpm2.AuthHandle, tpm2.NamedHandle) {
	name := tpm2.TPM2BName{Buffer: r.Name[:]}
	return tpm2.AuthHandle{Handle: tpm2.TPMHandle(r.Handle), Name: name, Auth: s},
		tpm2.NamedHandle{Handle: tpm2.TPMHandle(r.Handle), Name: name}
}

func (b *bus) counterValue(ref CounterRef, s *session) (uint64, error) {
	auth, index := ref.indexAuth(s)
	rsp, err := tpm2.NVRead{AuthHandle: auth, NVIndex: index, Size: counterSize}.Execute(b)
	if err != nil {
		return 0, b.fault("read the value", err)
	}
	if len(rsp.Data.Buffer) != counterSize {
		return 0, b.fault("read the value", fmt.Errorf("%d bytes are no counter", len(rsp.Data.Buffer)))
	}
	return binary.BigEndian.Uint64(rsp.Data.Buffer), nil
}

func (b *bus) increment(ref CounterRef, s *session) error {
	auth, index := ref.indexAuth(s)
	if _, err := (tpm2.NVIncrement{AuthHandle: auth, NVIndex: index}).Execute(b); err != nil {
		return b.fault("increment", err)
	}
	return nil
}

func (b *bus) certifyCounter(ref CounterRef, s *session, qualifying [32]byte) (value uint64, said Statement, err error) {
	auth, index := ref.indexAuth(s)
	said, err = b.attest(func(ak tpm2.AuthHandle) (Statement, error) {
		rsp, err := tpm2.NVCertify{
			SignHandle: ak, AuthHandle: auth, NVIndex: index,
			QualifyingData: tpm2.TPM2BData{Buffer: qualifying[:]}, InScheme: nullScheme, Size: counterSize,
		}.Execute(b)
		if err != nil {
			return Statement{}, b.fault("certify the value", err)
		}
		if value, err = certifiedValue(rsp.CertifyInfo); err != nil {
			return Statement{}, b.fault("certify the value", err)
		}
		return newStatement(rsp.CertifyInfo, rsp.Signature), nil
	})
	return value, said, err
}

func certifiedValue(info tpm2.TPM2BAttest) (uint64, error) {
	said, err := info.Contents()
	if err != nil {
		return 0, err
	}
	nv, err := said.Attested.NV()
	if err != nil {
		return 0, err
	}
	if len(nv.NVContents.Buffer) != counterSize {
		return 0, fmt.Errorf("%d bytes are no counter", len(nv.NVContents.Buffer))
	}
	return binary.BigEndian.Uint64(nv.NVContents.Buffer), nil
}
