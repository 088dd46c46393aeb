// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"bufio"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"provisioning.example/station/internal/tpm"
)

// orphanVariable makes the test binary a station with a swtpm child in the
// directory it names.
const orphanVariable = "TPM_TEST_STATION"

// playStation opens the TPM, says so, and waits to be killed.
func playStation(dir string) {
	if _, err := tpm.Open(context.Background(), tpm.Config{Spec: "swtpm:" + dir}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("open")
	select {}
}

// TestNoOrphan kills the station: its swtpm ends too, and the next station,
// started at once, gets the TPM.
func TestNoOrphan(t *testing.T) {
	dir := newTPM(t)
	for range 3 {
		station := exec.Command(os.Args[0])
		station.Env = append(os.Environ(), orphanVariable+"="+dir)
		out, err := station.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := station.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || line != "open\n" {
			t.Fatalf("the station says %q, %v", line, err)
		}
		pids := children(t, dir)
		if len(pids) != 1 {
			t.Fatalf("children of %s: %v", dir, pids)
		}
		if group, err := syscall.Getpgid(pids[0]); err != nil || group != pids[0] {
			t.Errorf("swtpm %d is in process group %d (%v): Ctrl-C would end it before the station", pids[0], group, err)
		}
		if err := station.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		station.Wait()
	}
	m := open(t, tpm.Config{Spec: "swtpm:" + dir})
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "no swtpm is left", func() bool { return len(children(t, dir)) == 0 })
}

// TestOneStation refuses a directory that is in use.
func TestOneStation(t *testing.T) {
	dir := newTPM(t)
	m := open(t, tpm.Config{Spec: "swtpm:" + dir})
	if second, err := tpm.Open(t.Context(), tpm.Config{Spec: "swtpm:" + dir}); err == nil {
		second.Close()
		t.Error("two stations use one TPM")
	} else if !strings.Contains(err.Error(), "in use") {
		t.Error(err)
	}
	// The first was not harmed, not even its socket.
	if err := sign(t.Context(), newKey(t, m, tpm.CA), crypto.SHA256, "x"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "sock")); err != nil {
		t.Error(err)
	}
}

// TestForeignSwtpm names the process that holds the state.
func TestForeignSwtpm(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	m, err := tpm.Open(ctx, tpm.Config{Spec: "swtpm:" + s.dir})
	if err == nil {
		m.Close()
		t.Fatal("two swtpm use one state")
	}
	if want := fmt.Sprintf("in use by process %d", s.cmd.Process.Pid); !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

// TestNotInstalled says what to install.
func TestNotInstalled(t *testing.T) {
	found, empty := newTPM(t), t.TempDir()
	t.Setenv("PATH", t.TempDir())
	for _, dir := range []string{found, empty} {
		if m, err := tpm.Open(t.Context(), tpm.Config{Spec: "swtpm:" + dir}); err == nil {
			m.Close()
			t.Error("opened without swtpm")
		} else if !strings.Contains(err.Error(), "install the package") {
			t.Error(err)
		}
	}
}

// TestDirectories makes and uses TPMs at awkward places.
func TestDirectories(t *testing.T) {
	base := t.TempDir()
	for _, dir := range []string{
		filepath.Join(base, "with space"),
		filepath.Join(base, strings.Repeat("long/", 40), "dir"), // longer than a socket address
	} {
		for range 2 { // made, then found
			m, err := tpm.Open(t.Context(), tpm.Config{Spec: "swtpm:" + dir})
			if err != nil {
				t.Fatal(err)
			}
			if err := sign(t.Context(), newKey(t, m, tpm.Checkpoint), crypto.SHA256, "x"); err != nil {
				t.Error(err)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, info.Mode(), err)
		}
	}
}

// TestRelative survives a change of the working directory.
func TestRelative(t *testing.T) {
	dir := newTPM(t)
	t.Chdir(filepath.Dir(dir))
	m := open(t, tpm.Config{Spec: "swtpm:" + filepath.Base(dir)})
	t.Chdir("/")
	k := newKey(t, m, tpm.CA)
	signal(t, children(t, dir)[0], syscall.SIGKILL)
	if err := sign(t.Context(), k, crypto.SHA256, "x"); err != nil {
		t.Error(err)
	}
}

// TestManufacture keeps everything inside the directory: the certificate of the
// endorsement key in the TPM chains to the authority beside it, and nothing of
// the making is left.
func TestManufacture(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", home)
	dir := filepath.Join(t.TempDir(), "tpm")
	// What an interrupted making leaves does not matter.
	if err := os.MkdirAll(filepath.Join(dir, "making", "ek-ca"), 0o755); err != nil {
		t.Fatal(err)
	}
	open(t, tpm.Config{Spec: "swtpm:" + dir}).Close()
	for _, d := range []struct{ path, want string }{
		{home, ""},
		{dir, ".lock ek-ca lock tpm2-00.permall"},
	} {
		entries, err := os.ReadDir(d.path)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if got := strings.Join(names, " "); got != d.want {
			t.Errorf("%s holds %q, want %q", d.path, got, d.want)
		}
	}
	checkEndorsement(t, dir)
}

// checkEndorsement reads the certificate of the RSA endorsement key out of the
// TPM and verifies it up to the authority's root.
func checkEndorsement(t *testing.T, dir string) {
	t.Helper()
	s := &server{t: t, dir: dir, socket: filepath.Join(t.TempDir(), "raw"), flags: "not-need-init,startup-clear"}
	s.start()
	t.Cleanup(s.kill)
	cert, err := x509.ParseCertificate(readNV(t, dialRaw(t, s), 0x01C00002))
	if err != nil {
		t.Fatal(err)
	}
	pool := func(file string) *x509.CertPool {
		text, err := os.ReadFile(filepath.Join(dir, "ek-ca", file))
		if err != nil {
			t.Fatal(err)
		}
		if block, _ := pem.Decode(text); block == nil {
			t.Fatalf("%s holds no PEM block", file)
		}
		p := x509.NewCertPool()
		p.AppendCertsFromPEM(text)
		return p
	}
	// Its subject alternative name holds a directory name, which Go leaves to
	// the caller.
	cert.UnhandledCriticalExtensions = nil
	if _, err := cert.Verify(x509.VerifyOptions{
		Intermediates: pool("issuercert.pem"), Roots: pool("swtpm-localca-rootca-cert.pem"),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}); err != nil {
		t.Error(err)
	}
}

// readNV reads an index that its own empty password opens.
func readNV(t *testing.T, r raw, index tpm2.TPMHandle) []byte {
	t.Helper()
	pub, err := tpm2.NVReadPublic{NVIndex: index}.Execute(r)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := pub.NVPublic.Contents()
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	for len(data) < int(contents.DataSize) {
		rsp, err := tpm2.NVRead{
			AuthHandle: tpm2.AuthHandle{Handle: index, Name: pub.NVName, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    tpm2.NamedHandle{Handle: index, Name: pub.NVName},
			Size:       min(512, contents.DataSize-uint16(len(data))), Offset: uint16(len(data)),
		}.Execute(r)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, rsp.Data.Buffer...)
	}
	return data
}

// TestStateGone does not make another TPM in place of the one it used.
func TestStateGone(t *testing.T) {
	dir := newTPM(t)
	m := open(t, tpm.Config{Spec: "swtpm:" + dir, Patience: 1})
	k := newKey(t, m, tpm.CA)
	state := filepath.Join(dir, "tpm2-00.permall")
	if err := os.Rename(state, state+".away"); err != nil {
		t.Fatal(err)
	}
	signal(t, children(t, dir)[0], syscall.SIGKILL)
	var err error
	waitFor(t, "the loss shows its reason", func() bool {
		err = sign(t.Context(), k, crypto.SHA256, "x")
		return err == nil || strings.Contains(err.Error(), "holds tpm2-00.permall.away but no TPM")
	})
	if err == nil {
		t.Fatal("signed without a TPM")
	}
	if err := os.Rename(state+".away", state); err != nil {
		t.Fatal(err)
	}
	if err := sign(t.Context(), k, crypto.SHA256, "x"); err != nil {
		t.Error(err)
	}
}
