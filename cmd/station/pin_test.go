// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/tpm"
)

// TestPINTypedOnce runs a batch of four boards at a terminal: the PIN is asked
// for once, is not shown, and is neither among the arguments nor in the
// environment.
func TestPINTypedOnce(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(4)
	c := p.station(append([]string{"batch", "--json"}, portArgs(ports)...)...)
	var out bytes.Buffer
	c.Stdout = &out
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	c.Stdin, c.Stderr = slave, slave
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	var shown bytes.Buffer
	if err := readUntil(master, &shown, "PIN of the CA key: "); err != nil {
		t.Fatalf("%v\n%s", err, &shown)
	}
	for _, file := range []string{"cmdline", "environ"} {
		told, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", c.Process.Pid, file))
		if err != nil || len(told) == 0 || bytes.Contains(told, []byte("482913")) {
			t.Errorf("%s: %v %q", file, err, told)
		}
	}
	if _, err := master.WriteString("482913\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(&shown, master) // ends with an error when the process has gone
	if code := exitCode(t, c.Wait()); code != exitPassed {
		t.Fatalf("batch: exit %d\n%s%s", code, &out, &shown)
	}
	if n := strings.Count(shown.String(), "PIN of the CA key"); n != 1 {
		t.Errorf("the PIN was asked for %d times:\n%s", n, &shown)
	}
	if strings.Contains(shown.String(), "482913") {
		t.Errorf("the PIN is shown:\n%s", &shown)
	}
	if _, sum := events(t, out.String()); sum.Passed != 4 {
		t.Errorf("%+v", sum)
	}
}

// TestPINNeverShown holds the question back in a full pipe: the terminal shows
// nothing any more before it is asked, for some type at once.
func TestPINNeverShown(t *testing.T) {
	p := newPlant(t, posixProduct)
	c := p.station("ca", "request")
	c.Env = append(c.Env, "LC_ALL=C") // the toolkit complains of others before anything else
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	said, full, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	size, err := unix.FcntlInt(full.Fd(), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := full.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	c.Stdin, c.Stderr = slave, full
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	full.Close()
	p.until("the terminal shows nothing", func() bool {
		mode, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
		return err == nil && mode.Lflag&unix.ECHO == 0
	})
	if _, err := master.WriteString("482913\n"); err != nil {
		t.Fatal(err)
	}
	questions, err := io.ReadAll(said)
	if code := exitCode(t, c.Wait()); code != exitPassed || err != nil || !bytes.Contains(questions, []byte("PIN of the CA key: ")) {
		t.Errorf("exit %d, %v, %q", code, err, bytes.Trim(questions, "\x00"))
	}
	mode, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil || mode.Lflag&unix.ECHO == 0 {
		t.Errorf("the terminal is left showing nothing, %v", err)
	}
}

func readUntil(r io.Reader, shown *bytes.Buffer, want string) error {
	b := make([]byte, 1)
	for !strings.Contains(shown.String(), want) {
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		shown.Write(b)
	}
	return nil
}

// TestSecretKept moves a secret into its page and wipes it.
func TestSecretKept(t *testing.T) {
	given := []byte("482913")
	k, err := keepSecret(given)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(given, make([]byte, 6)) {
		t.Errorf("what was given is still %q", given)
	}
	if b, err := k.get(); err != nil || string(b) != "482913" {
		t.Errorf("kept %q, %v", b, err)
	}
	if flags := pageFlags(t, &k.secret[0]); !slices.Contains(flags, "lo") || !slices.Contains(flags, "dd") {
		t.Errorf("the page may be swapped out or dumped: %v", flags)
	}
	k.wipe()
	k.wipe()
	if b, err := k.get(); err == nil {
		t.Errorf("wiped, and still %q", b)
	}
	if _, err := keepSecret(make([]byte, os.Getpagesize()+1)); err == nil {
		t.Error("a secret longer than a page is kept")
	}
}

// pageFlags are the kernel's flags of the mapping that an address lies in:
// lo is locked into memory, dd is left out of dumps (proc(5), smaps).
func pageFlags(t *testing.T, at *byte) []string {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	address := uintptr(unsafe.Pointer(at))
	inside := false
	for line := range strings.Lines(string(smaps)) {
		var from, to uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 {
			inside = from <= address && address < to
		}
		if flags, found := strings.CutPrefix(line, "VmFlags:"); found && inside {
			return strings.Fields(flags)
		}
	}
	t.Fatal("the page is not mapped")
	return nil
}

// TestNoCoreDump asks the kernel what it would do.
func TestNoCoreDump(t *testing.T) {
	before, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_DUMPABLE, uintptr(before), 0, 0, 0)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil { // another test may have read a secret
		t.Fatal(err)
	}
	if _, err := (secretFlags{file: "nothing", fd: -1}).read("a secret"); err == nil {
		t.Error("a secret was read from nothing")
	}
	if is, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || is != 0 {
		t.Errorf("dumpable is %d, %v", is, err)
	}
}

// TestPINCredential hands the PIN over as systemd does: a folder named by the
// environment. The ledger says from when on nobody was needed, and from when on
// somebody was again.
func TestPINCredential(t *testing.T) {
	t.Parallel()
	p := newPlant(t, posixProduct)
	ports := p.agents(4)
	if err := os.Mkdir(p.path("credentials"), 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(port string, credentials string, args ...string) (int, string) {
		c := p.station(append([]string{"batch", "--json", "--port", port}, args...)...)
		if credentials != "" {
			c.Env = append(c.Env, credentialsVariable+"="+p.path(credentials))
		}
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		return exitCode(t, c.Run()), out.String()
	}
	if code, out := run(ports[0], ""); code != exitUnfit || !strings.Contains(out, "--pin-credential") {
		t.Errorf("no PIN at all: exit %d %s", code, out)
	}
	if code, out := run(ports[0], "", "--pin-credential", "line"); code != exitUsage || !strings.Contains(out, "given to a service only") {
		t.Errorf("no service: exit %d %s", code, out)
	}
	if code, out := run(ports[0], "credentials", "--pin-credential", "../pin"); code != exitUsage || !strings.Contains(out, "no plain name") {
		t.Errorf("a path: exit %d %s", code, out)
	}
	if code, out := run(ports[0], "credentials", "--pin-credential", "line"); code != exitUsage || !strings.Contains(out, "LoadCredentialEncrypted=line") {
		t.Errorf("no such credential: exit %d %s", code, out)
	}
	p.write("credentials/line", "482913")
	for i, args := range [][]string{{"--pin-credential", "line"}, {"--pin-credential", "line"}, {"--pin-file", p.path("pin")}} {
		if code, out := run(ports[i], "credentials", args...); code != exitPassed {
			t.Fatalf("%v: exit %d %s", args, code, out)
		}
	}
	p.write("credentials/"+caPINCredential, "482913\n")
	if code, out := run(ports[3], "credentials"); code != exitPassed {
		t.Fatalf("the automatic credential: exit %d %s", code, out)
	}
	p.sqlite(`select group_concat(json_extract(body, '$.new'), ', ') from entry where kind = 'config' and body like '%hand-over of the CA%'`,
		"systemd credential line, by a person, systemd credential ca-pin")
	if out, err := exec.Command("grep", "-c", "482913", p.path("home/ledger/ledger.db")).CombinedOutput(); err == nil {
		t.Errorf("the PIN is in the ledger: %s", out)
	}
}

// TestPINChange changes the PIN: the new one works, the old one is refused, said
// and not tried twice, and nothing of the old copy is left in the TPM.
func TestPINChange(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(1)
	p.write("new", "731904\n")
	p.write("wrong", "111111\n")
	code, _, errs := p.do("ca", "pin", "--pin-file", p.path("wrong"), "--new-pin-file", p.path("new"))
	if code != exitUnfit || !strings.Contains(errs, "not tried again") || !strings.Contains(errs, "31 more") && !strings.Contains(errs, "2 more") {
		t.Errorf("a wrong old PIN: exit %d %s", code, errs)
	}
	if da := p.lockout(); da.Used != 1 {
		t.Errorf("a wrong PIN was counted %d times", da.Used)
	}
	if n := p.count(record.KindConfig); n != 0 {
		t.Errorf("a change that was refused is on record")
	}
	before, err := os.ReadFile(p.path("home/station.toml"))
	if err != nil {
		t.Fatal(err)
	}
	out := p.must("ca", "pin", "--pin-file", p.path("pin"), "--new-pin-file", p.path("new"))
	if !strings.Contains(out, "still\nloads in this TPM with the old PIN. Then a new key is needed") {
		t.Errorf("it does not say what it did not do: %s", out)
	}
	p.sqlite(`select group_concat(json_extract(body, '$.what')) from entry where kind = 'config'`, "PIN of the CA key")
	if code, _, errs := p.do(p.batchArgs(ports)...); code != exitUnfit || !strings.Contains(errs, "refused the PIN") {
		t.Errorf("the old PIN: exit %d %s", code, errs)
	}
	p.write("pin", "731904\n")
	p.must(p.batchArgs(ports)...)
	p.content()
	after, err := os.ReadFile(p.path("home/station.toml"))
	if err != nil || bytes.Equal(before, after) {
		t.Errorf("station.toml still names the old copy, %v", err)
	}
	// As if the power had failed before station.toml was saved: the old PIN holds.
	p.write("home/station.toml", string(before))
	if code, out, _ := p.do("doctor"); code != exitUnfit || !hasStop(out, "keys") {
		t.Errorf("a copy that is gone: exit %d %s", code, out)
	}
	p.write("home/station.toml", string(after))
}

// TestPINChangeInterrupted leaves a copy behind, as a power cut does: doctor
// tells of it, the old PIN holds, and the next change removes it.
func TestPINChangeInterrupted(t *testing.T) {
	p := newPlant(t, posixProduct)
	p.write("new", "731904\n")
	h, err := openHome(p.path("home"))
	if err != nil {
		t.Fatal(err)
	}
	p.withTPM(func(m *tpm.TPM) {
		if _, err := m.ChangePIN(t.Context(), *h.cfg.Keys.CA, []byte("482913"), []byte("731904")); err != nil {
			t.Fatal(err)
		}
	})
	if code, out, _ := p.do("doctor"); code != exitPassed || !strings.Contains(out, "copy of the CA key") {
		t.Errorf("doctor: exit %d %s", code, out)
	}
	p.must("ca", "pin", "--pin-file", p.path("pin"), "--new-pin-file", p.path("new"))
	if _, out, _ := p.do("doctor"); strings.Contains(out, "copy of the CA key") {
		t.Errorf("doctor: %s", out)
	}
}

// withTPM uses the TPM between two commands of the station.
func (p *plant) withTPM(use func(*tpm.TPM)) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), deadline)
	defer cancel()
	m, err := tpm.Open(ctx, tpm.Config{Spec: "unix:" + p.path("sock")})
	if err != nil {
		p.t.Fatal(err)
	}
	defer m.Close()
	use(m)
}

func (p *plant) lockout() (da tpm.DAState) {
	p.t.Helper()
	p.withTPM(func(m *tpm.TPM) {
		var err error
		if da, err = m.DA(p.t.Context()); err != nil {
			p.t.Fatal(err)
		}
	})
	return da
}
