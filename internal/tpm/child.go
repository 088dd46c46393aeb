// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	// maxSocketPath is the longest path a socket address holds on every Unix
	// (104 bytes with the final zero; Linux has 108).
	maxSocketPath = 103
)

// childSource is a swtpm that we start, keep alive and end.
type childSource struct {
	dir     string
	log     *slog.Logger
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
	if err != nil {
		return err
	}
	if !made {
		if err := manufacture(ctx, c.dir); err != nil {
			return fmt.Errorf("make a TPM in %s: %w", c.dir, err)
		}
		c.newborn = true
	}
	// The socket of a killed swtpm would let us connect to nobody.
	if err := os.Remove(filepath.Join(c.dir, socketName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c.proc, err = startProcess(c.dir, "swtpm", c.arguments()...)
	return err
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
		timer := time.NewTimer(wait)
		select {
		case <-c.proc.done:
			timer.Stop()
			return nil, c.proc.failure()
		case <-ctx.Done():
			timer.Stop()
			return nil, errors.Join(err, ctx.Err())
		case <-timer.C:
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
	if c.proc == nil {
		return nil
	}
	return c.proc.stop(quickLimit)
}
