// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"provisioning.example/station/bench/proxy"
	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/tpm"
)

const (
	pin     = "482913"
	model   = "posix"
	patient = 30 * time.Second // for a process to come up
)

// plant is a root, a station's home, a swtpm and a proxy before it, in a folder
// of its own. The station and the agents are the built programs.
type plant struct {
	dir, station, agent string
	proxy               *proxy.Proxy
	lots                lots
	boards              int // started so far: each has its own uid
	close               []func() error
}

// newPlant makes everything up to an installed intermediate.
func newPlant(ctx context.Context, station, agent string) (_ *plant, err error) {
	// A socket's path may have 107 bytes at most, so this cannot lie deep.
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	p := &plant{dir: dir, station: station, agent: agent}
	p.later(func() error { return os.RemoveAll(dir) })
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if err := p.startTPM(ctx); err != nil {
		return nil, err
	}
	if p.proxy, err = proxy.New(proxy.Config{Upstream: p.path("tpm.sock"), Listen: p.path("proxy.sock")}); err != nil {
		return nil, err
	}
	p.later(p.proxy.Close)
	if err := errors.Join(p.write("pin", pin+"\n"), p.write("passphrase", "correct horse battery\n")); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"root", "create", "--root", p.path("root"), "--cn", "Bench root", "--passphrase-file", p.path("passphrase")},
		{"init", "--tpm", "unix:" + p.path("proxy.sock"), "--name", "plant/bench", "--pin-file", p.path("pin")},
		{"ca", "request", "--pin-file", p.path("pin")},
		{
			"root", "sign", "--root", p.path("root"), "--passphrase-file", p.path("passphrase"),
			"--in", p.path("home/ca/request.pem"), "--out", p.path("answer.pem"),
		},
		{"ca", "install", p.path("answer.pem")},
	} {
		if err := p.run(ctx, args...); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *plant) path(name string) string { return filepath.Join(p.dir, name) }

func (p *plant) write(name, text string) error {
	return os.WriteFile(p.path(name), []byte(text), 0o600)
}

// later is done at Close, the last first.
func (p *plant) later(f func() error) { p.close = append(p.close, f) }

// Close ends all processes and removes the folder.
func (p *plant) Close() error {
	var errs []error
	for i := len(p.close) - 1; i >= 0; i-- {
		errs = append(errs, p.close[i]())
	}
	return errors.Join(errs...)
}

func (p *plant) startTPM(ctx context.Context) error {
	if err := os.Mkdir(p.path("tpm"), 0o700); err != nil {
		return err
	}
	setup := exec.CommandContext(ctx, "swtpm_setup", "--tpm2", "--tpmstate", "dir://"+p.path("tpm"), "--pcr-banks", "sha256")
	if out, err := setup.CombinedOutput(); err != nil {
		return fmt.Errorf("swtpm_setup: %w\n%s", err, out)
	}
	up := func() bool { return listens(p.path("tpm.sock")) && listens(p.path("tpm.sock.ctrl")) }
	return p.start(ctx, up, "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+p.path("tpm"),
		"--server", "type=unixio,path="+p.path("tpm.sock"), "--ctrl", "type=unixio,path="+p.path("tpm.sock.ctrl"),
		"--flags", "not-need-init,startup-clear")
}

// listens tells whether somebody takes connections on a socket: its name is
// there a moment earlier.
func listens(socket string) bool {
	c, err := net.Dial("unix", socket)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// there tells whether a file has its name.
func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// start starts a process that ends with this one, and returns when it is up.
func (p *plant) start(ctx context.Context, up func() bool, name string, args ...string) error {
	c := exec.Command(name, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		return err
	}
	p.later(func() error { _ = c.Process.Kill(); _ = c.Wait(); return nil })
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !up() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s does not come up: %w", name, ctx.Err())
		}
	}
	return nil
}

// command prepares the station's program.
func (p *plant) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, p.station, args...)
	c.Env = append(os.Environ(), "STATION_HOME="+p.path("home"))
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

func (p *plant) run(ctx context.Context, args ...string) error {
	if out, err := p.command(ctx, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("station %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// product makes the station build boards on lines of this speed.
func (p *plant) product(baud int) error {
	if err := p.write("home/products/bench.toml", fmt.Sprintf("name = \"bench\"\nmodel = %q\nbaud = %d\n", model, baud)); err != nil {
		return err
	}
	text, err := os.ReadFile(p.path("home/station.toml"))
	if err != nil {
		return err
	}
	return p.write("home/station.toml", strings.Replace(string(text), "product = ''", "product = 'bench'", 1))
}

// board starts a blank posix agent and returns its tty.
func (p *plant) board(ctx context.Context) (string, error) {
	p.boards++
	tty := p.path(fmt.Sprintf("board%d", p.boards))
	return tty, p.start(ctx, func() bool { return there(tty) }, p.agent, "--state", tty+".flash", "--link", tty, "--model", model,
		"--uid", fmt.Sprintf("00c0ffee%04x", p.boards))
}

// end is how a unit ended, as the station's batch told it.
type end struct {
	Port, UID, Outcome, Fault, Detail string
	Retries                           int
	at                                time.Time // when it was told
}

// batch provisions the boards on these ports, and wants all of them to pass.
func (p *plant) batch(ctx context.Context, ports []string, more ...string) ([]end, error) {
	args := append([]string{"batch", "--json", "--pin-file", p.path("pin")}, more...)
	for _, port := range ports {
		args = append(args, "--port", port)
	}
	var errs bytes.Buffer
	c := p.command(ctx, args...)
	c.Stderr = &errs
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return nil, err
	}
	ends, err := readEnds(out)
	if err := errors.Join(err, c.Wait()); err != nil {
		return nil, fmt.Errorf("station batch: %w\n%s%+v", err, &errs, ends)
	}
	if len(ends) != len(ports) {
		return nil, fmt.Errorf("station batch: %d of %d units told how they ended", len(ends), len(ports))
	}
	return ends, nil
}

// readEnds stamps each line as it comes.
func readEnds(out io.Reader) ([]end, error) {
	var ends []end
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var e struct {
			Event string
			end
		}
		e.at = time.Now()
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return ends, fmt.Errorf("%w in %q", err, lines.Text())
		}
		if err := json.Unmarshal(lines.Bytes(), &e.end); err != nil {
			return ends, err
		}
		if e.Event == "unit" {
			ends = append(ends, e.end)
		}
	}
	return ends, lines.Err()
}

// ca returns the station's chain and a reference to its key.
func (p *plant) ca() ([]*x509.Certificate, tpm.KeyRef, error) {
	var ref tpm.KeyRef
	installed, err := authority.Load(p.path("home/ca"))
	if err != nil {
		return nil, ref, err
	}
	text, err := os.ReadFile(p.path("home/station.toml"))
	if err != nil {
		return nil, ref, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "ca = "); ok {
			return installed.Chain, ref, ref.UnmarshalText([]byte(strings.Trim(value, `'"`)))
		}
	}
	return nil, ref, errors.New("station.toml names no CA key")
}
