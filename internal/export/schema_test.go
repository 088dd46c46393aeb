// SPDX-License-Identifier: Apache-2.0

package export_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/record"
)

// schema is what a vendor documents, as JSON Schema. The files say where it is
// documented.
func schema(t testing.TB, name string) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(filepath.Join("testdata", "schema", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// valid holds JSON against a vendor's schema.
func valid(t testing.TB, name string, text []byte) {
	t.Helper()
	if err := against(schema(t, name), text); err != nil {
		t.Errorf("%s: %v in %s", name, err, text)
	}
}

func validLines(t testing.TB, name string, text []byte) (n int) {
	t.Helper()
	s := schema(t, name)
	for line := range bytes.Lines(text) {
		if err := against(s, line); err != nil {
			t.Errorf("%s: %v in %s", name, err, line)
		}
		n++
	}
	return n
}

func against(s *jsonschema.Schema, text []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// TestSchemasRefuse: a schema that takes anything would prove nothing.
func TestSchemasRefuse(t *testing.T) {
	for name, text := range map[string]string{
		"aws-template":     `{"Parameters": {"A": {"Type": "Number"}}, "Resources": {}}`,
		"aws-bulk":         `{"ThingName": "a b", "SerialNumber": "", "Model": "", "CertificatePem": "", "CACertificatePem": ""}`,
		"azure-group":      `{"enrollmentGroupId": "A", "attestation": {"type": "tpm"}}`,
		"azure-enrollment": `{"registrationId": "SN-1", "attestation": {"type": "x509", "x509": {}}}`,
		"azure-device":     `{"id": "a", "importMode": "make", "status": "enabled", "authentication": {"type": "certificateAuthority"}}`,
		"manifest":         `[{"payload": "=", "protected": "", "signature": "", "header": {}}]`,
		"manifest-unit":    `{"version": 2}`,
	} {
		if err := against(schema(t, name), []byte(text)); err == nil || !strings.Contains(err.Error(), "validat") {
			t.Errorf("%s takes %s: %v", name, text, err)
		}
	}
}

// TestReadmesHaveCommands: every block of commands is what a shell can read, and
// names only files that are there.
func TestReadmesHaveCommands(t *testing.T) {
	w := newWorldWith(t, "sn-1")
	w.pass(terms{serial: "sn-2", retired: true})
	w.happens(w.pass(terms{serial: "sn-3"}), record.KindRevoked)
	for _, format := range []string{"aws", "azure"} {
		dir, _ := w.pack(format, func(o *export.PackOptions) { o.Azure.Individual = true })
		text := string(read(t, dir, "README.md"))
		blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1)
		if len(blocks) < 4 || strings.Count(text, "```") != 2*len(blocks) {
			t.Errorf("%s: %d blocks of commands", format, len(blocks))
		}
		var script strings.Builder
		for _, b := range blocks {
			script.WriteString(b[1])
		}
		c := exec.Command("sh", "-n")
		c.Stdin = strings.NewReader(script.String())
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: sh: %s", format, out)
		}
		for _, m := range regexp.MustCompile(`(?:file://|--certificate-path |--path |--body @|< )([a-z0-9-]+\.[a-z]+)`).FindAllStringSubmatch(script.String(), -1) {
			if m[1] != "verification.pem" && !slices.Contains(names(dir), m[1]) {
				t.Errorf("%s: the commands use %s, which is not in the pack", format, m[1])
			}
		}
	}
}
