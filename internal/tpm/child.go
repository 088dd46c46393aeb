// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const (
	socketName = "sock"
	// lockName is locked by the process that uses the directory: a second
	// swtpm would unlink the socket of the first before it finds the state
	// taken.
	lockName = "lock"
	// maxSocketPath is the longest path a socket address holds on every Unix
	// (104 bytes with the final zero; Linux has 108).
	maxSocketPath = 103
)

// childSource is a swtpm that we start, keep alive and end.
type childSource struct {
	dir     string
	log     *slog.Logger
	lock    *os.File
	proc    *process
	newborn bool
}

func newChild(dir string, log *slog.Logger) (source, error) {
	if runtime.GOOS == "windows" {
		return nil, errors.New("swtpm does not run on Windows: use tbs")
	}
	dir, err := absolute(dir, "swtpm:DIR")
	if err != nil {
		return nil, err
	}
	// swtpm takes its options apart at commas.
	if strings.ContainsAny(dir, ",\n") {
		return nil, fmt.Errorf("swtpm can not use a directory with a comma or a line break in its name: %q", dir)
	}
	return &childSource{dir: dir, log: log}, nil
}

func (c *childSource) owned() bool { return true }
func (c *childSource) fresh() bool { return c.newborn }

// open starts swtpm if it does not run, on a TPM made new when the directory is
// empty, and connects to it.
func (c *childSource) open(ctx context.Context, failures int) (link, error) {
	if c.proc != nil && c.proc.running() && failures > 1 {
		c.log.Warn("swtpm runs and does not answer: end it")
		if err := c.proc.kill(); err != nil {
			return nil, err
		}
	}
	if c.proc == nil || !c.proc.running() {
		if err := c.start(ctx); err != nil {
			return nil, err
		}
	}
	return c.dial(ctx)
}

func (c *childSource) start(ctx context.Context) error {
	made, err := manufactured(c.dir)
	if err == nil {
		err = c.take()
	}
	switch {
	case err != nil:
		return err
	case !made && c.proc != nil:
		return fmt.Errorf("the state of the TPM has gone from %s: put %s back", c.dir, stateName)
	case !made:
		if err := manufacture(ctx, c.dir); err != nil {
			return fmt.Errorf("make a TPM in %s: %w", c.dir, err)
		}
		c.newborn = true
	}
	if err := c.waitForState(ctx); err != nil {
		return err
	}
	c.proc, err = startProcess(c.dir, "swtpm", c.arguments()...)
	return err
}

// take makes the directory, closes it to others (who reaches the socket can use
// the TPM) and locks it for this process.
func (c *childSource) take() error {
	if c.lock != nil {
		return nil
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(c.dir, 0o700); err != nil {
		return err
	}
	var err error
	c.lock, err = lockFile(filepath.Join(c.dir, lockName))
	return err
}

// waitForState returns when no swtpm holds the state any more: that of a killed
// station lives on for a moment.
func (c *childSource) waitForState(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, quickLimit)
	defer cancel()
	for {
		pid, err := lockHolder(filepath.Join(c.dir, ".lock"))
		if err != nil || pid == 0 {
			return err
		}
		if !sleep(ctx, 10*time.Millisecond) {
			return fmt.Errorf("the TPM in %s is in use by process %d: end it, or connect to it by unix:PATH", c.dir, pid)
		}
	}
}

// sleep waits for d and reports whether ctx is still wanted.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *childSource) arguments() []string {
	socket := filepath.Join(c.dir, socketName)
	if len(socket) > maxSocketPath {
		socket = socketName // it runs in dir
	}
	args := []string{
		"socket", "--tpm2", "--tpmstate", "dir=" + c.dir,
		"--server", "type=unixio,path=" + socket,
		"--flags", "not-need-init,startup-clear",
	}
	if runtime.GOOS != "linux" {
		// Nothing else ends it when we are killed.
		args = append(args, "--terminate")
	}
	return args
}

// dial connects as soon as swtpm listens.
func (c *childSource) dial(ctx context.Context) (link, error) {
	path, done, err := c.socketPath()
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		conn, err := d.DialContext(ctx, "unix", path)
		if err == nil {
			return socket{conn}, nil
		}
		if !c.proc.running() {
			return nil, c.proc.failure()
		}
		if !sleep(ctx, wait) {
			return nil, errors.Join(err, ctx.Err())
		}
	}
}

// socketPath gives a path of the socket that fits into a socket address. Call
// done after the use of path.
func (c *childSource) socketPath() (path string, done func(), err error) {
	path = filepath.Join(c.dir, socketName)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	if runtime.GOOS != "linux" {
		return "", nil, fmt.Errorf("the path %s is longer than the %d bytes of a socket address: use a shorter directory", path, maxSocketPath)
	}
	dir, err := os.Open(c.dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName), func() { dir.Close() }, nil
}

// close ends swtpm. It was told to shut down before.
func (c *childSource) close() error {
	var errs []error
	if c.proc != nil {
		errs = append(errs, c.proc.stop(quickLimit))
	}
	if c.lock != nil {
		errs = append(errs, c.lock.Close())
		c.lock = nil
	}
	return errors.Join(errs...)
}
