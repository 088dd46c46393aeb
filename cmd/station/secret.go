// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// secretFlags are the two ways besides the prompt to hand over a secret; it
// never comes by argument.
type secretFlags struct {
	file string
	fd   int
}

// given says whether the secret comes without asking.
func (s secretFlags) given() bool { return s.file != "" || s.fd >= 0 }

// maxSecret bounds a secret, in bytes.
const maxSecret = 128

// read gets the secret: from the file, the descriptor, or by asking.
func (s secretFlags) read(what string) ([]byte, error) {
	switch {
	case s.file != "":
		f, err := os.Open(s.file)
		if err != nil {
			return nil, usage(err, "name a readable file that holds "+what)
		}
		defer f.Close()
		return readSecret(f, what)
	case s.fd >= 0:
		f := os.NewFile(uintptr(s.fd), "secret")
		if f == nil {
			return nil, usage(fmt.Errorf("descriptor %d is not open", s.fd), "pass an open descriptor, as in 3<file")
		}
		defer f.Close()
		return readSecret(f, what)
	case term.IsTerminal(int(os.Stdin.Fd())):
		fmt.Fprintf(os.Stderr, "%s: ", what)
		b, err := term.ReadPassword(int(os.Stdin.Fd()))
		fmt.Fprintln(os.Stderr)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", what, err)
		}
		return checkSecret(b, what)
	}
	return nil, usage(fmt.Errorf("%s is needed and there is no terminal to ask at", what), "name a file or a descriptor that holds it")
}

// readNew gets a secret that is being set: at a terminal it is asked for twice.
func (s secretFlags) readNew(what string) ([]byte, error) {
	first, err := s.read(what)
	if err != nil || s.given() {
		return first, err
	}
	again, err := s.read(what + ", once more")
	if err == nil && !bytes.Equal(first, again) {
		err = usage(fmt.Errorf("%s: the two differ", what), "type the same twice")
	}
	return again, err
}

func readSecret(r io.Reader, what string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSecret+2))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return checkSecret(bytes.TrimSuffix(line, []byte("\r")), what)
}

func checkSecret(b []byte, what string) ([]byte, error) {
	if len(b) == 0 || len(b) > maxSecret {
		return nil, usage(fmt.Errorf("%s has %d bytes", what, len(b)), fmt.Sprintf("1 to %d bytes on one line", maxSecret))
	}
	return b, nil
}

// newSecret makes a random secret of 130 bits that a person could type.
func newSecret() ([]byte, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, errors.New("the system's random source failed")
	}
	return []byte(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])), nil
}
