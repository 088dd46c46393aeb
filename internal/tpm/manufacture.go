// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

const (
	// stateName is the file in which swtpm keeps the TPM.
	stateName = "tpm2-00.permall"
	// makerName is the directory of the certificate authority that certifies
	// the endorsement key, as the vendor of a chip would.
	makerName = "ek-ca"
	// stagingName is the directory in which a TPM is made.
	stagingName = "making"
)

// manufactured tells whether dir holds a TPM. A directory that holds other
// things is refused: its owner did not mean to give it to a TPM.
func manufactured(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	foreign := ""
	for _, e := range entries {
		switch name := e.Name(); {
		case name == stateName:
			return true, nil
		case slices.Contains([]string{makerName, stagingName, socketName, lockName, ".lock"}, name):
		default:
			foreign = name
		}
	}
	if foreign != "" {
		return false, fmt.Errorf("%s holds %s but no TPM: give an empty directory, or one that holds a TPM", dir, foreign)
	}
	return false, nil
}

// manufacture makes a TPM with certified endorsement keys in dir, which the
// caller has locked. The state gets its name last: what was interrupted counts
// as not made, and what exists is never written over.
func manufacture(ctx context.Context, dir string) (err error) {
	if err := os.MkdirAll(filepath.Join(dir, makerName), 0o700); err != nil {
		return err
	}
	staging := filepath.Join(dir, stagingName)
	if err := errors.Join(os.RemoveAll(staging), os.Mkdir(staging, 0o700)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(staging)) }()
	config, err := writeSetup(staging, filepath.Join(dir, makerName))
	if err != nil {
		return err
	}
	p, err := startProcess(staging, "swtpm_setup", "--tpm2", "--tpmstate", "dir://"+staging, "--config", config,
		"--create-ek-cert", "--create-platform-cert", "--pcr-banks", "sha256", "--lock-nvram", "--overwrite")
	if err != nil {
		return err
	}
	if err := p.finish(ctx); err != nil {
		return err
	}
	state := filepath.Join(staging, stateName)
	if err := syncFile(state); err != nil {
		return err
	}
	if err := os.Link(state, filepath.Join(dir, stateName)); err != nil {
		return err
	}
	return syncDir(dir)
}

// writeSetup writes the three configuration files of swtpm_setup and its
// certificate tool into staging, so that nothing of the machine's or the user's
// configuration is read or written. It returns the path of the first.
func writeSetup(staging, maker string) (string, error) {
	tool, err := certificateTool()
	if err != nil {
		return "", err
	}
	at := func(name string) string { return filepath.Join(staging, name) }
	files := map[string]string{
		"setup.conf": fmt.Sprintf("create_certs_tool = %s\ncreate_certs_tool_config = %s\ncreate_certs_tool_options = %s\nactive_pcr_banks = sha256\n",
			tool, at("ca.conf"), at("ca.options")),
		"ca.conf": fmt.Sprintf("statedir = %s\nsigningkey = %s/signkey.pem\nissuercert = %s/issuercert.pem\ncertserial = %s/certserial\n",
			maker, maker, maker, maker),
		"ca.options": "--platform-manufacturer swtpm\n--platform-version 2.1\n--platform-model simulated\n",
	}
	for name, text := range files {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	return at("setup.conf"), nil
}

// certificateTool finds the program that certifies endorsement keys; its name
// and place differ among distributions and versions.
func certificateTool() (string, error) {
	for _, name := range []string{"swtpm_localca", "swtpm-localca", "/usr/share/swtpm/swtpm-localca", "/usr/libexec/swtpm-localca"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("swtpm_localca was not found: install the package swtpm-tools")
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
