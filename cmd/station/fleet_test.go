// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/port"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/smp"
)

const fleet = 64

// TestFleetSurvivesTPM provisions 64 agents while the TPM is killed with 32
// boards waiting for it, and started again: all pass in the same run.
func TestFleetSurvivesTPM(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(fleet, "--root", p.rootDER())
	release := make(chan struct{})
	b := p.holdSignature(2, release)
	c := p.station(p.batchArgs(ports)...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	p.until("the first certificate is to be signed", func() bool { return b.counted("held") == 1 })
	if err := p.swtpm.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	close(release)
	p.until("32 boards wait for the TPM", func() bool { return p.count(record.KindIssuing)-p.count(record.KindIssued) >= 32 })
	_ = p.swtpm.Process.Kill()
	_ = p.swtpm.Wait()
	p.startTPM()
	if code := exitCode(t, c.Wait()); code != exitPassed {
		t.Fatalf("batch: exit %d\n%s%s", code, &out, &errs)
	}
	units, sum := events(t, out.String())
	if len(units) != fleet || sum.Passed != fleet {
		t.Errorf("%d units told, summary %+v", len(units), sum)
	}
	p.content()
	p.readBack(ports)
}

// TestFleetSurvivesKill kills the station with -9 in the middle of 64 boards.
// The next one finishes them all: no certificate outside the ledger, none
// twice for a key, every unit ends.
func TestFleetSurvivesKill(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(fleet)
	release := make(chan struct{})
	p.holdSignature(1+fleet/2+1, release) // else the last board may be done before we look
	c := p.station(p.batchArgs(ports)...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	p.until("half of the certificates are out", func() bool { return p.count(record.KindIssued) >= fleet/2 })
	_ = c.Process.Kill()
	_ = c.Wait()
	close(release)
	if n := p.count(record.KindEnd); n == fleet {
		t.Fatalf("the station was killed too late: %d of %d units had ended", n, fleet)
	}
	p.must(p.batchArgs(ports)...)
	p.content()
	p.readBack(ports)
}

// TestInterrupt stops a batch with SIGINT: exit 4, and the same command goes on.
func TestInterrupt(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(8)
	release := make(chan struct{})
	b := p.holdSignature(1+2, release)
	c := p.station(p.batchArgs(ports, "--jobs", "2")...)
	var out bytes.Buffer
	c.Stdout = &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	p.until("a certificate is out", func() bool { return p.count(record.KindIssued) > 0 })
	p.until("the next one waits for its signature", func() bool { return b.counted("held") == 1 })
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.until("boards that waited for their turn are told", func() bool { return p.count(record.KindEnd) > 2 })
	close(release)
	if code := exitCode(t, c.Wait()); code != exitInterrupted {
		t.Errorf("exit %d, want %d\n%s", code, exitInterrupted, &out)
	}
	units, _ := events(t, out.String())
	if len(units) != len(ports) {
		t.Errorf("%d of %d units told how they ended", len(units), len(ports))
	}
	p.content()
	p.must(p.batchArgs(ports)...)
	p.content()
}

// readBack asks every board for its chain: the certificate is in the ledger,
// and openssl finds that it leads to the root. The archived CSR verifies too.
func (p *plant) readBack(ports []string) {
	p.t.Helper()
	r, err := reader.Open(p.t.Context(), p.path("home/ledger/ledger.db"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Close()
	for i, name := range ports {
		chain := p.chainOf(name)
		leaf := filepath.Join(p.dir, fmt.Sprintf("leaf%d.pem", i+1))
		if err := os.WriteFile(leaf, chain, 0o600); err != nil {
			p.t.Fatal(err)
		}
		p.openssl("verify", "-CAfile", p.path("root/root.pem"), "-untrusted", leaf, leaf)
		block, _ := pem.Decode(chain)
		d := sha256.Sum256(block.Bytes)
		found, err := r.EntriesOf(p.t.Context(), reader.Query{Cert: hex.EncodeToString(d[:]), Kinds: []string{record.KindIssued}})
		if err != nil || len(found) != 1 {
			p.t.Errorf("%s holds a certificate with %d entries in the ledger, %v", name, len(found), err)
		}
	}
	issuing, err := r.EntriesOf(p.t.Context(), reader.Query{Kinds: []string{record.KindIssuing}})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range issuing {
		csr, err := r.Blob(p.t.Context(), e.Body.CSR)
		if err != nil {
			p.t.Fatal(err)
		}
		p.write("unit.csr", string(csr))
		p.openssl("req", "-verify", "-noout", "-inform", "DER", "-in", p.path("unit.csr"))
	}
}

// chainOf reads a board's chain as PEM.
func (p *plant) chainOf(name string) []byte {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), deadline)
	defer cancel()
	stream, err := port.Open(ctx, name, port.Options{Baud: 115200})
	if err != nil {
		p.t.Fatal(err)
	}
	client := smp.NewClient(smp.ClientConfig{Stream: stream, Baud: 115200})
	defer client.Close()
	s := enroll.New(enroll.Config{Client: client})
	info, err := s.WaitInfo(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	if info.State != enroll.Locked {
		p.t.Errorf("%s is %s, not locked", name, info.State)
	}
	der, err := s.Get(ctx, "chain")
	if err != nil {
		p.t.Fatal(err)
	}
	var out []byte
	for len(der) > 4 {
		n := 4 + int(der[2])<<8 + int(der[3]) // a certificate has 256 to 65535 bytes: 30 82 and two of length
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der[:n]})...)
		der = der[n:]
	}
	return out
}

func (p *plant) openssl(args ...string) {
	p.t.Helper()
	if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
		p.t.Errorf("openssl %v: %v\n%s", args, err, out)
	}
}

// rootDER writes the root as the firmware would carry it.
func (p *plant) rootDER() string {
	p.t.Helper()
	p.openssl("x509", "-in", p.path("root/root.pem"), "-outform", "DER", "-out", p.path("root.der"))
	return p.path("root.der")
}
