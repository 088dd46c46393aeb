// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/settings"
)

// rootFlags are what every command of the offline root knows.
type rootFlags struct {
	dir  string
	pass secretFlags
}

// newRootCA is the offline root's side. It knows nothing of a station's home.
func newRootCA(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use: "root", Short: "the offline root: challenge and sign stations, take them back",
		Long: `root is for the machine that holds the root key and is on no network. Its folder
holds the key, encrypted, and a record of everything the root did, to which lines
are only added. One process at a time uses it. The walk-through is docs/ceremony.md.`,
	}
	f := &rootFlags{pass: secretFlags{fd: -1}}
	c.PersistentFlags().StringVar(&f.dir, "root", "root", "the root's folder")
	c.PersistentFlags().StringVar(&f.pass.file, "passphrase-file", "", "file that holds the root key's passphrase")
	c.PersistentFlags().IntVar(&f.pass.fd, "passphrase-fd", -1, "open descriptor that holds the root key's passphrase")
	c.AddCommand(newRootCreate(f), newRootChallenge(f), newRootSign(f), newRootRevoke(g, f), newRootCRL(f), newRootLog(f))
	return c
}

// open asks for the passphrase and opens the root. The caller closes it.
func (f *rootFlags) open() (*authority.Root, error) {
	phrase, err := f.pass.read("passphrase of the root key")
	if err != nil {
		return nil, err
	}
	root, err := authority.OpenRoot(f.dir, phrase)
	if err != nil {
		return nil, usage(err, "check --root and the passphrase")
	}
	return root, nil
}

const day = 24 * time.Hour

// lasting demands a number of days from 1 to most. Far beyond that, a duration
// would hold another number than was typed.
func lasting(flag string, days, most int) error {
	if days < 1 || days > most {
		return usage(fmt.Errorf("--%s %d", flag, days), fmt.Sprintf("1 to %d days", most))
	}
	return nil
}

// maxYears bounds, in days, what a root may live at most.
const maxYears = 50 * 366

// readRequest reads a station's request at the root.
func readRequest(path string) (*ceremony.Request, error) {
	text, err := settings.Read(path)
	if err != nil {
		return nil, usage(err, "name the station's request with --in")
	}
	req, err := ceremony.ParseRequest(text)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %w", path, err), "ask the station for a new one: station ca request")
	}
	return req, nil
}

// inOut demands the two files of a command that answers one with another.
func inOut(in, out, what string) error {
	if in == "" || out == "" {
		return usage(errors.New("--in and --out are needed"), what)
	}
	return nil
}

// readFiles reads files one behind the other, as Install takes them.
func readFiles(paths ...string) ([]byte, error) {
	var out []byte
	for _, p := range paths {
		if p == "" {
			continue
		}
		b, err := settings.Read(p)
		if err != nil {
			return nil, err
		}
		out = append(append(out, b...), '\n')
	}
	if len(out) == 0 {
		return nil, os.ErrNotExist
	}
	return out, nil
}
