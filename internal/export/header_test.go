// SPDX-License-Identifier: Apache-2.0

package export_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/record"
)

// show is a program that prints the constants of a header.
const show = `#include <stdio.h>
#include "certificates.h"
int main(void) {
  fputs(station_root, stdout);
  fputs("%\n", stdout);
  fputs(station_chain, stdout);
  fputs("%\n", stdout);
#ifdef DEVICE
  fputs(station_device, stdout);
#endif
  return 0;
}
`

// compiled compiles a header as C and as C++, warnings being errors, and returns
// the certificates of its constants.
func compiled(t *testing.T, header []byte, device bool) [3][]*x509.Certificate {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string][]byte{"certificates.h": header, "show.c": []byte(show), "show.cpp": []byte(show)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var printed []string
	for source, flags := range map[string][]string{
		"show.c": {"gcc", "-std=c99", "-xc"}, "show.cpp": {"gcc", "-std=c++11", "-xc++"},
	} {
		args := append(flags[1:], "-Wall", "-Wextra", "-Werror", "-pedantic", "-o", "show", source)
		if device {
			args = append([]string{"-DDEVICE"}, args...)
		}
		c := exec.Command(flags[0], args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", source, err, out)
		}
		out, err := exec.Command(filepath.Join(dir, "show")).Output()
		if err != nil {
			t.Fatal(err)
		}
		printed = append(printed, string(out))
	}
	if printed[0] != printed[1] {
		t.Error("C and C++ read different texts")
	}
	var out [3][]*x509.Certificate
	for i, text := range strings.Split(printed[0], "%\n") {
		rest := []byte(text)
		for b, after := pem.Decode(rest); b != nil; b, after = pem.Decode(after) {
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			out[i] = append(out[i], c)
		}
	}
	return out
}

func same(a, b []*x509.Certificate) bool {
	return slices.EqualFunc(a, b, (*x509.Certificate).Equal)
}

func TestCHeader(t *testing.T) {
	w := newWorld(t)
	unit := w.pass(terms{serial: "SN-1 */ #error", retired: true})
	write := func(o export.PackOptions) []byte {
		path := filepath.Join(t.TempDir(), "certificates.h")
		if _, err := export.Pack(t.Context(), path, "c-header", w.reader(), o); err != nil {
			t.Fatal(err)
		}
		return read(t, path)
	}
	o := w.options()
	got := compiled(t, write(o), false)
	if !same(got[0], []*x509.Certificate{w.root}) || !same(got[1], []*x509.Certificate{w.intermediate}) {
		t.Errorf("constants %v", got)
	}
	o.Serial, o.Simulated = "SN-1 */ #error", true
	text := write(o)
	got = compiled(t, text, true)
	if !same(got[0], []*x509.Certificate{w.root}) || !same(got[1], []*x509.Certificate{w.retired}) ||
		!same(got[2], []*x509.Certificate{unit.cert, w.retired}) {
		t.Errorf("constants %v", got)
	}
	if !strings.Contains(string(text), "SIMULATED TPM") || strings.Contains(string(text), "PRIVATE") {
		t.Errorf("header\n%s", text)
	}

	dir := t.TempDir()
	w.happens(unit, record.KindRevoked)
	for name, change := range map[string]func(*export.PackOptions){
		"unknown unit": func(o *export.PackOptions) { o.Serial = "SN-2" },
		"revoked unit": func(o *export.PackOptions) { o.Serial = "SN-1 */ #error" },
		"an order":     func(o *export.PackOptions) { o.Serial, o.Order = "", "WO-1" },
	} {
		o := w.options()
		change(&o)
		if _, err := export.Pack(t.Context(), filepath.Join(dir, "h"), "c-header", w.reader(), o); err == nil {
			t.Errorf("%s is written", name)
		}
		if left := names(dir); len(left) > 0 {
			t.Errorf("%s: left behind %v", name, left)
		}
	}
}
