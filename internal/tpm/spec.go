// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
)

// parseSpec turns a spec into its kind and the source of its links. Nothing is
// opened yet.
func parseSpec(spec string, log *slog.Logger) (kind string, src source, err error) {
	kind, arg, given := strings.Cut(spec, ":")
	if given && arg == "" {
		return "", nil, fmt.Errorf("TPM %q: nothing after the colon", spec)
	}
	switch kind {
	case "sim":
		src, err = newSim(arg)
	case "swtpm":
		src, err = newChild(arg, log)
	case "unix":
		src, err = newUnix(arg)
	case "tcp":
		src, err = newTCP(arg)
	case "dev":
		src, err = newDevice(arg)
	case "tbs":
		src, err = newTBS(arg)
	default:
		err = fmt.Errorf("unknown kind %q; use sim, sim:FILE, swtpm:DIR, unix:PATH, tcp:HOST:PORT, dev:PATH or tbs", kind)
	}
	if err != nil {
		return "", nil, fmt.Errorf("TPM %q: %w", spec, err)
	}
	return kind, src, nil
}

func newUnix(path string) (source, error) {
	if path == "" {
		return nil, fmt.Errorf("give the path of the socket, as unix:PATH")
	}
	return socketSource{"unix", path}, nil
}

func newTCP(address string) (source, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("give host and port, as tcp:HOST:PORT")
	}
	return socketSource{"tcp", address}, nil
}

// absolute makes a path independent of a later change of the working directory.
func absolute(path, form string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("give a path, as %s", form)
	}
	return filepath.Abs(path)
}
