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
	"path/filepath"

	"golang.org/x/term"
)

// secretFlags are the ways besides the prompt to hand over a secret; it never
// comes by argument, nor by a variable of the environment.
type secretFlags struct {
	file string
	fd   int
	// credential is the name of a credential that systemd decrypts for the
	// service (systemd.exec, LoadCredentialEncrypted).
	credential string
	// automatic is the credential that is taken without being asked for, when
	// the service has it; "": none.
	automatic string
}

// given says whether the secret comes without asking.
func (s secretFlags) given() bool {
	return s.file != "" || s.fd >= 0 || s.credentialName() != ""
}

// caPINCredential is the credential in which a service finds the CA key's PIN
// without being told.
const caPINCredential = "ca-pin"

// credentialsVariable names the folder of a service's credentials.
const credentialsVariable = "CREDENTIALS_DIRECTORY"

// credentialName is the credential to read, "" if there is none to read.
func (s secretFlags) credentialName() string {
	dir := os.Getenv(credentialsVariable)
	if s.credential == "" && s.automatic != "" && dir != "" && exists(filepath.Join(dir, s.automatic)) {
		return s.automatic
	}
	return s.credential
}

// source says where the secret comes from, in the ledger's words.
func (s secretFlags) source() string {
	switch {
	case s.file != "":
		return "file"
	case s.fd >= 0:
		return "descriptor"
	case s.credentialName() != "":
		return credentialSource + s.credentialName()
	}
	return "typed"
}

// credentialSource begins the source of a secret that nobody hands over.
const credentialSource = "systemd credential "

func openCredential(name string) (*os.File, error) {
	dir := os.Getenv(credentialsVariable)
	if dir == "" {
		return nil, usage(fmt.Errorf("there is no %s: credential %q is given to a service only", credentialsVariable, name),
			"add LoadCredentialEncrypted="+name+" to the service, or use --pin-file")
	}
	if name != filepath.Base(name) || name == "." || name == ".." {
		return nil, usage(fmt.Errorf("credential %q is no plain name", name), "name it as in the service's LoadCredentialEncrypted")
	}
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, usage(err, "add LoadCredentialEncrypted="+name+" to the service")
	}
	return f, nil
}

// maxSecret bounds a secret, in bytes.
const maxSecret = 128

// read gets the secret: from the file, the descriptor, the credential, or by
// asking. From here on this process leaves no core dump.
func (s secretFlags) read(what string) ([]byte, error) {
	noCoreDump()
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
	case s.credentialName() != "":
		f, err := openCredential(s.credentialName())
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readSecret(f, what)
	case term.IsTerminal(int(os.Stdin.Fd())):
		return askSecret(int(os.Stdin.Fd()), what)
	}
	return nil, usage(fmt.Errorf("%s is needed and %w", what, errNobodyToAsk), "name a file or a descriptor that holds it")
}

// askSecret asks at a terminal. Nothing is shown from before the question on:
// who knows what will be asked types at once.
func askSecret(terminal int, what string) ([]byte, error) {
	restore, err := echoOff(terminal)
	if err != nil {
		return nil, fmt.Errorf("keep %s from being shown: %w", what, err)
	}
	defer restore()
	fmt.Fprintf(os.Stderr, "%s: ", what)
	b, err := term.ReadPassword(terminal)
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return checkSecret(b, what)
}

// errNobodyToAsk says that a secret was not handed over.
var errNobodyToAsk = errors.New("there is no terminal to ask at")

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
	b := make([]byte, maxSecret+2) // of its full size: growing would leave copies behind
	n, err := io.ReadFull(r, b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	line, _, _ := bytes.Cut(b[:n], []byte("\n"))
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
