// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/gowebpki/jcs"

	"provisioning.example/station/internal/record"
)

// odd is text that an encoder must escape, or must leave alone.
const odd = `"quoted" \ back / slash <&> ` + "ä€😀\uFFFD ﬁ" + `\"`

// spell writes odd text into every text that a body of the kind may have.
func spell(b *record.Body, kind record.Kind) {
	v := reflect.ValueOf(b).Elem()
	for i, f := range record.Fields() {
		if f.Type == record.Text && f.Max >= len(odd) && kind.Values[f.Name] == nil && f.Name != "old" && f.Name != "new" &&
			(slices.Contains(kind.Required, f.Name) || slices.Contains(kind.Optional, f.Name) || f.Name == "operator" || f.Name == "software") {
			v.Field(i).SetString(odd)
		}
	}
	if len(b.Claims) > 0 { // what they claim is what the entry says
		for i := range b.Claims {
			b.Claims[i].Value = b.Says(b.Claims[i].Kind)
		}
	}
	for i := range b.Steps {
		b.Steps[i].Name, b.Steps[i].Ms, b.Steps[i].Retries = `a "step" \`, 1<<53-1, 1<<20
	}
}

// TestCanonicalForm holds our bytes against those of encoding/json and a
// canonicalizer, and what is read of them against what was written.
func TestCanonicalForm(t *testing.T) {
	spelled := 0
	for _, k := range record.Kinds() {
		plain := record.Example(k.Name)
		rich := record.Example(k.Name)
		spell(&rich, k)
		for _, b := range []record.Body{plain, rich} {
			raw, err := b.Encode()
			if err != nil {
				t.Fatalf("%s: %v", k.Name, err)
			}
			plainJSON, err := json.Marshal(b)
			if err != nil {
				t.Fatal(err)
			}
			want, err := jcs.Transform(plainJSON)
			if err != nil || !bytes.Equal(raw, want) {
				t.Errorf("%s: %v\n%s\n%s", k.Name, err, raw, want)
			}
			spelled += bytes.Count(raw, []byte(`\\`))
			back, ok := record.ScanBody(raw)
			if !ok || !reflect.DeepEqual(back, b) {
				t.Errorf("%s: scanned %v\n%+v\n%+v", k.Name, ok, back, b)
			}
		}
	}
	if spelled < 100 {
		t.Errorf("only %d backslashes: what is to be escaped was not tried", spelled)
	}
}

// TestScannerDoesNotDecide: what the short way reads otherwise than encoding/json
// does is not believed.
func TestScannerDoesNotDecide(t *testing.T) {
	raw, err := record.Example(record.KindEnd).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(raw); i += 3 { // a thousand places, of every kind
		for _, c := range []byte(`"\,0 `) {
			bad := bytes.Clone(raw)
			if bad[i] == c {
				continue
			}
			bad[i] = c
			b, err := record.Decode(bad)
			if err != nil {
				continue
			}
			// Another value is another entry, and must be that in any reader's eyes.
			var other record.Body
			if err := json.Unmarshal(bad, &other); err != nil || !reflect.DeepEqual(b, other) {
				t.Fatalf("byte %d as %q: %v\n%+v\n%+v", i, c, err, b, other)
			}
			if again, err := b.Encode(); err != nil || !bytes.Equal(again, bad) {
				t.Fatalf("byte %d as %q: %v\n%s\n%s", i, c, err, again, bad)
			}
		}
	}
}

// TestReadDoesNotJudge: who only shows entries reads what Decode refuses, too,
// but nothing that is no entry.
func TestReadDoesNotJudge(t *testing.T) {
	want := record.Example(record.KindEnd)
	raw, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{raw, append([]byte(" "), raw...), bytes.Replace(raw, []byte(`{"`), []byte(`{"later":[1],"`), 1)} {
		if got, err := record.Read(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\n%+v\n%+v", err, got, want)
		}
	}
	for _, text := range []string{"", "{", "[]", `{"slot":"three"}`, string(raw) + "}", string(raw[:len(raw)-1])} {
		if got, err := record.Read([]byte(text)); err == nil {
			t.Errorf("%q was read: %+v", text, got)
		}
	}
}

// TestReadEscapes: who only shows an entry reads no other text in it than the
// database does, by which it is searched.
func TestReadEscapes(t *testing.T) {
	raw, err := record.Example(record.KindEnd).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, detail := range []string{`\u0041`, `a\nb`, `\/`, `\t`, `\\u0041`, `\"`, `\ud83d\ude00`} {
		bad := bytes.Replace(raw, []byte(`"detail":"`), []byte(`"detail":"`+detail), 1)
		if bytes.Equal(bad, raw) {
			t.Fatal("the example has no detail")
		}
		var want record.Body
		if err := json.Unmarshal(bad, &want); err != nil {
			t.Fatal(err)
		}
		if got, err := record.Read(bad); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %q, want %q", detail, err, got.Detail, want.Detail)
		}
	}
	for _, detail := range []string{`\x`, `\`} { // no JSON at all
		bad := bytes.Replace(raw, []byte(`"detail":"`), []byte(`"detail":"`+detail), 1)
		if got, err := record.Read(bad); err == nil {
			t.Errorf("%q was read: %q", detail, got.Detail)
		}
	}
}

// everything sets all fields of a struct, and of what it points to or lists.
func everything(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString("text")
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		everything(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		everything(t, v.Index(0))
		everything(t, v.Index(1))
	case reflect.Struct:
		for i := range v.NumField() {
			everything(t, v.Field(i))
		}
	default:
		t.Fatalf("a field of kind %s: teach the encoder, the scanner and this test", v.Kind())
	}
}

// TestNothingIsDropped: every field of a body, and every one of what is in it,
// is written and read, and so is one that somebody adds.
func TestNothingIsDropped(t *testing.T) {
	var b record.Body
	everything(t, reflect.ValueOf(&b).Elem())
	plain, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	want, err := jcs.Transform(plain)
	if got := record.AppendCanonical(nil, &b); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\n%s\n%s", err, got, want)
	}
	if back, ok := record.ScanBody(want); !ok || !reflect.DeepEqual(back, b) {
		t.Errorf("scanned %v\n%+v\n%+v", ok, back, b)
	}
}

func BenchmarkDecode(b *testing.B) {
	raw, err := record.Example(record.KindEnd).Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := record.Decode(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	body := record.Example(record.KindEnd)
	for b.Loop() {
		if _, err := body.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}
