// SPDX-License-Identifier: Apache-2.0

package provision_test

import (
	"context"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/port"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/tpm"
)

// The crash test runs the station in a process of its own: this test binary,
// started again. Boards are posix agents and the TPM is a swtpm: all of them
// outlive the station's death.
const (
	crashBench = "PROVISION_TEST_BENCH" // folder of the bench
	crashPoint = "PROVISION_TEST_POINT" // commit point to die at, "" for none
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashBench); dir != "" {
		if err := crashStation(dir, os.Getenv(crashPoint)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if plan := os.Getenv(outageEnv); plan != "" {
		if err := outageStation(plan); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const crashBoards = 6

// crashKeys name the bench's keys and certificates.
type crashKeys struct {
	CA, Checkpoint tpm.KeyRef
	Counter        tpm.CounterRef
	Chain          [][]byte // DER, intermediate first
}

func crashPIN() ([]byte, error) { return []byte("482913"), nil }

// crashStation is the station's program: it provisions every board of the
// bench, and dies by SIGKILL at the commit point, the moment half of the
// boards have come to it.
func crashStation(dir, point string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := openCrashBench(ctx, dir, ledger.Config{Path: filepath.Join(dir, "ledger.db")})
	if err != nil {
		return err
	}
	defer b.close()
	product, err := provision.NewProduct(provision.ProductConfig{Name: "gw-2", Model: "posix"})
	if err != nil {
		return err
	}
	profile, err := issuer.BuiltinProfile("mtls")
	if err != nil {
		return err
	}
	var bad atomic.Int32
	st, err := provision.New(ctx, provision.Config{
		Ledger: b.ledger, Reader: b.ledger.Reader(), Issuer: b.issuer, Profile: profile, Product: product,
		Operator: "os:test", Software: "station test", Slots: crashBoards,
		Open: func(ctx context.Context, name string) (smp.Stream, error) {
			return port.Open(ctx, name, port.Options{Baud: 115200})
		},
		Observe: func(e provision.Event) {
			if e.End != nil && e.End.Outcome != record.Passed {
				bad.Add(1)
				fmt.Fprintf(os.Stderr, "slot %d: %v\n", e.End.Slot, e.End.Fault)
			}
		},
	})
	if err != nil {
		return err
	}
	var passed atomic.Int32
	st.OnCommit(func(p string) {
		if p == point && passed.Add(1) == crashBoards/2 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	})
	for i := range crashBoards {
		st.Attach(0, crashPort(dir, i), "")
	}
	st.Provision()
	if err := st.Wait(ctx); err != nil {
		return err
	}
	if bad.Load() > 0 {
		return fmt.Errorf("%d boards did not pass", bad.Load())
	}
	return nil
}

func crashPort(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("port%d", i)) }

// crashOpen is an opened bench.
type crashOpen struct {
	tpm    *tpm.TPM
	keys   crashKeys
	ledger *ledger.Ledger
	issuer *issuer.Issuer
}

func (b *crashOpen) close() { _ = errors.Join(b.ledger.Close(), b.tpm.Close()) }

// openCrashBench opens TPM, issuer and, as c says, the ledger, which is signed
// by the TPM. With a gate, it is sealed, too.
func openCrashBench(ctx context.Context, dir string, c ledger.Config) (*crashOpen, error) {
	b, err := openCrashTPM(ctx, dir)
	if err != nil {
		return nil, err
	}
	if c.Origin = origin; c.Signer == nil {
		if c.Signer, err = b.tpm.Key(ctx, b.keys.Checkpoint, crashPIN); err != nil {
			return nil, err
		}
	}
	b.ledger, err = ledger.Open(ctx, c)
	return b, err
}

// openCrashTPM opens what does not need the ledger.
func openCrashTPM(ctx context.Context, dir string) (*crashOpen, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "keys.json"))
	if err != nil {
		return nil, err
	}
	b := &crashOpen{}
	if err := json.Unmarshal(raw, &b.keys); err != nil {
		return nil, err
	}
	if b.tpm, err = tpm.Open(ctx, tpm.Config{Spec: "unix:" + filepath.Join(dir, "sock")}); err != nil {
		return nil, err
	}
	ca, err := b.tpm.Key(ctx, b.keys.CA, crashPIN)
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for _, der := range b.keys.Chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	b.issuer, err = issuer.New(issuer.Config{Chain: chain, Signer: ca})
	return b, err
}

// TestKilledAtEveryCommitPoint kills the station with SIGKILL at each commit
// point and starts it again: no certificate outside the ledger, none twice for
// a key, every unit ends, the ledger is valid.
func TestKilledAtEveryCommitPoint(t *testing.T) {
	for _, point := range []string{"key", "issuing", "signed", "issued", "installed", "proven", "locked", "end"} {
		t.Run(point, func(t *testing.T) {
			dir := makeCrashBench(t)
			out, err := runCrashStation(t, dir, point)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !exit.Sys().(syscall.WaitStatus).Signaled() {
				t.Fatalf("the station did not die at %s: %v\n%s", point, err, out)
			}
			if out, err := runCrashStation(t, dir, ""); err != nil {
				t.Fatalf("the next station: %v\n%s", err, out)
			}
			checkCrashBench(t, dir)
		})
	}
}

func runCrashStation(t *testing.T, dir, point string) ([]byte, error) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), crashBench+"="+dir, crashPoint+"="+point)
	return c.CombinedOutput()
}

// makeCrashBench makes TPM, keys, authority, ledger and boards.
func makeCrashBench(t *testing.T) string {
	t.Helper()
	dir := makeCrashTPM(t)
	b, err := openCrashTPM(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.tpm.Close()
	checkpoint, err := b.tpm.Key(t.Context(), b.keys.Checkpoint, crashPIN)
	if err != nil {
		t.Fatal(err)
	}
	if err := ledger.Create(t.Context(), ledger.Config{Path: filepath.Join(dir, "ledger.db"), Origin: origin, Signer: checkpoint}); err != nil {
		t.Fatal(err)
	}
	agent, err := filepath.Abs("../../firmware/build/posix-agent")
	if err != nil {
		t.Fatal(err)
	}
	for i := range crashBoards {
		start(t, agent, "--state", filepath.Join(dir, fmt.Sprintf("state%d", i)), "--link", crashPort(dir, i),
			"--uid", fmt.Sprintf("0badcafe%02x", i), "--model", "posix", "--prot", "7")
	}
	for i := range crashBoards {
		waitFor(t, "an agent's port", func() bool { _, err := os.Stat(crashPort(dir, i)); return err == nil })
	}
	return dir
}

// makeCrashTPM makes TPM, keys and authority.
func makeCrashTPM(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cr") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	state := filepath.Join(dir, "tpm")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	start(t, "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state,
		"--server", "type=unixio,path="+filepath.Join(dir, "sock"), "--flags", "not-need-init,startup-clear")
	waitFor(t, "swtpm listens", func() bool { return listens(filepath.Join(dir, "sock")) })
	makeCrashKeys(t, dir)
	return dir
}

func start(t *testing.T, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatalf("%v (run make firmware first)", err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
}

// listens reports whether somebody takes connections on a socket: its name is
// there a moment earlier.
func listens(socket string) bool {
	c, err := net.Dial("unix", socket)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// waitFor polls for a condition that another process brings about.
func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func makeCrashKeys(t *testing.T, dir string) {
	t.Helper()
	ctx := t.Context()
	dev, err := tpm.Open(ctx, tpm.Config{Spec: "unix:" + filepath.Join(dir, "sock")})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	var k crashKeys
	pin, _ := crashPIN()
	if k.CA, _, err = dev.CreateKey(ctx, tpm.CA, elliptic.P256(), pin); err != nil {
		t.Fatal(err)
	}
	if k.Checkpoint, _, err = dev.CreateKey(ctx, tpm.Checkpoint, elliptic.P256(), pin); err != nil {
		t.Fatal(err)
	}
	if k.Counter, err = dev.DefineCounter(ctx, pin); err != nil {
		t.Fatal(err)
	}
	ca, err := dev.Key(ctx, k.CA, crashPIN)
	if err != nil {
		t.Fatal(err)
	}
	// The root of a world in software certifies the TPM's key.
	w := &world{t: t}
	w.makeAuthority()
	template := *w.issuer.Certificate()
	spki, err := x509.MarshalPKIXPublicKey(ca.Public())
	if err != nil {
		t.Fatal(err)
	}
	template.SubjectKeyId, template.SerialNumber = issuer.KeyIdentifier(spki), big.NewInt(77)
	der, err := x509.CreateCertificate(rand.Reader, &template, w.issuer.Root(), ca.Public(), w.rootKey)
	if err != nil {
		t.Fatal(err)
	}
	k.Chain = [][]byte{der, w.issuer.Root().Raw}
	raw, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"keys.json": raw, "root.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.issuer.Root().Raw}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// checkCrashBench reads ledger and boards afterwards, with the station gone.
func checkCrashBench(t *testing.T, dir string) {
	t.Helper()
	ctx := t.Context()
	r, err := reader.Open(ctx, filepath.Join(dir, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	report, err := audit.Verify(ctx, r, audit.Anchors{})
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() || report.Open > 0 {
		t.Errorf("%s %v", report.Verdict(), report.Findings)
	}
	for i := range crashBoards {
		q := reader.Query{Model: "posix", UID: fmt.Sprintf("0badcafe%02x", i)}
		entries, err := r.EntriesOf(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		certs := map[string]string{} // certificate by key
		ended := ""
		for _, e := range entries {
			switch e.Body.Kind {
			case record.KindIssued:
				if old, twice := certs[e.Body.SPKI]; twice {
					t.Errorf("board %d: key %.8s got certificates %.8s and %.8s", i, e.Body.SPKI, old, e.Body.Cert)
				}
				certs[e.Body.SPKI] = e.Body.Cert
			case record.KindEnd:
				ended = e.Body.Outcome
			}
		}
		if ended != record.Passed {
			t.Errorf("board %d ended %q", i, ended)
		}
		spki, chain := boardState(t, crashPort(dir, i))
		blob, err := r.Blob(ctx, certs[spki])
		if err != nil || len(chain) < len(blob) || string(chain[:len(blob)]) != string(blob) {
			t.Errorf("board %d holds a certificate for key %.8s that is not the ledger's: %v", i, spki, err)
		}
	}
}

// boardState asks a board for its key and chain.
func boardState(t *testing.T, name string) (spki string, chain []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := port.Open(ctx, name, port.Options{Baud: 115200})
	if err != nil {
		t.Fatal(err)
	}
	client := smp.NewClient(smp.ClientConfig{Stream: stream, Baud: 115200})
	defer client.Close()
	s := enroll.New(enroll.Config{Client: client})
	info, err := s.WaitInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if info.State != enroll.Locked || info.SPKI == nil {
		t.Fatalf("%s is %s", name, info.State)
	}
	if chain, err = s.Get(ctx, "chain"); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", *info.SPKI), chain
}
