// SPDX-License-Identifier: Apache-2.0

package label_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/label"
)

// TestTemplateRefuses holds that mistakes are told with file, line and what is
// allowed.
func TestTemplateRefuses(t *testing.T) {
	for _, try := range []struct{ what, file, text, want string }{
		{"an unknown key", "a.toml", "width_mm = 50\nheight_mm = 25\ndpi = 203\n", `a.toml:3: unknown key "dpi"`},
		{"no size", "a.toml", "height_mm = 25\n", "a.toml:1: width_mm: 5 to 250"},
		{"a size beyond", "a.toml", "width_mm = 50\nheight_mm = 250.5\n", "a.toml:2: height_mm: 5 to 250"},
		{"nothing", "a.toml", "width_mm = 50\nheight_mm = 25\n", "a.toml:1: nothing is on the label"},
		{"an unknown name", "a.toml", head + "[[text]]\nx = 1\ny = 1\nheight = 2\ntext = \"{seriel}\"\n", "a.toml:7: text: unknown placeholder {seriel}; allowed: serial, "},
		{"an open brace", "a.toml", head + "[[text]]\nheight = 2\ntext = \"{serial\"\n", "a.toml:5: text: a { without its }"},
		{"a closed brace", "a.toml", head + "[[text]]\nheight = 2\ntext = \"serial}\"\n", "a.toml:5: text: a } without its {"},
		{"no text", "a.toml", head + "[[text]]\nheight = 2\n", "a.toml:3: text: something to print"},
		{"the second of two", "a.toml", head + "[[text]]\nheight = 2\ntext = \"a\"\n[[text]]\nheight = 0.5\ntext = \"b\"\n", "a.toml:7: height: 1 to 250"},
		{"lines without width", "a.toml", head + "[[text]]\nheight = 2\nlines = 2\ntext = \"a\"\n", "a.toml:3: width: lines and align need a width"},
		{"an unknown turn", "a.toml", head + "[[text]]\nheight = 2\nturn = \"45\"\ntext = \"a\"\n", "a.toml:5: turn: allowed: 0, 90, 180, 270"},
		{"a level", "a.toml", head + "[[qr]]\nmodule = 0.5\nlevel = \"X\"\ndata = \"a\"\n", "a.toml:5: level: allowed: L, M, Q, H"},
		{"a module too small", "a.toml", head + "[[qr]]\nmodule = 0.05\ndata = \"a\"\n", "a.toml:4: module: 0.15 to 1.25 with 8 dots per millimetre"},
		{"a module too large", "a.toml", head + "[[qr]]\nmodule = 1.4\ndata = \"a\"\n", "a.toml:4: module: 0.15 to 1.25"},
		{"not a number", "a.toml", head + "[[qr]]\nx = nan\nmodule = 0.5\ndata = \"a\"\n", "a.toml:4: x: 0 to 250"},
		{"an infinite width", "a.toml", "width_mm = inf\nheight_mm = 25\n", "a.toml:1: width_mm: 5 to 250"},
		{"a code beyond the edge", "a.toml", head + "[[qr]]\nx = 40\nmodule = 1\ndata = \"{witness}\"\n", "a.toml:3: the QR code of 33 modules ends at 584, 264 dots; the label has 400 by 200"},
		{"broken TOML", "a.toml", "width_mm = \n", "a.toml:1: "},
		{"another form", "a.txt", "x", "a.txt: a label template is a .toml or a .zpl file"},

		{"no begin", "a.zpl", "^PW400^LL200^XZ", "a.zpl:1: a label begins with ^XA and ends with ^XZ"},
		{"no end", "a.zpl", "^XA^PW400^LL200", "a.zpl:1: a label begins with ^XA and ends with ^XZ"},
		{"two labels", "a.zpl", "^XA^PW400^LL200\n^XZ\n^XA^XZ", "a.zpl:2: ^XZ stands in the wrong place"},
		{"no size", "a.zpl", "^XA^FO1,1^A0N,20^FDx^FS^XZ", "a.zpl:1: ^PW and ^LL must say"},
		{"nothing", "a.zpl", "^XA^PW400^LL200^XZ", "a.zpl:1: nothing is on the label"},
		{"a reset", "a.zpl", "^XA\n~JR\n^XZ", "a.zpl:2: \"~JR\\n^XZ\" stands where a command with ^ must"},
		{"text between", "a.zpl", "hello^XA^XZ", "a.zpl:1: \"hello^XA^XZ\" stands where"},
		{"a file command", "a.zpl", "^XA\n^XFR:X.ZPL^FS\n^XZ", "a.zpl:2: ^XF is not for labels of a station"},
		{"another prefix", "a.zpl", "^XA\n^CC!\n!XZ", "a.zpl:2: ^CC is not for labels of a station"},
		{"settings saved", "a.zpl", "^XA\n^JUS\n^XZ", "a.zpl:2: ^JU is not for labels of a station"},
		{"copies", "a.zpl", "^XA\n^PQ9\n^XZ", "a.zpl:2: ^PQ is not for labels of a station"},
		{"a picture", "a.zpl", "^XA\n^GFA,8,8,1,FF\n^XZ", "a.zpl:2: ^GF is not for labels of a station"},
		{"another font", "a.zpl", "^XA\n^FO0,0^ADN,36,20^FDx^FS^XZ", "a.zpl:2: ^AD is not for labels of a station"},
		{"a parameter beyond", "a.zpl", "^XA\n^PW0\n^XZ", "a.zpl:2: ^PW: parameter 1 is \"0\", allowed: 1 to 32000"},
		{"a parameter missing", "a.zpl", "^XA\n^FO1\n^XZ", "a.zpl:2: ^FO: parameter 2 is missing, allowed: 0 to 32000"},
		{"a parameter too many", "a.zpl", "^XA\n^FO1,2,3\n^XZ", "a.zpl:2: ^FO has 3 parameters, at most 2 are allowed"},
		{"an old DataMatrix", "a.zpl", "^XA\n^FO1,2^BXN,4,140^FDx^FS^XZ", "a.zpl:2: ^BX: parameter 3 is \"140\", allowed: 200"},
		{"a number with a sign", "a.zpl", "^XA\n^FO+1,2\n^XZ", "a.zpl:2: ^FO: parameter 1 is \"+1\""},
		{"no level", "a.zpl", zplHead + "^FO1,2^BQN,2,4^FDx^FS^XZ", "a.zpl:2: the data of a QR code begins with"},
		{"a level in a value", "a.zpl", zplHead + "^FO1,2^BQN,2,4^FD{serial}^FS^XZ", "a.zpl:2: the data of a QR code begins with"},
		{"no font", "a.zpl", zplHead + "^FO1,2^FDx^FS^XZ", "a.zpl:2: the text has no font"},
		{"no field", "a.zpl", zplHead + "^FDx^FS^XZ", "a.zpl:2: ^FD belongs between ^FO and ^FS"},
		{"an empty field", "a.zpl", zplHead + "^FO1,2^A0N,20^FS^XZ", "a.zpl:2: the field is empty"},
		{"an open field", "a.zpl", zplHead + "^FO1,2^A0N,20^FDx^XZ", "a.zpl:2: the last field has no ^FS"},
		{"a field in a field", "a.zpl", zplHead + "^FO1,2^A0N,20^FDx^FO1,2^FS^XZ", "a.zpl:2: the field before has no ^FS"},
		{"two texts", "a.zpl", zplHead + "^FO1,2^A0N,20^FDx^FDy^FS^XZ", "a.zpl:2: ^FD after what fills the field"},
		{"a text over two lines", "a.zpl", zplHead + "^FO1,2^A0N,20^FDx\ny^FS^XZ", "a.zpl:2: the text of ^FD goes over the end of its line"},
		{"a broken escape", "a.zpl", zplHead + "^FO1,2^A0N,20^FH^FDx_5^FS^XZ", "a.zpl:2: \"_\" is not followed by two hex digits"},
		{"an escape that is no text", "a.zpl", zplHead + "^FO1,2^A0N,20^FH^FDx_FF^FS^XZ", "a.zpl:2: the text of ^FD is not UTF-8"},
		{"an unknown name", "a.zpl", zplHead + "^FO1,2^A0N,20^FD{sn}^FS^XZ", "a.zpl:2: unknown placeholder {sn}"},
		{"a label beyond", "a.zpl", "^XA^PW400^LL2001^FO1,2^A0N,20^FDx^FS^XZ", "a.zpl:1: the label has 400 by 2001 dots, at most 250 mm are allowed"},
		{"not UTF-8", "a.zpl", "^XA\xff^XZ", "a.zpl:1: the file is not UTF-8"},
		{"too large", "a.zpl", strings.Repeat("^", 65<<10), "a.zpl: 66560 bytes, at most 65536 are read"},
	} {
		tp, err := label.Parse(try.file, []byte(try.text), 203)
		if err == nil || !strings.HasPrefix(err.Error(), try.want) {
			t.Errorf("%s: %v, want %s (%v)", try.what, err, try.want, tp != nil)
		}
	}
}

const (
	head    = "width_mm = 50\nheight_mm = 25\n"
	zplHead = "^XA^PW400^LL200\n"
)

func TestResolution(t *testing.T) {
	if _, err := label.Builtin(label.BuiltinPass, 150); err == nil || !strings.Contains(err.Error(), "allowed: 203, 300, 600") {
		t.Error(err)
	}
	if _, err := label.Builtin("other", 203); err == nil {
		t.Error("there is a built-in template of any name")
	}
}

// TestExamples reads the commented examples of the repository.
func TestExamples(t *testing.T) {
	for _, name := range []string{"label.toml", "label.zpl"} {
		tp, err := label.Load(filepath.Join("../../testdata", name), 203)
		if err != nil {
			t.Fatal(err)
		}
		if x, y, mmX, mmY := tp.Size(); x != 400 || y != 240 || mmX != 50 || mmY != 30 {
			t.Errorf("%s: %d by %d dots, %g by %g mm", name, x, y, mmX, mmY)
		}
		if !tp.Uses("serial") || !tp.Uses("witness") || tp.Uses("operator") || tp.Name() != "label" || len(tp.Digest()) != 64 {
			t.Errorf("%s: %s %s", name, tp.Name(), tp.Digest())
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, name := range []string{"label.toml", "label.zpl"} {
		raw, err := os.ReadFile(filepath.Join("../../testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, strings.HasSuffix(name, ".zpl"), "SN-1")
	}
	f.Add([]byte("^XA^PW80^LL80^FO1,2^GB9,9,9,B^FS^XZ"), true, "^XZ")
	f.Fuzz(func(t *testing.T, raw []byte, zpl bool, serial string) {
		if len(raw) > 4096 || len(serial) > 64 {
			return
		}
		name := map[bool]string{true: "a.zpl", false: "a.toml"}[zpl]
		tp, err := label.Parse(name, raw, 203)
		if err != nil {
			if !strings.HasPrefix(err.Error(), name+":") {
				t.Errorf("an error without a place: %v", err)
			}
			return
		}
		l, err := tp.Fill(with("serial", serial))
		if err != nil {
			return
		}
		sent, err := l.ZPL(1)
		if err != nil {
			return
		}
		readZPL(t, sent)
		if w, h, _, _ := tp.Size(); w*h <= 1<<18 {
			l.Image()
		}
	})
}
