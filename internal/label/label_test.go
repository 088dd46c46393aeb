// SPDX-License-Identifier: Apache-2.0

package label_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/label"
)

func parse(t *testing.T, name, text string, dpi int) *label.Template {
	t.Helper()
	tp, err := label.Parse(name, []byte(text), dpi)
	if err != nil {
		t.Fatal(err)
	}
	return tp
}

func fill(t *testing.T, tp *label.Template, v label.Values) (*label.Label, []byte) {
	t.Helper()
	l, err := tp.Fill(v)
	if err != nil {
		t.Fatal(err)
	}
	zpl, err := l.ZPL(1)
	if err != nil {
		t.Fatal(err)
	}
	return l, zpl
}

// with is a specimen with some values changed.
func with(pairs ...string) label.Values {
	v := label.Specimen()
	for i := 0; i < len(pairs); i += 2 {
		v[pairs[i]] = pairs[i+1]
	}
	return v
}

// scan reads the picture with a program that scans codes.
func scan(t *testing.T, l *label.Label, program string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "label.png")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.PNG(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, append(args, path)...)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v %s", program, err, said.Bytes())
	}
	return string(out)
}

func zbar(t *testing.T, l *label.Label) string {
	t.Helper()
	return strings.TrimSuffix(scan(t, l, "zbarimg", "--quiet", "--raw", "--nodbus", "--set", "disable", "--set", "qrcode.enable"), "\n")
}

func dmtx(t *testing.T, l *label.Label) string {
	t.Helper()
	return scan(t, l, "dmtxread", "--stop-after=1")
}

// TestBuiltins reads the codes of the program's own labels back, at every
// resolution, and what the printer gets by the reader of these tests.
func TestBuiltins(t *testing.T) {
	for _, dpi := range label.Resolutions() {
		for _, name := range []string{label.BuiltinPass, label.BuiltinFail} {
			t.Run(fmt.Sprint(name, dpi), func(t *testing.T) {
				tp, err := label.Builtin(name, dpi)
				if err != nil {
					t.Fatal(err)
				}
				v := with("outcome", strings.ToUpper(name))
				l, zpl := fill(t, tp, v)
				want := v["serial"] + " " + v["witness"]
				read := zbar
				if name == label.BuiltinFail {
					want, read = v["serial"]+" "+v["fault"], dmtx
				}
				if got := read(t, l); got != want {
					t.Errorf("read back %q, want %q", got, want)
				}
				w, h, copies, fields := readZPL(t, zpl)
				perMM := map[int]int{203: 8, 300: 12, 600: 24}[dpi]
				if w != 50*perMM || h != 25*perMM || copies != 1 {
					t.Errorf("%d by %d dots, %d copies", w, h, copies)
				}
				if !holds(fields, "", want) || !holds(fields, "text", v["outcome"]) || !holds(fields, "text", v["serial"]) {
					t.Errorf("a field is missing in %+v", fields)
				}
				if img := l.Image(); img.Rect.Dx() != w || img.Rect.Dy() != h {
					t.Errorf("the picture has %v", img.Rect)
				}
			})
		}
	}
}

func holds(fields []field, kind, data string) bool {
	for _, f := range fields {
		if (kind == "" || f.kind == kind) && f.data == data {
			return true
		}
	}
	return false
}

const everything = `width_mm = 60
height_mm = 60
[[text]]
x = 1
y = 1
height = 2
text = "{serial}"
[[text]]
x = 1
y = 4
height = 2
width = 58
lines = 2
align = "center"
text = "{serial}"
[[qr]]
x = 1
y = 10
module = 0.5
data = "{serial}"
[[datamatrix]]
x = 35
y = 10
module = 0.5
data = "{serial}"
`

// hostile are serials that would be commands, escapes or codes' escapes if a
// printer got them as they are.
var hostile = []string{
	"^XA^FO0,0^FDx^FS^XZ", "~JR", "^FS^XZ~DGR:X", "_5EXA", "__", "~1", "_1ABC", "~d065", `\&`, `\\`, "a,b", "{serial}", "}{",
	"\x02\x03\x1b\x00", "A\r\nB", "\x7e\x5e", "ÄÖÜ-雪-1", "\xff\xfe", "^CC!", "%^FD", "'\"<>|;`$()",
}

// TestNoCommand holds that a value is text to the printer, whatever it is: the
// reader takes only fields of known looks whose data are plain or hex, and finds
// the value in them again.
func TestNoCommand(t *testing.T) {
	for _, form := range []string{"toml", "zpl"} {
		for _, serial := range hostile {
			tp := parse(t, "every."+form, map[string]string{"toml": everything, "zpl": everyZPL}[form], 203)
			_, zpl := fill(t, tp, with("serial", serial))
			_, _, _, fields := readZPL(t, zpl)
			for _, kind := range []string{"text", "qr", "matrix"} {
				if !holds(fields, kind, serial) {
					t.Errorf("%s: %s does not hold serial %q: %+v", form, kind, serial, fields)
				}
			}
			for i, c := range zpl {
				if c < ' ' && c != '\n' || c >= 0x7f {
					t.Errorf("%s: serial %q: byte %d is %#x", form, serial, i, c)
				}
			}
		}
	}
}

const everyZPL = `^XA
^FX the same in dots^FS
^PW480^LL480^LH8,8
^CF0,16
^MMT^PR4
^FO0,0^FD{serial}^FS
^FO0,24^A0N,16,16^FB464,2,0,C^FH\^FD{serial}^FS
^BY2,3,40^FO0,32^BQN,2,4^FH^FDMA,{serial}^FS
^FO272,72^BXN,4,200^FD{serial}^FS
^XZ
`

// TestSameLabel holds that a template in millimetres and one in dots make the
// same picture, and that what is sent makes it, too: the picture is of what is printed.
func TestSameLabel(t *testing.T) {
	v := with("serial", "PC200-26-000101")
	a, sent := fill(t, parse(t, "a.toml", everything, 203), v)
	b, _ := fill(t, parse(t, "b.zpl", everyZPL, 203), v)
	if !bytes.Equal(a.Image().Pix, b.Image().Pix) {
		t.Error("the two forms of a template make two pictures")
	}
	text := strings.NewReplacer("^PQ1\n", "", ",200,,,,_", ",200").Replace(string(sent))
	c, _ := fill(t, parse(t, "c.zpl", text, 203), v)
	if !bytes.Equal(a.Image().Pix, c.Image().Pix) {
		t.Errorf("what is sent is not what is drawn:\n%s", sent)
	}
}

// TestReadBack scans hostile and long values back.
func TestReadBack(t *testing.T) {
	codes := "width_mm = 60\nheight_mm = 40\n" + everything[strings.Index(everything, "[[qr]]"):]
	tp := parse(t, "codes.toml", codes, 203)
	for _, serial := range []string{"^XA^FO0,0^FDx^FS^XZ", "~JR~1", "_1__", `\&\\`, "SN 000 123", strings.Repeat("9", 64), strings.Repeat("W", 64)} {
		l, err := tp.Fill(with("serial", serial))
		if err != nil {
			t.Fatal(err)
		}
		if got := zbar(t, l); got != serial {
			t.Errorf("QR code: %q, want %q", got, serial)
		}
		if got := dmtx(t, l); got != serial {
			t.Errorf("DataMatrix: %q, want %q", got, serial)
		}
	}
}

// TestBeyondTheEdge holds that nothing is printed beside the label.
func TestBeyondTheEdge(t *testing.T) {
	tp := parse(t, "every.toml", everything, 203)
	_, err := tp.Fill(with("serial", strings.Repeat("W", 64)))
	if err == nil || !strings.HasPrefix(err.Error(), "every.toml:3: the text") || !strings.Contains(err.Error(), "the label has 480 by 480") {
		t.Errorf("a serial beyond the label's edge: %v", err)
	}
}

// TestNothingCut holds that text may be cut short, but no serial and no fault code.
func TestNothingCut(t *testing.T) {
	const text = "width_mm = 30\nheight_mm = 10\n[[text]]\nx = 1\ny = 1\nwidth = 20\nlines = 2\nheight = 2\ntext = \"%s\"\n"
	tp := parse(t, "a.toml", fmt.Sprintf(text, "{sentence}"), 203)
	_, zpl := fill(t, tp, with("sentence", "The quick brown fox jumps over the lazy dog and then some."))
	if _, _, _, fields := readZPL(t, zpl); len(fields) != 2 || !strings.HasSuffix(fields[1].data, "...") || strings.HasSuffix(fields[0].data, "...") {
		t.Errorf("%+v", fields)
	}
	for _, name := range []string{"serial", "fault"} {
		tp = parse(t, "b.toml", fmt.Sprintf(text, "{"+name+"}"), 203)
		if _, err := tp.Fill(with(name, strings.Repeat("0123456789", 6))); err == nil || !strings.HasPrefix(err.Error(), "b.toml:3: ") {
			t.Errorf("%s: %v", name, err)
		}
		// A word longer than a line goes on in the next, in full.
		_, zpl := fill(t, tp, with(name, "0123456789ABCDEFGH"))
		_, _, _, fields := readZPL(t, zpl)
		if len(fields) != 2 || fields[0].data+fields[1].data != "0123456789ABCDEFGH" {
			t.Errorf("%s: %+v", name, fields)
		}
	}
}

func TestCopies(t *testing.T) {
	tp, err := label.Builtin(label.BuiltinPass, 300)
	if err != nil {
		t.Fatal(err)
	}
	l, _ := fill(t, tp, label.Specimen())
	zpl, err := l.ZPL(7)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, copies, _ := readZPL(t, zpl); copies != 7 {
		t.Errorf("%d copies", copies)
	}
	for _, n := range []int{0, -1, label.MaxCopies + 1} {
		if _, err := l.ZPL(n); err == nil {
			t.Errorf("%d copies were made", n)
		}
	}
}
