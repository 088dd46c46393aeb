// SPDX-License-Identifier: Apache-2.0

package export_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/record"
)

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func TestAzurePack(t *testing.T) {
	w := newWorld(t)
	w.pass(terms{serial: "SN-1", name: "sn-1"})
	w.pass(terms{serial: "SN-2", name: "sn-2", retired: true})
	for n, kind := range []string{record.KindRevoked, record.KindScrap, record.KindRework} {
		w.happens(w.pass(terms{serial: "SN-3" + string(rune('a'+n)), name: "sn-3" + string(rune('a'+n))}), kind)
	}
	w.issue(terms{serial: "SN-4", name: "sn-4"})
	// Made again under its name: the name must not be barred.
	gone := w.pass(terms{serial: "SN-5", name: "sn-5", uid: "0a0a"})
	w.happens(gone, record.KindRework)
	w.happens(gone, record.KindRevoked)
	back := w.pass(terms{serial: "SN-5", name: "sn-5", uid: "0a0a"})

	dir, result := w.pack("azure", func(o *export.PackOptions) { o.Azure.Individual = true })
	if result.Rows != 3 || result.Listed != 8 {
		t.Errorf("%+v", result)
	}
	for _, name := range []string{"enrollment-group.json", "enrollment-group-2.json"} {
		valid(t, "azure-group", read(t, dir, name))
	}
	var group struct {
		Attestation struct {
			X509 struct {
				SigningCertificates struct{ Primary struct{ Certificate string } }
			}
		}
	}
	if err := json.Unmarshal(read(t, dir, "enrollment-group.json"), &group); err != nil {
		t.Fatal(err)
	}
	if got := group.Attestation.X509.SigningCertificates.Primary.Certificate; got != pemOf(w.intermediate) || got != string(read(t, dir, "ca.pem")) {
		t.Errorf("the group stands on\n%s", got)
	}
	if n := validLines(t, "azure-device", read(t, dir, "devices.txt")); n != 3 {
		t.Errorf("%d devices", n)
	}
	const first = `{"id":"sn-1","importMode":"create","status":"enabled","authentication":{"type":"certificateAuthority"}}` + "\n"
	if got := read(t, dir, "devices.txt"); !bytes.HasPrefix(got, []byte(first)) {
		t.Errorf("devices.txt begins %.120s", got)
	}
	if n := validLines(t, "azure-enrollment", read(t, dir, "individual-enrollments.jsonl")); n != 3 {
		t.Errorf("%d individual enrollments", n)
	}
	validLines(t, "azure-enrollment", read(t, dir, "disabled-enrollments.jsonl"))
	var barred []string
	for line := range bytes.Lines(read(t, dir, "disabled-enrollments.jsonl")) {
		var e struct {
			RegistrationID     string
			ProvisioningStatus string
		}
		if err := json.Unmarshal(line, &e); err != nil || e.ProvisioningStatus != "disabled" {
			t.Errorf("%v in %s", err, line)
		}
		barred = append(barred, e.RegistrationID)
	}
	if !slices.Equal(barred, []string{"sn-3a", "sn-3b", "sn-3c"}) {
		t.Errorf("barred are %v", barred)
	}
	if got := string(read(t, dir, "README.md")); !strings.Contains(got, "for 3 devices") || !strings.Contains(got, "--enrollment-id station ") {
		t.Errorf("readme %s", got)
	}
	statuses := map[string]string{}
	for _, l := range lines[allowedLine](t, filepath.Join(dir, "allow-list.jsonl")) {
		statuses[l.CertificateID] = l.Status
	}
	if statuses[digest(gone.cert.Raw)] != "revoked" || statuses[digest(back.cert.Raw)] != "live" {
		t.Errorf("made again: %q, %q", statuses[digest(gone.cert.Raw)], statuses[digest(back.cert.Raw)])
	}

	plain, _ := newWorldWith(t, "sn-1").pack("azure", nil)
	if got := names(plain); !slices.Equal(got, []string{"README.md", "SHA256SUMS", "allow-list.jsonl", "ca.pem", "devices.txt", "enrollment-group.json", "root.pem"}) {
		t.Errorf("files %v", got)
	}
	if got := string(read(t, plain, "README.md")); strings.Contains(got, "disabled-enrollments") || strings.Contains(got, "individual-enrollments") {
		t.Errorf("the readme speaks of what is not there:\n%s", got)
	}
}

// newWorldWith is a world in which a unit has passed.
func newWorldWith(t *testing.T, serial string) *world {
	w := newWorld(t)
	w.pass(terms{serial: serial, claim: true})
	return w
}

func TestAzureLimits(t *testing.T) {
	_, _, edwards := otherKeys(t)
	for name, try := range map[string]struct {
		c    terms
		says string
	}{
		"capitals":       {terms{serial: "SN-1"}, `unit SN-1: "SN-1" is no registration ID`},
		"ends in a dot":  {terms{serial: "sn."}, "letter or digit at the end"},
		"a space":        {terms{serial: "sn 1"}, "no registration ID"},
		"Ed25519":        {terms{serial: "sn-1", key: edwards}, "Ed25519"},
		"one name twice": {terms{serial: "sn-1", name: "good"}, "is the serial of another unit"},
	} {
		w := newWorldWith(t, "good")
		_ = w.pass(try.c)
		_, err := export.Pack(t.Context(), filepath.Join(t.TempDir(), "pack"), "azure", w.reader(), w.options())
		var unfit *export.UnfitError
		if !errors.As(err, &unfit) || !strings.Contains(err.Error(), try.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, group := range []string{"Pumps", "a b", "pumps.", strings.Repeat("a", 129), "a/b"} {
		if err := (export.AzureOptions{Group: group}).Check(); err == nil {
			t.Errorf("group %q passes", group)
		}
	}
}
