// SPDX-License-Identifier: Apache-2.0

package export

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// writeHeader writes certificates as constants of C, for firmware that takes PEM
// text, as Arduino's WiFiClientSecure does. With one unit selected its own
// certificate is among them. There is no private key: it never left the board.
func writeHeader(ctx context.Context, path string, w *units, o *PackOptions) (Result, error) {
	var device *unit
	var listed int64
	if o.Serial != "" {
		err := w.each(ctx, o.Selection, func(u *unit) error {
			if listed++; u.status == Live {
				device = u
			}
			return nil
		})
		if err == nil && device == nil {
			err = &UnfitError{Units: []string{fmt.Sprintf("unit %s: it has no live certificate", o.Serial)}}
		}
		if err != nil {
			return Result{}, fmt.Errorf("export: %w", err)
		}
	} else if o.Selection != (Selection{}) {
		return Result{}, errors.New("export: a c-header is for all devices, or for one unit: no other selection makes sense")
	}
	return whole(path, nil, func(out *os.File) (Result, error) {
		c := &counter{w: out, hash: sha256.New()}
		if _, err := io.WriteString(c, header(device, o)); err != nil {
			return Result{}, fmt.Errorf("export: %w", err)
		}
		return Result{Rows: listed, Bytes: c.n, SHA256: c.sum()}, nil
	})
}

func header(device *unit, o *PackOptions) string {
	var b strings.Builder
	fmt.Fprintf(&b, "/* Certificates of station %s. Nothing here is secret. */\n", commentSafe(o.Station))
	if o.Simulated {
		b.WriteString("/* SIMULATED TPM: the key of this CA lies in a file. For trials only. */\n")
	}
	b.WriteString("#ifndef STATION_CERTIFICATES_H\n#define STATION_CERTIFICATES_H\n\n")
	root := o.Chain[len(o.Chain)-1]
	issuers := o.Chain[:len(o.Chain)-1]
	if device != nil && !device.issuer.Equal(issuers[0]) {
		issuers = []*x509.Certificate{device.issuer} // a retired intermediate
	}
	constant(&b, "station_root", "The root that devices' certificates end at. It is what a device trusts in a server only if the server's\n   certificate ends there, too: WiFiClientSecure setCACert.", root)
	constant(&b, "station_chain", "What is between a device's certificate and the root.", issuers...)
	if device != nil {
		constant(&b, "station_device", fmt.Sprintf("Unit %s: its own certificate and what is above it, as a TLS client sends it: WiFiClientSecure\n   setCertificate. The private key is on the board and nowhere else.", commentSafe(device.entry.Body.Serial)),
			append([]*x509.Certificate{device.leaf}, issuers...)...)
	}
	b.WriteString("#endif\n")
	return b.String()
}

// constant writes certificates as one string of C, a line of PEM a line.
func constant(b *strings.Builder, name, what string, certs ...*x509.Certificate) {
	fmt.Fprintf(b, "/* %s\n", what)
	for _, c := range certs {
		fmt.Fprintf(b, "   %s, until %s, SHA-256 %x\n", commentSafe(c.Subject.String()), c.NotAfter.UTC().Format(time.DateOnly), sha256.Sum256(c.Raw))
	}
	fmt.Fprintf(b, "*/\nstatic const char %s[] =\n", name)
	for i, c := range certs {
		lines := strings.Split(strings.TrimSuffix(certPEM(c), "\n"), "\n")
		for j, line := range lines {
			end := ""
			if i == len(certs)-1 && j == len(lines)-1 {
				end = ";"
			}
			fmt.Fprintf(b, "    \"%s\\n\"%s\n", line, end)
		}
	}
	b.WriteString("\n")
}

// commentSafe keeps a name from ending the comment it stands in, from going on
// in the next line, and from being a trigraph.
func commentSafe(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`*\?`, r) {
			return '_'
		}
		return r
	}, s)
}
