// SPDX-License-Identifier: Apache-2.0

package enroll_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"slices"
	"testing"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

// installed brings a fresh board to state 2 and returns its chain.
func (b *bench) installed(ctx context.Context) [][]byte {
	b.t.Helper()
	fail := func(err error) {
		b.t.Helper()
		if err != nil {
			b.t.Fatal(err)
		}
	}
	_, _, err := b.session.Keygen(ctx, b.alg, [32]byte{1}, false)
	fail(err)
	pub, err := x509.ParsePKIXPublicKey(b.board.SPKI())
	fail(err)
	chain := b.ca.leaf(b.t, "unit 1", pub)
	flat := bytes.Join(chain, nil)
	fail(b.session.Put(ctx, "chain", flat))
	fail(b.session.Commit(ctx, sha256.Sum256(flat), nil, nil))
	return chain
}

func (b *bench) rehearsal(chain [][]byte) enroll.Rehearsal {
	return enroll.Rehearsal{Chain: chain, Roots: b.ca.pool(), Alg: b.alg}
}

// TestRehearseSucceeds also compares the transcript with what the board signed.
func TestRehearseSucceeds(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			inBubble(t, virtual.Config{}, func(t *testing.T, b *bench) {
				b.alg = alg
				r := b.rehearsal(b.installed(t.Context()))
				var content []byte
				got, err := enroll.RehearseWith(t.Context(), r, func(ctx context.Context, tbs []byte) ([]byte, error) {
					content = bytes.Clone(tbs)
					return b.session.TLSSign(ctx, tbs)
				})
				if err != nil {
					t.Fatal(err)
				}
				if got.Version != tls.VersionTLS13 || got.CipherSuite == 0 || got.Hash != sha256.Sum256(content) {
					t.Errorf("transcript %+v does not belong to content %x", got, content)
				}
			})
		})
	}
}

// TestRehearseCounts shows that the rehearsal proves what it claims: it fails
// when anything but the board's key signs, when the chain is another's, and
// when one byte of the transcript is changed.
func TestRehearseCounts(t *testing.T) {
	type tamper func(t *testing.T, b *bench, r *enroll.Rehearsal) func(context.Context, []byte) ([]byte, error)
	board := func(b *bench) func(context.Context, []byte) ([]byte, error) { return b.session.TLSSign }
	for name, f := range map[string]tamper{
		"a software key signs": func(t *testing.T, _ *bench, _ *enroll.Rehearsal) func(context.Context, []byte) ([]byte, error) {
			key := newKey(t)
			return func(_ context.Context, tbs []byte) ([]byte, error) {
				d := sha256.Sum256(tbs)
				return ecdsa.SignASN1(rand.Reader, key, d[:])
			}
		},
		"the chain is another board's": func(t *testing.T, b *bench, r *enroll.Rehearsal) func(context.Context, []byte) ([]byte, error) {
			r.Chain = b.ca.leaf(t, "unit 2", newKey(t).Public())
			return board(b)
		},
		"the chain is another authority's": func(t *testing.T, b *bench, r *enroll.Rehearsal) func(context.Context, []byte) ([]byte, error) {
			pub, err := x509.ParsePKIXPublicKey(b.board.SPKI())
			if err != nil {
				t.Fatal(err)
			}
			r.Chain = newAuthority(t).leaf(t, "unit 1", pub)
			return board(b)
		},
		"the intermediate is missing": func(_ *testing.T, b *bench, r *enroll.Rehearsal) func(context.Context, []byte) ([]byte, error) {
			r.Chain = r.Chain[:1]
			return board(b)
		},
		"the certificate is not for clients": func(t *testing.T, b *bench, r *enroll.Rehearsal) func(context.Context, []byte) ([]byte, error) {
			pub, err := x509.ParsePKIXPublicKey(b.board.SPKI())
			if err != nil {
				t.Fatal(err)
			}
			c := certify(t, &x509.Certificate{
				Subject: pkix.Name{CommonName: "unit 1"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			}, b.ca.inter, pub, b.ca.interKey)
			r.Chain = [][]byte{c.Raw, b.ca.inter.Raw}
			return board(b)
		},
		"an older signature is played back": func(t *testing.T, b *bench, r *enroll.Rehearsal) func(context.Context, []byte) ([]byte, error) {
			var old []byte
			_, err := enroll.RehearseWith(t.Context(), *r, func(ctx context.Context, tbs []byte) (sig []byte, err error) {
				old, err = b.session.TLSSign(ctx, tbs)
				return old, err
			})
			if err != nil {
				t.Fatal(err)
			}
			return func(context.Context, []byte) ([]byte, error) { return old, nil }
		},
		"the algorithm is not the key's": func(_ *testing.T, b *bench, r *enroll.Rehearsal) func(context.Context, []byte) ([]byte, error) {
			r.Alg = "ES384"
			return board(b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, virtual.Config{}, func(t *testing.T, b *bench) {
				r := b.rehearsal(b.installed(t.Context()))
				sign := f(t, b, &r)
				if _, err := enroll.RehearseWith(t.Context(), r, sign); !errors.Is(err, enroll.ErrRehearsal) {
					t.Errorf("error %v, want ErrRehearsal", err)
				}
			})
		})
	}
}

// TestRehearseTranscriptByte flips each byte of the transcript hash in turn on
// its way to the board, which signs it without suspicion.
func TestRehearseTranscriptByte(t *testing.T) {
	inBubble(t, virtual.Config{}, func(t *testing.T, b *bench) {
		r := b.rehearsal(b.installed(t.Context()))
		const prefix = 64 + len("TLS 1.3, client CertificateVerify") + 1
		for at := 0; at < 32; at++ {
			asked := false
			_, err := enroll.RehearseWith(t.Context(), r, func(ctx context.Context, tbs []byte) ([]byte, error) {
				asked = true
				flipped := bytes.Clone(tbs)
				flipped[prefix+at] ^= 1
				return b.session.TLSSign(ctx, flipped)
			})
			if !asked || !errors.Is(err, enroll.ErrRehearsal) {
				t.Errorf("byte %d of the transcript: asked %v, error %v", at, asked, err)
			}
		}
		_, err := enroll.RehearseWith(t.Context(), r, func(ctx context.Context, tbs []byte) ([]byte, error) {
			flipped := bytes.Clone(tbs)
			flipped[prefix-1] ^= 1
			return b.session.TLSSign(ctx, flipped)
		})
		var rc *smp.RCError
		if !errors.As(err, &rc) || rc.RC != enroll.RCMalformed {
			t.Errorf("a byte of the context string: error %v, want the board's refusal", err)
		}
	})
}

// TestRehearseEnds shows that a board which falls silent, and a context that
// ends, end the handshake with their own error.
func TestRehearseEnds(t *testing.T) {
	inBubble(t, virtual.Config{}, func(t *testing.T, b *bench) {
		r := b.rehearsal(b.installed(t.Context()))
		b.board.Close()
		var lost *smp.LinkError
		if _, err := b.session.Rehearse(t.Context(), r); !errors.As(err, &lost) {
			t.Errorf("error %v, want the lost link", err)
		}
	})
	inBubble(t, virtual.Config{}, func(t *testing.T, b *bench) {
		r := b.rehearsal(b.installed(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		_, err := enroll.RehearseWith(ctx, r, func(ctx context.Context, _ []byte) ([]byte, error) {
			cancel()
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want that of the context", err)
		}
	})
}

// endpoint runs a real TLS server on a local port and returns its address and
// the pool its certificate is under.
func endpoint(t *testing.T, configure func(*tls.Config)) (string, *x509.CertPool) {
	t.Helper()
	ca, key := newAuthority(t), newKey(t)
	cert := certify(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca.inter, key.Public(), ca.interKey)
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw, ca.inter.Raw}, PrivateKey: key}}}
	configure(config)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { listener.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			// Until the client is done; the error is the client's to see.
			_, _ = conn.Read(make([]byte, 1))
			conn.Close()
		}
	}()
	return listener.Addr().String(), ca.pool()
}

func TestRehearseTarget(t *testing.T) {
	b := newBench(t, virtual.Config{})
	defer b.close()
	chain := b.installed(t.Context())
	demand := func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, b.ca.pool() }
	for _, c := range []struct {
		name   string
		server func(*tls.Config)
		edit   func(*enroll.Rehearsal)
		want   error
	}{
		{"accepts", demand, nil, nil},
		{"accepts, no session tickets", func(c *tls.Config) { demand(c); c.SessionTicketsDisabled = true }, nil, nil},
		{"trusts another root", func(c *tls.Config) { demand(c); c.ClientCAs = newAuthority(t).pool() }, nil, enroll.ErrRehearsal},
		{"another board's chain", demand, func(r *enroll.Rehearsal) { r.Chain = b.ca.leaf(t, "u", newKey(t).Public()) }, enroll.ErrRehearsal},
		{"asks for no certificate", func(*tls.Config) {}, nil, enroll.ErrTarget},
		{"speaks TLS 1.2 only", func(c *tls.Config) { demand(c); c.MaxVersion = tls.VersionTLS12 }, nil, enroll.ErrTarget},
		{"is not trusted", demand, func(r *enroll.Rehearsal) { r.ServerRoots = newAuthority(t).pool() }, enroll.ErrTarget},
		{"has no address", demand, func(r *enroll.Rehearsal) { r.Target = "127.0.0.1" }, enroll.ErrTarget},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := b.rehearsal(chain)
			r.Target, r.ServerRoots = endpoint(t, c.server)
			if c.edit != nil {
				c.edit(&r)
			}
			got, err := b.session.Rehearse(t.Context(), r)
			if !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			if err == nil && (got.Version != tls.VersionTLS13 || got.Hash == [32]byte{}) {
				t.Errorf("transcript %+v", got)
			}
		})
	}
}

func TestRehearseTargetUnreachable(t *testing.T) {
	b := newBench(t, virtual.Config{})
	defer b.close()
	r := b.rehearsal(b.installed(t.Context()))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.Target = listener.Addr().String()
	listener.Close() // the port is free now, and nobody listens
	if _, err := b.session.Rehearse(t.Context(), r); !errors.Is(err, enroll.ErrTarget) {
		t.Errorf("error %v, want ErrTarget", err)
	}
}

// TestProof checks every algorithm, RS256 included, which boards with a secure
// element may use.
func TestProof(t *testing.T) {
	signers := proofSigners(t)
	p := enroll.Proof{Chain: [32]byte{1}, Prot: 7, State: enroll.Locked, UID: []byte("uid")}
	changed := p
	changed.State = enroll.Installed
	for alg, key := range signers {
		pub, sig := key.Public(), signMessage(t, key, alg, p.Message())
		if err := p.Verify(pub, alg, sig); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		refused := map[string]error{
			"another state":               changed.Verify(pub, alg, sig),
			"a byte behind the signature": p.Verify(pub, alg, slices.Concat(sig, []byte{0})),
			"no signature":                p.Verify(pub, alg, nil),
			"no algorithm":                p.Verify(pub, "", sig),
			"no key":                      p.Verify(nil, alg, sig),
		}
		for other := range signers {
			if other != alg {
				refused["taken for "+other] = p.Verify(pub, other, sig)
			}
		}
		for what, err := range refused {
			if !errors.Is(err, enroll.ErrProof) {
				t.Errorf("%s: %s: error %v", alg, what, err)
			}
		}
	}
}

func signMessage(t *testing.T, key crypto.Signer, alg string, message []byte) []byte {
	t.Helper()
	hash := map[string]crypto.Hash{"ES256": crypto.SHA256, "ES384": crypto.SHA384, "RS256": crypto.SHA256}[alg]
	sig, err := crypto.SignMessage(key, rand.Reader, message, hash)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}
