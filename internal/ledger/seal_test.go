// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"context"
	"crypto"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

var errPower = errors.New("the power is gone")

// chip is a counter in a simulated TPM, and a key; each can be cut off at one point.
type chip struct {
	*tpm.Counter
	crypto.Signer
	cut string // "", or the point at which the power goes
}

func (c *chip) Increment(ctx context.Context) (uint64, error) {
	if c.cut == "increment" {
		return 0, errPower
	}
	v, err := c.Counter.Increment(ctx)
	if c.cut == "incremented" {
		return 0, errPower
	}
	return v, err
}

func (c *chip) Certify(ctx context.Context, qualifying [32]byte) (uint64, []byte, []byte, error) {
	if c.cut == "certify" {
		return 0, nil, nil, errPower
	}
	v, said, err := c.Counter.Certify(ctx, qualifying)
	return v, said.Attest, said.Signature, err
}

func (c *chip) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if c.cut == "sign" {
		return nil, errPower
	}
	return c.Signer.Sign(r, digest, o)
}

var counterAuth = []byte("a secret of the home")

// openChip opens the simulated TPM whose state lies in a file; made is the counter made before, or nil.
func openChip(t *testing.T, file string, made *tpm.CounterRef) (*tpm.TPM, *tpm.Counter) {
	t.Helper()
	dev, err := tpm.Open(t.Context(), tpm.Config{Spec: "sim:" + file})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	var ref tpm.CounterRef
	if made != nil {
		ref = *made
	} else if ref, err = dev.DefineCounter(t.Context(), counterAuth); err != nil {
		t.Fatal(err)
	}
	c, err := dev.Counter(t.Context(), ref, func() ([]byte, error) { return counterAuth, nil })
	if err != nil {
		t.Fatal(err)
	}
	return dev, c
}

// sealed makes a ledger that a simulated TPM seals.
func sealed(t *testing.T) (ledger.Config, *chip) {
	t.Helper()
	_, counter := openChip(t, filepath.Join(t.TempDir(), "sim"), nil)
	c := &chip{Counter: counter, Signer: newKey(t)}
	config := ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Origin: testOrigin, Signer: c, Counter: c, Seal: body("")}
	if err := ledger.Create(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	return config, c
}

// session opens the ledger, appends and closes it.
func session(t *testing.T, c ledger.Config, details ...string) {
	t.Helper()
	l, err := ledger.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range details {
		if _, err := l.Append(t.Context(), ledger.Batch{Bodies: []record.Body{stop(d)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// seals lists the seals of a ledger and whether the TPM's word for them is on record.
func seals(t *testing.T, l *ledger.Ledger) (all []int64, certified []int64) {
	t.Helper()
	err := l.Reader().Scan(t.Context(), 1, 1, func(e record.Entry) error {
		switch {
		case e.Body.Kind != record.KindSeal:
		case e.Body.Attest == "":
			all = append(all, e.Body.NV)
		default:
			certified = append(certified, e.Body.NV)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, certified
}

func TestSeals(t *testing.T) {
	config, c := sealed(t)
	session(t, config, "one")
	session(t, config, "two")
	l := open(t, config)
	if err := l.Seal(t.Context(), "shift"); err != nil {
		t.Fatal(err)
	}
	all, certified := seals(t, l)
	value, err := c.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 5 || !slices.Equal(all, certified) || all[0] != int64(value)-4 || all[4] != int64(value) {
		t.Fatalf("seals %v, certified %v, counter %d", all, certified, value)
	}
	size, covered := l.Size()
	if covered != size-1 { // the TPM's word for the last seal stands after the checkpoint that it is about
		t.Fatalf("%d entries, %d covered", size, covered)
	}
}

// TestInterruptedSeal cuts the power at each point of a seal. While the TPM is gone nothing is written; the next start, or the
// next entry once the TPM is back, finishes the seal.
func TestInterruptedSeal(t *testing.T) {
	for _, point := range []string{"sign", "increment", "incremented", "certify"} {
		for _, restart := range []bool{true, false} {
			t.Run(point+map[bool]string{true: " and restart", false: " and back"}[restart], func(t *testing.T) {
				config, c := sealed(t)
				l := open(t, config)
				c.cut = point
				if err := l.Seal(t.Context(), "shift"); !errors.Is(err, errPower) {
					t.Fatalf("the seal: %v", err)
				}
				_, err := l.Append(t.Context(), ledger.Batch{Bodies: []record.Body{stop("meanwhile")}})
				if point == "certify" || point == "incremented" {
					if err != nil { // the counter stands where the seal says: there is nothing to wait for
						t.Fatal(err)
					}
				} else if !errors.Is(err, errPower) {
					t.Fatalf("an entry while the seal is not finished: %v", err)
				}
				c.cut = ""
				if restart {
					if err := l.Close(); err != nil {
						t.Fatal(err)
					}
					l = open(t, config)
				}
				if _, err := l.Append(t.Context(), ledger.Batch{Bodies: []record.Body{stop("after")}}); err != nil {
					t.Fatal(err)
				}
				all, certified := seals(t, l)
				value, err := c.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				last := int64(value)
				if all[len(all)-1] != last || point != "certify" && !slices.Equal(all, certified) {
					t.Fatalf("seals %v, certified %v, counter %d", all, certified, value)
				}
				for i := range all[1:] {
					if all[i+1] != all[i]+1 {
						t.Fatalf("seals %v", all)
					}
				}
			})
		}
	}
}

// TestRolledBack puts older copies of ledger and TPM back: each is refused, named, and left as it is.
func TestRolledBack(t *testing.T) {
	config, c := sealed(t)
	session(t, config, "one")
	older := copyOf(t, config.Path)
	l := open(t, config)
	sealedCopy := filepath.Join(t.TempDir(), "before.db")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sealedCopy, readFile(t, config.Path), 0o600); err != nil {
		t.Fatal(err)
	}
	session(t, config, "two") // one seal more
	for name, copied := range map[string]string{"an older copy": older, "a copy taken just before a seal": sealedCopy} {
		old := config
		old.Path = copied
		before := readFile(t, copied)
		_, err := ledger.Open(t.Context(), old)
		var s *ledger.SealError
		if !errors.As(err, &s) || s.Counter <= s.Sealed || !strings.Contains(err.Error(), "an older copy of the ledger") {
			t.Errorf("%s: %v", name, err)
		}
		if string(readFile(t, copied)) != string(before) {
			t.Errorf("%s was changed", name)
		}
	}
	// Cut off after the last seal but one, by somebody with the checkpoint key: the counter still knows.
	if _, err := c.Increment(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Open(t.Context(), config); err == nil || !strings.Contains(err.Error(), "1 seals are missing") {
		t.Errorf("a counter that went on: %v", err)
	}
	without := config
	without.Counter = nil
	if _, err := ledger.Open(t.Context(), without); !errors.Is(err, ledger.ErrNoCounter) {
		t.Errorf("without the counter: %v", err)
	}
	plain := create(t)
	plain.Counter = c
	if _, err := ledger.Open(t.Context(), plain); !errors.Is(err, ledger.ErrNotSealed) {
		t.Errorf("a ledger that was never sealed: %v", err)
	}
}

// TestTPMRolledBack puts an older state of a software TPM back.
func TestTPMRolledBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sim")
	dev, counter := openChip(t, file, nil)
	ref := counter.Ref()
	key := newKey(t)
	config := ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Origin: testOrigin, Seal: body("")}
	use := func(counter *tpm.Counter) {
		c := &chip{Counter: counter, Signer: key}
		config.Signer, config.Counter = c, c
	}
	use(counter)
	if err := ledger.Create(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if err := dev.Close(); err != nil {
		t.Fatal(err)
	}
	older := readFile(t, file)
	dev, counter = openChip(t, file, &ref)
	use(counter)
	session(t, config, "one")
	session(t, config, "two")
	if err := dev.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, older, 0o600); err != nil {
		t.Fatal(err)
	}
	_, counter = openChip(t, file, &ref)
	use(counter)
	_, err := ledger.Open(t.Context(), config)
	var s *ledger.SealError
	if !errors.As(err, &s) || s.Counter >= s.Sealed || !strings.Contains(err.Error(), "a copy of a software TPM was put back") {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func copyOf(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(to, readFile(t, path), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestSealedWhileAtWork: what is new is sealed without being asked.
func TestSealedWhileAtWork(t *testing.T) {
	config, _ := sealed(t)
	config.SealEvery = time.Millisecond
	l := open(t, config)
	for want := range int64(3) {
		if _, err := l.Append(t.Context(), ledger.Batch{Bodies: []record.Body{stop("new")}}); err != nil {
			t.Fatal(err)
		}
		before, _ := seals(t, l)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		tick := time.NewTicker(time.Millisecond)
		for all := before; len(all) < int(want)+3; all, _ = seals(t, l) { // the first, that of the start, and one for each entry
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("entry %d is not sealed: seals %v", want, all)
			}
		}
		tick.Stop()
		cancel()
	}
}

// TestCounterOfOthers lets somebody else move the counter while the ledger is open: no seal is made over the gap, nothing is
// written any more, and the next start says so, too.
func TestCounterOfOthers(t *testing.T) {
	config, c := sealed(t)
	l := open(t, config)
	before, _ := seals(t, l)
	for range 3 {
		if _, err := c.Increment(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var apart *ledger.SealError
	if err := l.Seal(t.Context(), "shift"); !errors.As(err, &apart) || apart.Counter != apart.Sealed+3 {
		t.Fatalf("a seal over a gap: %v", err)
	}
	if after, _ := seals(t, l); !slices.Equal(before, after) {
		t.Fatalf("seals %v, before %v", after, before)
	}
	if _, err := l.Append(t.Context(), ledger.Batch{Bodies: []record.Body{stop("after")}}); !errors.As(err, &apart) {
		t.Fatalf("an entry after it: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Open(t.Context(), config); !errors.As(err, &apart) {
		t.Fatalf("the next start: %v", err)
	}
}

// TestSealWithoutTPM: whatever of the TPM is missing for a seal under way, an entry is refused as one that cannot be written now;
// only its word for a counter that stands already is not waited for.
func TestSealWithoutTPM(t *testing.T) {
	for _, point := range []string{"sign", "increment", "certify"} {
		t.Run(point, func(t *testing.T) {
			config, c := sealed(t)
			l := open(t, config)
			if c.cut = point; point == "certify" {
				c.cut = "increment" // so that the word is still to come
			}
			if err := l.Seal(t.Context(), "shift"); !errors.Is(err, errPower) {
				t.Fatal(err)
			}
			c.cut = point
			_, err := l.Append(t.Context(), ledger.Batch{Bodies: []record.Body{stop("meanwhile")}})
			var w *ledger.WriteError
			switch {
			case point == "certify" && err != nil:
				t.Fatal(err)
			case point != "certify" && (!errors.As(err, &w) || !w.TPM || w.Final):
				t.Fatalf("%T %v", err, err)
			}
		})
	}
}
