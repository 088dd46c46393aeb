// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// certRounds is many short turns instead of few long ones: on a machine with
// other work, only neighbours in time can be compared.
const certRounds = 25

const certHow = `All use a P-256 key of the same swtpm, without pace, in short turns; opening and the
first certificate of a turn do not count. Ours is the station's whole issuer with
the key as the station has it: PIN in an encrypted session, request checked in its
one form, contents linted before and after the signature, the finished certificate
verified. tpmkms is smallstep's signer (its keys have no PIN) with the least around
it that makes a certificate: the request's signature checked, crypto/x509. openssl
is a process for each certificate, with the station's key; eight such processes run
out of the TPM's places for objects. A bare signature is all that stands between a
digest and the key's signature of it. Medians of 25 turns; the ratio is the median
of the ratios within a turn.`

// contest is who makes how many certificates in a round: enough for a tenth of
// a second or so.
var contest = []struct {
	name  string
	count int
	// alone: without a resource manager, processes with objects of their own
	// cannot share a TPM.
	alone bool
}{
	{ours, 80, false},
	{stepKept, 80, false},
	{stepURI, 80, false},
	{opensslKey, 2, true},
}

// way is a manner of comparing them.
type way struct {
	word    string
	workers int
	bare    bool
}

// ways are how the makers are compared. The bare signature shows how much of
// the rest is the TPM; it is no figure of its own.
var ways = []way{
	{"certificates, one at a time", 1, false},
	{"certificates, eight at a time", 8, false},
	{"bare signatures, one at a time", 1, true},
	{"bare signatures, eight at a time", 8, true},
}

// certFigures is P3: certificates a second, all makers on one TPM in turn.
func certFigures(ctx context.Context, p *plant) (*report, error) {
	m, err := newMakers(ctx, p, p.path("tpm.sock"))
	if err != nil {
		return nil, err
	}
	rates := make([]map[string][]float64, len(ways))
	for range certRounds {
		for i, w := range ways {
			if rates[i] == nil {
				rates[i] = map[string][]float64{}
			}
			for _, c := range contest {
				if c.alone && (w.bare || w.workers > 1) {
					continue
				}
				rate, err := m.rate(ctx, c.name, c.count, w.workers, w.bare)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", c.name, err)
				}
				rates[i][c.name] = append(rates[i][c.name], rate)
			}
		}
	}
	r := certReport(rates)
	r.note, err = m.costs(ctx)
	r.note += ceilings(rates)
	return r, err
}

// ceilings tells what no issuer before this key can exceed: its bare
// signatures, against the certificates of the best peer.
func ceilings(rates []map[string][]float64) string {
	var at []string
	for i, w := range ways {
		if w.bare {
			continue
		}
		bare := slices.IndexFunc(ways, func(b way) bool { return b.bare && b.workers == w.workers })
		_, peer := bestPeer(rates[i])
		at = append(at, fmt.Sprintf("%.2f with %d at a time", medianOf(ratios(rates[bare][ours], rates[i][peer])), w.workers))
	}
	return fmt.Sprintf(`

With no work at all around its signatures, ours would make this many times the
certificates of the best peer: %s. More is not
attainable on this swtpm, whatever the issuer does or leaves out.`, strings.Join(at, ", "))
}

// bestPeer is who besides us makes the most.
func bestPeer(rates map[string][]float64) (best float64, peer string) {
	for name, values := range rates {
		if rate := medianOf(values); name != ours && rate > best {
			best, peer = rate, name
		}
	}
	return best, peer
}

// ratios are those within each turn.
func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for n := range a {
		out[n] = a[n] / b[n]
	}
	return out
}

func certReport(rates []map[string][]float64) *report {
	r := &report{title: "P3, a second on one swtpm", how: certHow, head: []string{"maker"}}
	for i, w := range ways {
		r.head = append(r.head, w.word)
		if w.bare {
			continue
		}
		best, peer := bestPeer(rates[i])
		r.figures = append(r.figures, figure{
			"P3", w.word, fmt.Sprintf("%.0f /s", medianOf(rates[i][ours])), fmt.Sprintf("%s, %.0f /s", peer, best),
			medianOf(ratios(rates[i][ours], rates[i][peer])), atLeast(1.50),
		})
	}
	for _, c := range contest {
		row := []string{c.name}
		for i := range ways {
			cell := "not possible so"
			if values := rates[i][c.name]; len(values) > 0 {
				cell = fmt.Sprintf("%.0f", medianOf(values))
			}
			row = append(row, cell)
		}
		r.rows = append(r.rows, row)
	}
	return r
}

// rate is how many certificates, or signatures, so many workers make in a
// second.
func (m *makers) rate(ctx context.Context, name string, count, workers int, bare bool) (float64, error) {
	took, _, err := m.timed(ctx, name, count, workers, bare)
	return float64(count) / took.Seconds(), err
}

// timed is how long count of them take, and how much of this process's
// processor time. Opening, and the first certificate, do not count.
func (m *makers) timed(ctx context.Context, name string, count, workers int, bare bool) (took, cpu time.Duration, err error) {
	maker, err := m.open(ctx, name)
	if err != nil {
		return 0, 0, err
	}
	defer maker.close()
	if err := maker.issue(ctx); err != nil {
		return 0, 0, err
	}
	group, ctx := errgroup.WithContext(ctx)
	once := func() error { return maker.issue(ctx) }
	if bare {
		once = maker.sign
	}
	before, err := cpuTime()
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	for range workers {
		group.Go(func() error {
			for range count / workers {
				if err := once(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, 0, err
	}
	took = time.Since(begin)
	after, err := cpuTime()
	return took, after - before, err
}

// costs tells what a certificate costs this process besides the TPM.
func (m *makers) costs(ctx context.Context) (string, error) {
	const count = 200
	var each []float64
	for _, name := range []string{ours, stepKept} {
		_, cpu, err := m.timed(ctx, name, count, 1, false)
		if err != nil {
			return "", err
		}
		each = append(each, cpu.Seconds()*1000/count)
	}
	verify, err := verifyTime(count)
	return fmt.Sprintf(`A certificate costs our process %.2f ms of processor time, the program around tpmkms
%.2f ms. An ECDSA verification costs %.3f ms here, and ours makes four: of the request,
of the throw-away signature that the contents are linted under, of the TPM's
signature in internal/tpm, which trusts no chip, and of the finished certificate in
the issuer, which trusts no key. The links of the chain above are verified once,
when the issuer is made. A program around tpmkms makes two. On a swtpm that
decides; where a signature takes 50 ms, as in P2, the commands of P4 do.`,
		each[0], each[1], verify), err
}

// cpuTime is the processor time of this process so far.
func cpuTime() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// verifyTime is the median time of an ECDSA verification in milliseconds.
func verifyTime(count int) (float64, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return 0, err
	}
	digest := sha256.Sum256([]byte("a digest like any other"))
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return 0, err
	}
	var times []float64
	for range count {
		begin := time.Now()
		if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
			return 0, errors.New("a signature does not verify")
		}
		times = append(times, time.Since(begin).Seconds()*1000)
	}
	return medianOf(times), nil
}
