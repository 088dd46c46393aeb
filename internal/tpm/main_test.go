// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"provisioning.example/station/internal/tpm"
)

// made is a directory with a TPM made once by swtpm:DIR, copied by newTPM.
var made string

// patience bounds every wait of these tests, for the slowest machine: none needs
// it, and reaching it is a failure.
const patience = 5 * time.Minute

// TestMain makes the TPM, or, when asked by orphanVariable, plays the station
// that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(orphanVariable); dir != "" {
		playStation(dir)
		return
	}
	dir, err := os.MkdirTemp("", "tpm-test-")
	if err == nil {
		made = filepath.Join(dir, "made")
		err = makeTPM(made)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a TPM:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func makeTPM(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	t, err := tpm.Open(ctx, tpm.Config{Spec: "swtpm:" + dir})
	if err != nil {
		return err
	}
	return t.Close()
}

// newTPM returns a directory with a TPM of its own state.
func newTPM(t *testing.T) string {
	t.Helper()
	state, err := os.ReadFile(filepath.Join(made, "tpm2-00.permall"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tpm2-00.permall"), state, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// server is a swtpm that the test owns, as the user of unix:PATH would.
type server struct {
	t      *testing.T
	dir    string
	socket string
	flags  string
	more   []string // arguments
	cmd    *exec.Cmd
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, dir: newTPM(t), flags: "not-need-init,startup-clear"}
	s.socket = filepath.Join(s.dir, "raw")
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command("swtpm", append([]string{
		"socket", "--tpm2", "--tpmstate", "dir=" + s.dir,
		"--server", "type=unixio,path=" + s.socket, "--flags", s.flags,
	}, s.more...)...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	waitFor(s.t, "swtpm listens", func() bool {
		conn, err := net.Dial("unix", s.socket)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// withControl starts swtpm again with the control channel that the TPM's tools
// want beside the socket.
func (s *server) withControl() {
	s.t.Helper()
	s.kill()
	s.more = []string{"--ctrl", "type=unixio,path=" + s.socket + ".ctrl"}
	s.start()
}

// stop freezes swtpm: it takes connections and answers nothing.
func (s *server) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
}

// kill is kill -9.
func (s *server) kill() {
	if s.cmd.ProcessState == nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	}
}

// waitFor polls for a condition that another process brings about.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

// open opens spec for the time of the test.
func open(t *testing.T, cfg tpm.Config) *tpm.TPM {
	t.Helper()
	m, err := tpm.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// children lists the processes whose command line contains text.
func children(t *testing.T, text string) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscanf(e.Name(), "%d", &pid); err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && bytes.HasPrefix(line, []byte("swtpm\x00")) && bytes.Contains(line, []byte(text)) {
			pids = append(pids, pid)
		}
	}
	return pids
}
