// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	plantdb "provisioning.example/station/internal/plant"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/settings"
)

// plantImport is one call of the command.
type plantImport struct {
	root, key, cosigned string
	vkeys               []string

	plant   *plantdb.Plant
	anchors plantdb.Anchors
	signer  *plantKey
}

func newPlantImport(g *globals, f *plantFlags) *cobra.Command {
	var i plantImport
	c := &cobra.Command{
		Use: "import BUNDLE...", Short: "judge bundles of stations, and merge them into the database", Args: cobra.MinimumNArgs(1),
		Long: `import judges each bundle by your own copy of the root certificate, holds it
against everything that came of the same station before, and takes in what is
new: all of it or nothing. The same bundle again changes nothing.

A bundle that is damaged, does not fit together, or for which the root does not
vouch is in quarantine, as is one that contradicts what the same station signed
before (FORK). The others are imported; exit code 1.

With --key and --cosigned, the plant confirms the newest checkpoint of each
station whose bundle was imported. Bring the file back to the station:
station ledger cosign FILE.`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := i.prepare(); err != nil {
				return err
			}
			p, err := f.open(c)
			if err != nil {
				return err
			}
			defer p.Close()
			i.plant = p
			bad := 0
			for _, path := range args {
				ok, err := i.one(c, g, path)
				if err != nil {
					return err
				}
				if !ok {
					bad++
				}
			}
			if bad > 0 {
				return exit(exitUnits, fmt.Errorf("%d of %d bundles are in quarantine", bad, len(args)), "keep the files; see: station plant quarantine")
			}
			return nil
		},
	}
	c.Flags().StringVar(&i.root, "root", "", "your own copy of the root certificate (needed)")
	c.Flags().StringArrayVar(&i.vkeys, "vkey", nil, "key of a ledger that the root did not certify, may be repeated")
	c.Flags().StringVar(&i.key, "key", "", "the plant's key, made by: station plant init")
	c.Flags().StringVar(&i.cosigned, "cosigned", "", "folder for cosigned checkpoints, one file a station")
	return c
}

func (i *plantImport) prepare() error {
	if i.root == "" {
		return usage(errors.New("--root is needed"), "name your own copy of the root certificate: what comes with a bundle proves nothing")
	}
	if (i.key == "") != (i.cosigned == "") {
		return usage(errors.New("--key and --cosigned belong together"), "the key cosigns, the folder takes the files")
	}
	var err error
	if i.anchors.Root, err = readCertificate(i.root); err != nil {
		return usage(err, "name the root certificate, PEM")
	}
	for _, k := range i.vkeys {
		v, err := record.ParseVerifier(k)
		if err != nil {
			return usage(fmt.Errorf("--vkey: %w", err), "as the station prints it")
		}
		i.anchors.Keys = append(i.anchors.Keys, v)
	}
	if i.key != "" {
		if i.signer, err = readPlantKey(i.key); err != nil {
			return usage(err, "make one with: station plant init")
		}
		if err := os.MkdirAll(i.cosigned, 0o755); err != nil {
			return usage(err, "name a writable folder with --cosigned")
		}
	}
	return nil
}

// one imports a bundle, and tells what became of it; false: it is in quarantine.
func (i *plantImport) one(c *cobra.Command, g *globals, path string) (bool, error) {
	r, err := i.plant.Import(c.Context(), path, i.anchors)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return false, usage(err, "name readable bundles: station ledger export --format bundle makes them")
	case c.Context().Err() != nil:
		return false, c.Context().Err()
	case err != nil:
		return false, errPlant(err)
	}
	if g.json {
		err = json.NewEncoder(c.OutOrStdout()).Encode(r)
	} else {
		_, err = fmt.Fprintln(c.OutOrStdout(), sayImport(r))
	}
	if err != nil || r.Quarantine != "" || i.signer == nil {
		return r.Quarantine == "", err
	}
	return true, i.cosign(c, r.Log)
}

func sayImport(r plantdb.Result) string {
	name := oneLine(r.File)
	switch {
	case r.Fork != nil:
		return fmt.Sprintf("%s: FORK, in quarantine: %s\nseen before:\n%s\nin this bundle:\n%s", name, oneLine(r.Detail), r.Fork.Ours, r.Fork.Theirs)
	case r.Quarantine != "":
		return fmt.Sprintf("%s: INVALID, in quarantine: %s", name, oneLine(r.Detail))
	case r.Added == 0 && r.Blobs == 0 && r.Points == 0:
		return fmt.Sprintf("%s: %s, nothing new in %d entries", name, r.Station, r.Entries)
	}
	return fmt.Sprintf("%s: %s, %d of %d entries, %d blobs and %d checkpoints are new", name, r.Station, r.Added, r.Entries, r.Blobs, r.Points)
}

// cosign writes the file for the station. It is recorded before it is written.
func (i *plantImport) cosign(c *cobra.Command, log string) error {
	note, err := i.plant.Cosign(c.Context(), log, i.signer.who.Name(), i.signer.key, time.Now())
	if err != nil {
		return errPlant(err)
	}
	path := filepath.Join(i.cosigned, fileName(log)+".cosigned")
	if err := settings.Write(path, note, 0o644); err != nil {
		return usage(err, "name a writable folder with --cosigned, and import the bundle again")
	}
	fmt.Fprintf(c.ErrOrStderr(), "bring %s to the station: station ledger cosign FILE\n", path)
	return nil
}
