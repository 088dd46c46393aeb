// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/record"
)

// crashFolder names the folder in which this test binary, run again, plays the station that is killed.
const crashFolder = "LEDGER_CRASH_FOLDER"

// crashWeak has the station write as the SQLite driver would have it on its own, with synchronous=NORMAL.
const crashWeak = "LEDGER_CRASH_WEAK"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashFolder); dir != "" {
		if err := victim(dir, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func crashConfig(dir string) (ledger.Config, error) {
	der, err := os.ReadFile(filepath.Join(dir, "key.der"))
	if err != nil {
		return ledger.Config{}, err
	}
	key, err := x509.ParseECPrivateKey(der)
	return ledger.Config{Path: filepath.Join(dir, "ledger.db"), Origin: testOrigin, Signer: key}, err
}

// victim appends from many goroutines and tells of each acknowledgement on w, until it is killed.
func victim(dir string, w io.Writer) error {
	c, err := crashConfig(dir)
	if err != nil {
		return err
	}
	l, err := ledger.Open(context.Background(), c)
	if err != nil {
		return err
	}
	if os.Getenv(crashWeak) != "" {
		if err := ledger.Weaken(l); err != nil {
			return err
		}
	}
	first, _ := l.Size()
	var mu sync.Mutex // one line at a time
	say := func(format string, args ...any) error {
		mu.Lock()
		defer mu.Unlock()
		_, err := fmt.Fprintf(w, format+"\n", args...)
		return err
	}
	failed := make(chan error)
	for worker := range 8 {
		go func() {
			for n := 0; ; n++ {
				if err := victimStep(l, fmt.Sprintf("%d-%d-%d", first, worker, n), say); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

func victimStep(l *ledger.Ledger, detail string, say func(string, ...any) error) error {
	ctx := context.Background()
	seqs, err := l.Append(ctx, ledger.Batch{Bodies: []record.Body{stop(detail), stop(detail)}, Blobs: [][]byte{[]byte(detail)}})
	if err != nil {
		return err
	}
	if err := say("acked %d %s", seqs[1], detail); err != nil {
		return err
	}
	if seqs[1]%5 != 0 {
		return nil
	}
	if err := l.Cover(ctx, seqs[1]); err != nil {
		return err
	}
	p, err := l.Proof(ctx, seqs[1])
	if err != nil {
		return err
	}
	return say("covered %d %s", seqs[1], base64.StdEncoding.EncodeToString(p.Checkpoint))
}

// TestKill kills a station again and again while it writes. What was acknowledged must be there, once and in place,
// and every checkpoint that was ever shown must be one of the ledger's history.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	der, err := x509.MarshalECPrivateKey(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "key.der"), der, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := crashConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := ledger.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	acked := map[int64]string{}
	var shown [][]byte
	for round := range 8 {
		shown = append(shown, kill(t, dir, 20+37*round, acked)...)
		l, err := ledger.Open(t.Context(), c)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		judge(t, l, acked, shown)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(acked) < 8*20 || len(shown) == 0 {
		t.Errorf("%d acknowledgements and %d checkpoints are too few to prove anything", len(acked), len(shown))
	}
}

// kill starts the victim, kills it after some acknowledgements, and notes all it said.
func kill(t *testing.T, dir string, after int, acked map[int64]string) (shown [][]byte) {
	t.Helper()
	return end(t, dir, "", after, acked, func(p *os.Process) {
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
	})
}

// end starts the victim, lets die kill it after some acknowledgements, and notes all it said.
func end(t *testing.T, dir, weak string, after int, acked map[int64]string, die func(*os.Process)) (shown [][]byte) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashFolder+"="+dir, crashWeak+"="+weak)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		word := strings.Fields(lines.Text())
		if len(word) != 3 {
			break // the line in which it died
		}
		seq, err := strconv.ParseInt(word[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if word[0] == "acked" {
			acked[seq] = word[2]
		} else if note, err := base64.StdEncoding.DecodeString(word[2]); err == nil {
			shown = append(shown, note)
		}
		if n == after {
			die(cmd.Process)
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the station was not killed but ended: %v", err)
	}
	return shown
}

func judge(t *testing.T, l *ledger.Ledger, acked map[int64]string, shown [][]byte) {
	t.Helper()
	size, covered := l.Size()
	if size != covered {
		t.Errorf("%d entries, %d covered after opening", size, covered)
	}
	for seq, detail := range acked {
		for _, n := range []int64{seq - 1, seq} { // both entries of the batch
			e, err := l.Reader().Entry(t.Context(), 1, n)
			if err != nil || e.Body.Detail != detail {
				t.Errorf("entry %d was acknowledged as %q and is %q, %v", n, detail, e.Body.Detail, err)
			}
		}
		if b, err := l.Reader().Blob(t.Context(), hexOf(detail)); err != nil || string(b) != detail {
			t.Errorf("blob of entry %d: %q, %v", seq, b, err)
		}
	}
	verified(t, l.Reader(), audit.Anchors{Keys: []*record.Verifier{l.Verifier()}, Known: shown})
}
