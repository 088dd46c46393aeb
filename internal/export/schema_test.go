// SPDX-License-Identifier: Apache-2.0

package export_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
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
