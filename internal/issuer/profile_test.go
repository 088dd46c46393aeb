// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/issuer"
)

// config is the mtls profile with changes.
func config(t testing.TB, change func(c *issuer.ProfileConfig)) *issuer.Profile {
	t.Helper()
	c, err := issuer.DefaultConfig("mtls")
	if err != nil {
		t.Fatal(err)
	}
	change(&c)
	p, err := issuer.NewProfile("test", c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBuiltinProfile(t *testing.T) {
	p := mtls(t)
	if p.Name() != "mtls" || p.Lifetime() != 365*24*time.Hour || len(p.Variables()) != 0 {
		t.Errorf("mtls is %s, %v, %v", p.Name(), p.Lifetime(), p.Variables())
	}
	if _, err := issuer.BuiltinProfile("nosuch"); err == nil || !strings.Contains(err.Error(), "allowed: mtls") {
		t.Errorf("unknown profile: %v", err)
	}
	const want = `{"base":"mtls","days":365,"backdate":"1h","algorithms":["ES256","ES384","EdDSA","RS256"],` +
		`"subject":{"country":"","organization":"","organizational_unit":"","state":"","locality":"","common_name":"{serial}","serial_number":"","dn_qualifier":""},` +
		`"san":{"dns":[],"uri":[],"hardware_type":"","hardware_serial":""},"extension":[]}`
	if got := string(p.Canonical()); got != want {
		t.Errorf("the digest in every ledger changes: canonical form is\n%s\nwant\n%s", got, want)
	}
}

// TestExampleProfile reads the commented example that is shipped.
func TestExampleProfile(t *testing.T) {
	text, err := os.ReadFile("testdata/profile.toml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := issuer.ParseProfile("profiles/pump.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name() != "pump" || p.Lifetime() != 180*24*time.Hour || !reflect.DeepEqual(p.Variables(), []string{"site"}) {
		t.Errorf("example is %s, %v, %v", p.Name(), p.Lifetime(), p.Variables())
	}
	u := issuer.Unit{Serial: "42", Model: "p1", UID: "0a", Vars: map[string]string{"site": "north"}}
	if cn, err := p.SubjectCN(u); cn != "p1-42" || err != nil {
		t.Errorf("CN %q, %v", cn, err)
	}
	if sn, err := p.SubjectSN(u); sn != "42" || err != nil {
		t.Errorf("serialNumber %q, %v", sn, err)
	}
	if p.Digest() == mtls(t).Digest() {
		t.Error("two profiles have one digest")
	}
}

func TestProfileDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "base = 'mtls'\n[subject]\n"} {
		p, err := issuer.ParseProfile("x.toml", []byte(text))
		if err != nil || p.Digest() != mtls(t).Digest() {
			t.Errorf("%q: %v, not equal to mtls", text, err)
		}
	}
}

func TestProfileRefused(t *testing.T) {
	for _, c := range []struct{ text, line, what string }{
		{"days = 89", "1", "days: 89; allowed: 90 to 365"},
		{"\n\ndays = 366", "3", "days: 366; allowed: 90 to 365"},
		{"# c\ndays = '90'", "2", "days has the wrong type of value; allowed: a whole number of days"},
		{"days = 365\nyears = 1", "2", "unknown key years; allowed: base, days"},
		{"[subject]\ncn = 'x'", "2", "unknown key subject.cn; allowed: country, organization"},
		{"[nosuch]\nx = 1", "1", "unknown key nosuch; allowed: base"},
		{"days = ", "1", "allowed: TOML"},
		{"days = 100\ndays = 100", "2", "allowed: TOML"},
		{"\nbase = 'nosuch'", "2", "base: \"nosuch\" is not a built-in profile; allowed: mtls, idevid, aws, azure, short"},
		{"base = 'idevid'\ndays = 365", "2", "days: 365; allowed: 0: a certificate of idevid does not end"},
		{"base = 'mtls'\ndays = 0", "2", "days: 0; allowed: 90 to 365"},
		{"base = 'short'\ndays = 91", "2", "days: 91; allowed: 1 to 90"},
		{"base = 'short'\ndays = 0", "2", "days: 0; allowed: 1 to 90"},
		{"base = 'idevid'\n[subject]\nserial_number = ''", "3", "it is empty, and idevid needs it"},
		{"base = 'idevid'\n[subject]\nserial_number = 'same'", "3", "the same for every unit"},
		{"base = 'aws'\n[subject]\nserial_number = ''", "3", "aws needs it"},
		{"base = 'aws'\nalgorithms = ['EdDSA']", "2", "allowed: ES256, ES384, RS256"},
		{"base = 'aws'\n[subject]\ncommon_name = 'a thing {serial}'", "3", "allowed: a thing name of AWS IoT"},
		{"base = 'azure'\n[subject]\ncommon_name = 'Dev-{serial}'", "3", "allowed: a registration ID of Azure DPS"},
		{"base = 'azure'\nalgorithms = ['ES256', 'EdDSA']", "2", "\"EdDSA\"; allowed: ES256, ES384, RS256"},
		{"[subject]\ncommon_name = '{serial|upper}'", "2", "{serial|lower} is allowed"},
		{"[san]\nhardware_type = '1.3.6.1.4.1.32473.5'", "2", "stands without san.hardware_serial"},
		{"[san]\nhardware_serial = '{serial}'", "2", "stands without san.hardware_type"},
		{"[san]\nhardware_type = 'x'\nhardware_serial = '{serial}'", "2", "not numbers"},
		{"[san]\nhardware_type = '1.3.6.1.4.1.32473.5'\nhardware_serial = 'all'", "3", "the same for every unit"},
		{"[subject]\ndn_qualifier = '*'", "2", "PrintableString"},
		{"backdate = '25h'", "1", "backdate: \"25h\"; allowed: \"0s\" to \"24h\""},
		{"backdate = '-1s'", "1", "backdate:"},
		{"backdate = '1500ms'", "1", "whole seconds"},
		{"backdate = 3600", "1", "backdate has the wrong type"},
		{"days = 100\nalgorithms = []", "2", "algorithms: an empty list; allowed: ES256"},
		{"algorithms = ['RS1']", "1", "algorithms: \"RS1\"; allowed: ES256, ES384, EdDSA, RS256"},
		{"algorithms = ['ES256', 'ES256']", "1", "each once"},
		{"algorithms = 'ES256'", "1", "algorithms has the wrong type"},
		{"[subject]\n\ncommon_name = 'fixed'", "3", "is the same for every unit"},
		{"[subject]\ncommon_name = ''", "2", "is the same for every unit"},
		{"subject = { common_name = 'fixed' }", "1", "is the same for every unit"},
		{"[subject]\ncommon_name = '{serial'", "2", "has a {"},
		{"[subject]\ncommon_name = 'serial}'", "2", "has a } without {"},
		{"[subject]\ncommon_name = '{Serial}'", "2", "has a {"},
		{"[subject]\ncountry = 'Germany'", "2", "allowed: two letters"},
		{"[subject]\norganization = '" + strings.Repeat("x", 65) + "'", "2", "allowed: 1 to 64"},
		{"[subject]\nserial_number = 'a_b'", "2", "PrintableString"},
		{"[san]\ndns = ['-a.example']", "2", "san.dns:"},
		{"[san]\nuri = ['no scheme']", "2", "san.uri:"},
		{"san.uri = ['a:1','a:2','a:3','a:4','a:5','a:6','a:7','a:8','a:9']", "1", "up to 8"},
		{"[[extension]]\noid = '2.5.29.15'\nvalue = '0500'", "2", "writes these itself"},
		{"[[extension]]\noid = '1.3.6.1.5.5.7.1.1'\nvalue = '0500'", "2", "writes these itself"},
		{"[[extension]]\noid = '2.16.840.1.113730.1.1'\nvalue = '03020007'", "2", "says what a key is for"},      // netscape-cert-type: an issuer
		{"[[extension]]\noid = '1.3.6.1.4.1.311.21.10'\nvalue = '3000'", "2", "says what a key is for"},          // application policies of Windows
		{"[[extension]]\noid = '1.3.6.1.4.1.311.20.2'\nvalue = '0c055375624341'", "2", "says what a key is for"}, // certificate template of Windows
		{"[subject]\norganization = ' Example'", "2", "blank"},
		{"[subject]\norganization = \"Example\\u200b\"", "2", "cannot be seen"},
		{"[[extension]]\noid = '1.2.03'\nvalue = '0500'", "2", "not numbers"},
		{"[[extension]]\noid = '1.2.3'\nvalue = '05'", "3", "one DER element in hex"},
		{"[[extension]]\noid = '1.2.3'\nvalue = '05000500'", "3", "one DER element in hex"},
		{"[[extension]]\noid='1.2.3'\nvalue='0500'\n[[extension]]\nvalue='0500'\noid='1.2.3'", "6", "stands twice"},
		{"[[extension]]\noid='1.2.3'\nvalue='0500'\n[[extension]]\noid='1.2.4'\nvalue='0'", "6", "one DER element"},
		{"[[extension]]\noid = '1.2.3'\nvalue = '0500'\ncritical = true", "4", "unknown key extension.critical; allowed: oid, value"},
		{"[[extension]]\noid='1.2.3'\nvalue='0500'\n\n[[extension]]\nvalue='0500'", "5", "not numbers"},
		{"extension = [{oid = '1.2.3', value = ''}]", "1", "one DER element"},
		{strings.Repeat("#", 65<<10), "1", "bytes; allowed"},
	} {
		_, err := issuer.ParseProfile("profiles/x.toml", []byte(c.text))
		if err == nil {
			t.Errorf("%q was accepted", c.text)
			continue
		}
		if !strings.HasPrefix(err.Error(), "profiles/x.toml:"+c.line+": ") || !strings.Contains(err.Error(), c.what) ||
			!strings.Contains(err.Error(), "allowed: ") {
			t.Errorf("%q:\n got %v\nwant line %s and %q", c.text, err, c.line, c.what)
		}
	}
}

// TestNameSeen: two names that look alike are not two units'.
func TestNameSeen(t *testing.T) {
	p, err := issuer.BuiltinProfile("mtls")
	if err != nil {
		t.Fatal(err)
	}
	for serial, good := range map[string]bool{
		"SN 1": true, "Gerät-1": true, " ": false, " SN-1": false, "SN-1 ": false, "SN-1\u200b": false, "SN\u202e-1": false, "SN\x001": false, "SN\u00a01": false,
	} {
		if _, err := p.SubjectCN(issuer.Unit{Serial: serial}); good != (err == nil) {
			t.Errorf("%q: %v", serial, err)
		}
	}
}

// TestServiceRefusesUnit fills templates with what a cloud would not take.
func TestServiceRefusesUnit(t *testing.T) {
	for _, c := range []struct{ profile, serial, want string }{
		{"aws", "SN-1", ""},
		{"aws", "SN 1", "no thing name"},
		{"aws", "SN/1", "no thing name"},
		{"aws", strings.Repeat("1", 65), "allowed: 1 to 64"},
		{"azure", "SN-1", ""}, // written in small letters
		{"azure", "sn:1.2_3", ""},
		{"azure", "sn-1-", "letter or digit at the end"},
		{"azure", "sn/1", "no registration ID"},
		{"azure", "sñ", "no registration ID"},
	} {
		p, err := issuer.BuiltinProfile(c.profile)
		if err != nil {
			t.Fatal(err)
		}
		cn, err := p.SubjectCN(issuer.Unit{Serial: c.serial})
		if c.want == "" && (err != nil || c.profile == "azure" && cn != strings.ToLower(c.serial)) ||
			c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s with serial %q: %q, %v, want %q", c.profile, c.serial, cn, err, c.want)
		}
	}
}

func TestProfileNameRefused(t *testing.T) {
	for _, name := range []string{"", ".toml", "a b.toml", "Ä.toml", strings.Repeat("x", 33)} {
		if _, err := issuer.ParseProfile(name, nil); err == nil || !strings.Contains(err.Error(), "name:") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestSubjectRefusesUnit(t *testing.T) {
	p := config(t, func(c *issuer.ProfileConfig) {
		c.Subject.CommonName = "{serial}-{color}"
		c.Subject.SerialNumber = "{serial}"
	})
	for _, c := range []struct {
		name string
		unit issuer.Unit
		want string
	}{
		{"missing variable", issuer.Unit{Serial: "1"}, `no "color"`},
		{"too long", issuer.Unit{Serial: strings.Repeat("1", 63), Vars: map[string]string{"color": "red"}}, "67 bytes; allowed: 1 to 64"},
		{"control character", issuer.Unit{Serial: "1", Vars: map[string]string{"color": "re\nd"}}, "control character"},
		{"not UTF-8", issuer.Unit{Serial: "1", Vars: map[string]string{"color": "re\xffd"}}, "UTF-8"},
	} {
		if _, err := p.SubjectCN(c.unit); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := p.SubjectSN(issuer.Unit{Serial: "1_2"}); err == nil || !strings.Contains(err.Error(), "'_'") {
		t.Errorf("serialNumber with _: %v", err)
	}
}
