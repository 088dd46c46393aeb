// SPDX-License-Identifier: Apache-2.0

package export_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"provisioning.example/station/internal/export"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/record"
)

// bulkLine is a line of bulk.jsonl as AWS reads it.
type bulkLine struct{ ThingName, SerialNumber, Model, CertificatePem, CACertificatePem string }

// allowedLine is a line of allow-list.jsonl.
type allowedLine struct {
	CertificateID, Status, Name, Serial, Model, UID, CertificateSerial, IssuerKeyID, NotAfter, Reason string
}

func names(dir string) (out []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// TestAWSPack: what lives is registered, all that was issued is on the
// allow-list, and every file is what AWS documents.
func TestAWSPack(t *testing.T) {
	w := newWorld(t)
	live := w.pass(terms{serial: "SN-1", order: "WO-1", subjectSerial: true})
	old := w.pass(terms{serial: "SN-2", subjectSerial: true, retired: true})
	renewed := w.renew(w.pass(terms{serial: "SN-3", subjectSerial: true}))
	rsaKey, p384, _ := otherKeys(t)
	w.pass(terms{serial: "SN-4", subjectSerial: true, key: rsaKey})
	w.pass(terms{serial: "SN-5", subjectSerial: true, key: p384})
	dead := map[string]string{}
	note := func(m made, status string) { dead[digest(m.cert.Raw)] = status }
	revoked := w.pass(terms{serial: "SN-6"})
	w.happens(revoked, record.KindRevoked)
	note(revoked, "revoked")
	scrapped := w.pass(terms{serial: "SN-7"})
	w.happens(scrapped, record.KindScrap)
	note(scrapped, "scrapped")
	failed := w.end(w.issue(terms{serial: "SN-8"}), record.Failed)
	note(failed, "not passed")
	note(w.issue(terms{serial: "SN-9"}), "not passed")
	note(w.pass(terms{serial: "SN-10", days: -1}), "expired")
	reworked := w.pass(terms{serial: "SN-11", uid: "0b0b"})
	w.happens(reworked, record.KindRework)
	note(reworked, "reworked")
	again := w.pass(terms{serial: "SN-12", uid: "0c0c"})
	note(again, "replaced")
	second := w.pass(terms{serial: "SN-12", uid: "0c0c", subjectSerial: true})

	dir, result := w.pack("aws", nil)
	if result.Rows != 6 || result.Listed != 14 || result.Skipped != 0 {
		t.Errorf("%+v", result)
	}
	wantFiles := []string{
		"README.md", "SHA256SUMS", "allow-list.jsonl", "bulk-template.json", "bulk.jsonl",
		"ca-" + hex.EncodeToString(w.retired.SubjectKeyId) + ".pem", "ca.pem", "policy.json", "provisioning-template.json", "role-trust.json",
	}
	if got := names(dir); !slices.Equal(got, wantFiles) {
		t.Errorf("files %v, want %v", got, wantFiles)
	}
	c := exec.Command("sha256sum", "-c", "--strict", "SHA256SUMS")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %s", out)
	}

	if n := validLines(t, "aws-bulk", read(t, dir, "bulk.jsonl")); n != 6 {
		t.Errorf("%d lines to register", n)
	}
	bulk := map[string]bulkLine{}
	for _, l := range lines[bulkLine](t, filepath.Join(dir, "bulk.jsonl")) {
		bulk[l.SerialNumber] = l
	}
	for _, m := range []made{live, old, renewed, second} {
		l := bulk[m.body.Serial]
		if l.ThingName != m.cert.Subject.CommonName || opensslID(t, l.CertificatePem) != digest(m.cert.Raw) {
			t.Errorf("%s is registered as %q with certificate %s", m.body.Serial, l.ThingName, opensslID(t, l.CertificatePem))
		}
		opensslVerify(t, w, l.CertificatePem, l.CACertificatePem)
	}

	list := lines[allowedLine](t, filepath.Join(dir, "allow-list.jsonl"))
	counts := map[string]int{}
	for _, l := range list {
		counts[l.Status]++
		if want, ok := dead[l.CertificateID]; ok && l.Status != want {
			t.Errorf("%s is %q, want %q", l.Serial, l.Status, want)
		} else if _, registered := bulk[l.Serial]; !ok && l.Status == "live" && !registered {
			t.Errorf("%s is live but not registered", l.Serial)
		}
	}
	if counts["live"] != 6 || counts["replaced"] != 2 {
		t.Errorf("statuses %v", counts)
	}
	if l := list[slices.IndexFunc(list, func(l allowedLine) bool { return l.Serial == "SN-6" })]; l.Reason != "keyCompromise" ||
		l.CertificateSerial != hex.EncodeToString(revoked.cert.SerialNumber.Bytes()) || l.UID != revoked.body.UID {
		t.Errorf("the revoked one: %+v", l)
	}
}

// opensslID is AWS's certificateId by openssl: SHA-256 of the DER.
func opensslID(t *testing.T, pem string) string {
	t.Helper()
	c := exec.Command("openssl", "x509", "-noout", "-fingerprint", "-sha256")
	c.Stdin = strings.NewReader(pem)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("openssl: %v", err)
	}
	_, hex, _ := strings.Cut(strings.TrimSpace(string(out)), "=")
	return strings.ToLower(strings.ReplaceAll(hex, ":", ""))
}

func opensslVerify(t *testing.T, w *world, leaf, ca string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"leaf.pem": leaf, "ca.pem": ca, "root.pem": pemOf(w.root)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command("openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "root.pem", "-untrusted", "ca.pem", "leaf.pem")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("openssl verify: %s", out)
	}
}

// TestAWSDocuments holds policy and templates against the design and AWS's limits.
func TestAWSDocuments(t *testing.T) {
	w := newWorld(t)
	w.pass(terms{serial: "SN-1", subjectSerial: true})
	dir, _ := w.pack("aws", nil)
	const policy = `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": [
        "iot:Connect"
      ],
      "Resource": "arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}"
    },
    {
      "Effect": "Allow",
      "Action": [
        "iot:Publish"
      ],
      "Resource": "arn:aws:iot:*:*:topic/sensors/${iot:Connection.Thing.ThingName}/*"
    }
  ]
}
`
	if got := string(read(t, dir, "policy.json")); got != policy {
		t.Errorf("policy\n%s", got)
	}
	for _, name := range []string{"provisioning-template.json", "bulk-template.json"} {
		text := read(t, dir, name)
		valid(t, "aws-template", text)
		if len(text) > 10240 {
			t.Errorf("%s has %d characters", name, len(text))
		}
		resolves(t, name, text)
	}
	parameters := func(dir, name string) []string {
		var doc struct{ Parameters map[string]any }
		if err := json.Unmarshal(read(t, dir, name), &doc); err != nil {
			t.Fatal(err)
		}
		var out []string
		for p := range doc.Parameters {
			out = append(out, p)
		}
		slices.Sort(out)
		return out
	}
	// The keys of a bulk line are the template's parameters, all of them.
	if got := parameters(dir, "bulk-template.json"); !slices.Equal(got, []string{"CACertificatePem", "CertificatePem", "Model", "SerialNumber", "ThingName"}) {
		t.Errorf("bulk parameters %v", got)
	}
	// A JITP parameter must be in the subject of every device.
	with := []string{"AWS::IoT::Certificate::CommonName", "AWS::IoT::Certificate::Id", "AWS::IoT::Certificate::SerialNumber"}
	if got := parameters(dir, "provisioning-template.json"); !slices.Equal(got, with) {
		t.Errorf("JITP parameters %v", got)
	}
	w.pass(terms{serial: "SN-2"})
	without, _ := w.pack("aws", nil)
	if got := parameters(without, "provisioning-template.json"); !slices.Equal(got, with[:2]) {
		t.Errorf("JITP parameters %v with a subject that lacks its serial", got)
	}
	resolves(t, "without serial", read(t, without, "provisioning-template.json"))

	other, _ := w.pack("aws", func(o *export.PackOptions) {
		o.AWS = export.AWSOptions{TopicRoot: "plant/ulm", Policy: "pump", Template: "pumps", Region: "eu-central-1", Account: "123456789012"}
		o.Simulated = true
	})
	if got := string(read(t, other, "policy.json")); !strings.Contains(got, `"arn:aws:iot:eu-central-1:123456789012:topic/plant/ulm/${iot:Connection.Thing.ThingName}/*"`) {
		t.Errorf("policy %s", got)
	}
	if got := string(read(t, other, "README.md")); !strings.Contains(got, "SIMULATED TPM") || !strings.Contains(got, "--policy-name pump ") {
		t.Errorf("readme %s", got)
	}
	if got := string(read(t, dir, "README.md")); strings.Contains(got, "SIMULATED") || strings.Contains(got, "<no value>") {
		t.Errorf("readme %s", got)
	}
}

// resolves checks that each Ref of a template names a parameter, and each
// parameter is used.
func resolves(t *testing.T, name string, text []byte) {
	t.Helper()
	var doc struct {
		Parameters map[string]any
		Resources  any
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		m, ok := v.(map[string]any)
		if ref, is := m["Ref"].(string); ok && is {
			used[ref] = true
			return
		}
		for _, below := range m {
			walk(below)
		}
	}
	walk(doc.Resources)
	for p := range doc.Parameters {
		if !used[p] {
			t.Errorf("%s: parameter %s is not used", name, p)
		}
		delete(used, p)
	}
	if len(used) > 0 {
		t.Errorf("%s: no parameters: %v", name, used)
	}
}

func TestAWSLimits(t *testing.T) {
	_, _, edwards := otherKeys(t)
	for name, try := range map[string]struct {
		c    terms
		says string
	}{
		"space in the name":    {terms{serial: "SN 1"}, `unit SN 1: "SN 1" is no thing name`},
		"dot in the name":      {terms{serial: "SN.1"}, "no thing name"},
		"space in the serial":  {terms{serial: "SN 1", name: "SN-1"}, `serial number "SN 1" cannot be a thing's attribute`},
		"Ed25519":              {terms{serial: "SN-1", key: edwards}, "Ed25519"},
		"another unit's name":  {terms{serial: "SN-1", name: "TAKEN"}, "another unit is named"},
		"another's serial":     {terms{serial: "SN-1", name: "good"}, "is the serial of another unit"},
		"attribute like a CSV": {terms{serial: "SN;1", name: "SN-1"}, "cannot be a thing's attribute"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldWith(t, "good")
			w.pass(terms{serial: "other", name: "TAKEN"})
			w.pass(try.c)
			path := filepath.Join(t.TempDir(), "pack")
			_, err := export.Pack(t.Context(), path, "aws", w.reader(), w.options())
			var unfit *export.UnfitError
			if !errors.As(err, &unfit) || !strings.Contains(err.Error(), try.says) {
				t.Errorf("%v", err)
			}
			if left := names(filepath.Dir(path)); len(left) > 0 {
				t.Errorf("left behind %v", left)
			}
			o := w.options()
			o.Skip = true
			result, err := export.Pack(t.Context(), path, "aws", w.reader(), o)
			if err != nil || result.Rows != 2 || result.Skipped != 1 || result.Listed != 3 {
				t.Fatalf("skipping: %+v, %v", result, err)
			}
			if skipped := string(read(t, path, "skipped.jsonl")); !strings.Contains(skipped, `"serial":"`+try.c.serial+`"`) || strings.Count(skipped, "\n") != 1 {
				t.Errorf("skipped %s", skipped)
			}
		})
	}
}

func TestAWSOptions(t *testing.T) {
	for _, o := range []export.AWSOptions{
		{TopicRoot: "a/#"},
		{TopicRoot: "+"},
		{TopicRoot: "/a"},
		{TopicRoot: "a//b"},
		{TopicRoot: "${iot:ClientId}"},
		{TopicRoot: "$aws"},
		{TopicRoot: "a/b/c/d/e/f"},
		{TopicRoot: "a*"},
		{TopicRoot: strings.Repeat("a", 65)},
		{Policy: "a b"},
		{Policy: strings.Repeat("a", 129)},
		{Template: "a.b"},
		{Template: strings.Repeat("a", 37)},
		{Region: "europe"},
		{Region: "eu-central-1;"},
		{Account: "1234"},
	} {
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), "allowed:") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	for _, o := range []export.AWSOptions{{}, {TopicRoot: "a/b/c/d/e"}, {Region: "us-gov-west-1"}} {
		if err := o.Check(); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if err := issuer.CheckThingName(strings.Repeat("a", 128)); err != nil {
		t.Error(err)
	}
	if err := issuer.CheckThingName(strings.Repeat("a", 129)); err == nil {
		t.Error("a thing name of 129 characters passes")
	}
}
