// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/settings"
)

// plantKey is the key by which a plant confirms checkpoints.
type plantKey struct {
	who *record.Cosigner
	key ed25519.PrivateKey
}

// vkeyPath is where the public half of a plant's key lies.
func vkeyPath(path string) string { return path + ".vkey" }

func newPlantInit(_ *globals) *cobra.Command {
	var path, name string
	c := &cobra.Command{
		Use: "init", Short: "make the plant's own key, by which it cosigns checkpoints", Args: cobra.NoArgs,
		Long: `init makes an Ed25519 key (PKCS #8, PEM, readable by its owner only) and beside
it, with .vkey added to the name, its public half as text: stations and auditors
get that. The name goes into every cosignature and should be yours in the world,
as in plant.example/ulm. A key is never overwritten.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if path == "" || name == "" {
				return usage(errors.New("--key and --name are needed"), "as in: station plant init --key plant.key --name plant.example/ulm")
			}
			who, err := makePlantKey(path, name)
			if err != nil {
				return usage(err, "choose a file that is not there yet, and a name without spaces and plus signs")
			}
			fmt.Fprintln(c.OutOrStdout(), who)
			return nil
		},
	}
	c.Flags().StringVar(&path, "key", "", "file to write the key to")
	c.Flags().StringVar(&name, "name", "", "the plant's name, as in plant.example/ulm")
	return c
}

func makePlantKey(path, name string) (*record.Cosigner, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, errors.New("the system's random source failed")
	}
	who, err := record.NewCosigner(name, pub)
	if err != nil {
		return nil, err
	}
	if exists(path) || exists(vkeyPath(path)) {
		return nil, fmt.Errorf("%s, or its .vkey, is there already", path)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := settings.Write(vkeyPath(path), []byte(who.String()+"\n"), 0o644); err != nil {
		return nil, err
	}
	return who, settings.Write(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func readPlantKey(path string) (*plantKey, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s is readable by others than its owner (mode %04o): chmod 600 it", path, fi.Mode().Perm())
	}
	text, err := settings.Read(path)
	if err != nil {
		return nil, err
	}
	who, err := readCosigner(vkeyPath(path))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s holds no private key", path)
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok := any.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds a %T, not an Ed25519 key", path, any)
	}
	if own, err := record.NewCosigner(who.Name(), key.Public()); err != nil || own.String() != who.String() {
		return nil, fmt.Errorf("%s is not the public half of %s", vkeyPath(path), path)
	}
	return &plantKey{who, key}, nil
}

// readCosigner reads a plant's public key from a file.
func readCosigner(path string) (*record.Cosigner, error) {
	text, err := settings.Read(path)
	if err != nil {
		return nil, err
	}
	who, err := record.ParseCosigner(string(bytes.TrimSpace(text)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return who, nil
}
