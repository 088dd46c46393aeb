// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package postgres starts a throw-away PostgreSQL of the distribution for
// tests and benchmarks: on a Unix socket in a folder of its own, for one user,
// gone when the program that started it is gone.
package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Server is a running PostgreSQL.
type Server struct {
	dir     string
	process *exec.Cmd
}

// patient is how long the server may take to come up.
const patient = 5 * time.Minute

// Start makes a database cluster and its server. PostgreSQL refuses to run as
// root: then it runs as a user of the system that may do nothing. The calling
// goroutine should be locked to its thread, for the server ends with that.
func Start(ctx context.Context) (_ *Server, err error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	as, err := servant()
	if err != nil {
		return nil, err
	}
	// Not in a test's folder: those above it let no other user through. A socket's path may have 107 bytes.
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if as != nil {
		if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
			return nil, err
		}
	}
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", s.data(), "-U", "plant", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, attributes(as)
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if err := s.guard(); err != nil {
		return nil, err
	}
	return s, s.serve(ctx, filepath.Join(bin, "postgres"), as)
}

// Guarded is a role that the server asks for its password, once a test has made it; others may come in without.
const Guarded = "guarded"

func (s *Server) guard() error {
	path := filepath.Join(s.data(), "pg_hba.conf")
	rules, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	// Written in place: it belongs to whom the server runs as.
	return os.WriteFile(path, append([]byte("local all "+Guarded+" scram-sha-256\n"), rules...), 0o600)
}

func (s *Server) serve(ctx context.Context, program string, as *syscall.Credential) error {
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	p := exec.Command(program, "-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "max_wal_size=4GB")
	p.Dir, p.Stdout, p.Stderr, p.SysProcAttr = s.dir, log, log, attributes(as)
	if err := p.Start(); err != nil {
		return err
	}
	s.process = p
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !s.ready() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("postgres does not come up: %w\n%s", ctx.Err(), text)
		}
	}
	return nil
}

// ready tells whether the server takes connections: it says so in its file, when the socket is there and the start is over.
func (s *Server) ready() bool {
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil || !bytes.Contains(text, []byte("\nready")) {
		return false
	}
	c, err := net.Dial("unix", filepath.Join(s.dir, ".s.PGSQL.5432"))
	if err == nil {
		c.Close()
	}
	return err == nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// URL is the connection string of a database on the server; "postgres" is there from the start.
func (s *Server) URL(database string) string {
	return "postgres:///" + database + "?host=" + s.dir + "&user=plant"
}

// Close ends the server and removes its folder.
func (s *Server) Close() error {
	var err error
	if s.process != nil {
		// Fast shutdown: open transactions are rolled back.
		err = errors.Join(s.process.Process.Signal(syscall.SIGINT), s.process.Wait())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// binaries finds the folder with initdb and postgres: on the path, or where Debian keeps the newest.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("postgres: there is no initdb on the path and none below /usr/lib/postgresql: install the package postgresql")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	newest := slices.MaxFunc(found, func(x, y string) int { return version(x) - version(y) })
	return filepath.Dir(newest), nil
}

// servant is whom the server runs as if this is root; nil: as this user.
func servant() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
	}
	return nil, errors.New("postgres: it refuses to run as root, and there is neither a user postgres nor nobody")
}

func attributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGKILL}
}

// Dir is the folder of the server's socket: PGHOST.
func (s *Server) Dir() string { return s.dir }
