// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gowebpki/jcs"

	"provisioning.example/station/internal/record"
)

// designKinds is the closed list of design and documentation, written a second time on purpose.
const designKinds = "start stop login logout config order ca key begun issuing issued proven end renewed revoked crl caverify rework scrap " +
	"correction signoff seal clock selfcheck label export import backup restored handover"

func TestKindsAreTheDesignedList(t *testing.T) {
	var names []string
	for _, k := range record.Kinds() {
		names = append(names, k.Name)
	}
	if got := strings.Join(names, " "); got != designKinds {
		t.Errorf("kinds are\n%s\nwant\n%s", got, designKinds)
	}
}

func TestTablesAgreeWithBody(t *testing.T) {
	var tags []string
	body := reflect.TypeFor[record.Body]()
	for i := range body.NumField() {
		name, _, _ := strings.Cut(body.Field(i).Tag.Get("json"), ",")
		tags = append(tags, name)
	}
	var names []string
	used := map[string]bool{}
	for _, f := range record.Fields() {
		names = append(names, f.Name)
	}
	if !slices.Equal(tags, names) {
		t.Errorf("fields of Body\n%v\nfields of the table\n%v", tags, names)
	}
	for _, k := range record.Kinds() {
		for _, n := range slices.Concat(k.Required, k.Optional) {
			used[n] = true
			if !slices.Contains(names, n) {
				t.Errorf("kind %s names the field %s, which does not exist", k.Name, n)
			}
		}
		if k.Doc == "" {
			t.Errorf("kind %s has no description", k.Name)
		}
	}
	for _, n := range names[5:] {
		if !used[n] {
			t.Errorf("field %s is used by no kind", n)
		}
	}
}

func TestExampleOfEveryKind(t *testing.T) {
	for _, k := range record.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			b := record.Example(k.Name)
			raw, err := b.Encode()
			if err != nil {
				t.Fatal(err)
			}
			canonical, err := jcs.Transform(raw)
			if err != nil || !bytes.Equal(raw, canonical) {
				t.Errorf("not canonical: %v\n%s\n%s", err, raw, canonical)
			}
			back, err := record.Decode(raw)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, b) {
				t.Errorf("decoded %+v, want %+v", back, b)
			}
			for _, name := range append([]string{"kind", "station", "time", "operator", "software"}, k.Required...) {
				if _, err := record.Decode(without(t, raw, name)); err == nil || !strings.Contains(err.Error(), name) && name != "kind" {
					t.Errorf("without %s: %v", name, err)
				}
			}
		})
	}
}

// without returns raw in canonical form less one field.
func without(t *testing.T, raw []byte, name string) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	delete(m, name)
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDecodeRefuses(t *testing.T) {
	raw, err := record.Example(record.KindIssued).Encode()
	if err != nil {
		t.Fatal(err)
	}
	good := string(raw)
	for name, bad := range map[string]string{
		"empty":           "",
		"not an object":   `[]`,
		"trailing":        good + " ",
		"second object":   good + good,
		"leading space":   " " + good,
		"unknown field":   strings.Replace(good, `{"`, `{"aaa":1,"`, 1),
		"repeated field":  strings.Replace(good, `"kind":"issued"`, `"kind":"issued","kind":"issued"`, 1),
		"key in capitals": strings.Replace(good, `"kind"`, `"KIND"`, 1),
		"escape":          strings.Replace(good, `"kind":"issued"`, `"kind":"\u0069ssued"`, 1),
		"unknown kind":    strings.Replace(good, `"kind":"issued"`, `"kind":"issuer"`, 1),
		"other kind":      strings.Replace(good, `"kind":"issued"`, `"kind":"stop"`, 1),
		"capital hex":     strings.Replace(good, `9f86d081`, `9F86D081`, 1),
		"short digest":    strings.Replace(good, `9f86d081`, ``, 1),
		"explicit zero":   strings.Replace(good, `"slot":3`, `"slot":0`, 1),
		"negative":        strings.Replace(good, `"slot":3`, `"slot":-3`, 1),
		"fraction":        strings.Replace(good, `"slot":3`, `"slot":3.5`, 1),
		"exponent":        strings.Replace(good, `"slot":3`, `"slot":3e0`, 1),
		"null":            strings.Replace(good, `"slot":3`, `"slot":null`, 1),
		"huge number":     strings.Replace(good, `"slot":3`, `"slot":9007199254740992`, 1),
		"local time":      strings.Replace(good, `.000000Z`, `.000000+01:00`, 1),
		"short time":      strings.Replace(good, `.000000Z`, `Z`, 1),
		"line break":      strings.Replace(good, `"op-17"`, `"op\n17"`, 1),
		"direction mark":  strings.Replace(good, `"op-17"`, "\"op\u202e17\"", 1),
		"broken UTF-8":    strings.Replace(good, `"op-17"`, "\"op\xff17\"", 1),
		"too long":        strings.Replace(good, `"op-17"`, `"`+strings.Repeat("o", record.MaxBody)+`"`, 1),
		"foreign claim":   strings.Replace(good, `"value":"SN-000123"`, `"value":"SN-000124"`, 1),
	} {
		if bad == good {
			t.Errorf("%s: the example has nothing to replace", name)
		}
		if _, err := record.Decode([]byte(bad)); err == nil {
			t.Errorf("%s: accepted %s", name, bad)
		}
	}
}

func TestEndDemandsItsReasons(t *testing.T) {
	passed := record.Example(record.KindEnd)
	for name, change := range map[string]func(*record.Body){
		"passed without certificate": func(b *record.Body) { b.Cert = "" },
		"passed without uid":         func(b *record.Body) { b.UID = "" },
		"passed with a fault":        func(b *record.Body) { b.Fault = "F-PROVE-02" },
		"failed without fault":       func(b *record.Body) { b.Outcome = record.Failed },
		"error without fault":        func(b *record.Body) { b.Outcome = record.Error },
		"aborted without reason":     func(b *record.Body) { b.Outcome, b.Reason = record.Aborted, "" },
		"unknown outcome":            func(b *record.Body) { b.Outcome = "fine" },
		"claims of nobody":           func(b *record.Body) { b.Outcome, b.Reason, b.UID = record.Aborted, "x", "" },
	} {
		b := passed
		change(&b)
		if _, err := b.Encode(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, k := range record.Kinds() {
		raw, err := record.Example(k.Name).Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := record.Decode(raw)
		// Another reader and another writer must come to the same verdict.
		other, known := decodeOtherwise(raw)
		if known != (err == nil) || known && !reflect.DeepEqual(b, other) {
			t.Fatalf("decoded %v, %+v\nanother way %v, %+v", err, b, known, other)
		}
		if err != nil {
			return
		}
		again, err := b.Encode()
		if err != nil || !bytes.Equal(again, raw) {
			t.Errorf("decoded but encodes to %q, %v", again, err)
		}
	})
}

// decodeOtherwise is Decode by way of encoding/json and a canonicalizer.
func decodeOtherwise(raw []byte) (b record.Body, ok bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if len(raw) > record.MaxBody || d.Decode(&b) != nil || b.Validate() != nil {
		return b, false
	}
	text, err := json.Marshal(b)
	if err != nil {
		return b, false
	}
	canonical, err := jcs.Transform(text)
	return b, err == nil && bytes.Equal(canonical, raw)
}

func TestPlainIsAlwaysAllowed(t *testing.T) {
	for in, want := range map[string]string{
		"as it is":            "as it is",
		"two\nlines\ttab":     "two?lines?tab",
		"\x00\x1b[31mred":     "??[31mred",
		"broken \xff byte":    "broken ? byte",
		"turned \u202e":       "turned ?",
		"Prüfung 中文":          "Prüfung 中文",
		"123456789012345678€": "123456789012345678",
	} {
		if got := record.Plain(in, 20); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
		b := record.Example(record.KindStop)
		b.Detail = record.Plain(in, 20)
		if _, err := b.Encode(); err != nil {
			t.Errorf("%q: %v", in, err)
		}
	}
}
