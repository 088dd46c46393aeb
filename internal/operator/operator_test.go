// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provisioning.example/station/internal/operator"
)

var (
	adminPIN = []byte("482913")
	qaPIN    = []byte("770215")
)

// register is a register with one person of each role.
func register(t *testing.T) (*operator.Register, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "operators.toml")
	r := open(t, path)
	for _, p := range []struct {
		who operator.Person
		pin []byte
	}{
		{operator.Person{ID: "otto", Name: "Otto O.", Role: operator.Admin}, adminPIN},
		{operator.Person{ID: "anna", Name: "Anna Ä.", Role: operator.QA, Badge: "B-0017"}, qaPIN},
		{operator.Person{ID: "tim", Name: "Tim", Role: operator.Technician}, nil},
	} {
		if err := r.Add(p.who, p.pin); err != nil {
			t.Fatal(err)
		}
	}
	return r, path
}

func open(t *testing.T, path string) *operator.Register {
	t.Helper()
	r, err := operator.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSignIn(t *testing.T) {
	r, path := register(t)
	for _, r := range []*operator.Register{r, open(t, path)} {
		p, err := r.Find("B-0017")
		if err != nil || p.ID != "anna" || p.Role != operator.QA {
			t.Fatalf("badge: %+v, %v", p, err)
		}
		if err := r.Check("anna", qaPIN); err != nil {
			t.Fatal(err)
		}
		if err := r.Check("tim", qaPIN); !errors.Is(err, operator.ErrNoPIN) {
			t.Fatalf("a technician without a PIN: %v", err)
		}
		if _, err := r.Find("eve"); !errors.Is(err, operator.ErrUnknown) {
			t.Fatalf("a stranger: %v", err)
		}
		if _, err := r.Find(""); !errors.Is(err, operator.ErrUnknown) {
			t.Fatalf("nobody: %v", err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), string(qaPIN)) {
		t.Fatal("the PIN stands in the file")
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("mode: %v, %v", fi.Mode(), err)
	}
}

// TestLocked: five wrong PINs lock, also when the program is started anew
// between them; the right one counts back; an admin's new PIN unlocks.
func TestLocked(t *testing.T) {
	_, path := register(t)
	wrong := []byte("482914")
	left := func(want int) {
		t.Helper()
		err := open(t, path).Check("anna", wrong)
		var p *operator.PINError
		if !errors.As(err, &p) || p.Left != want {
			t.Fatalf("%v, want %d left", err, want)
		}
	}
	left(4)
	left(3)
	if err := open(t, path).Check("anna", qaPIN); err != nil {
		t.Fatal(err)
	}
	for want := 4; want >= 0; want-- {
		left(want)
	}
	r := open(t, path)
	if err := r.Check("anna", qaPIN); !errors.Is(err, operator.ErrLocked) {
		t.Fatalf("the right PIN after the lock: %v", err)
	}
	if p, _ := r.Find("anna"); !p.Locked {
		t.Fatal("the register does not say that anna is locked")
	}
	fresh := []byte("991204")
	if err := r.SetPIN("anna", fresh); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Check("anna", fresh); err != nil {
		t.Fatal(err)
	}
}

// TestTryIsPaidFirst: where the try can not be written down, none is made.
func TestTryIsPaidFirst(t *testing.T) {
	r, path := register(t)
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	if err := r.Check("anna", qaPIN); err == nil {
		t.Fatal("a try without a record")
	}
}

func TestErase(t *testing.T) {
	r, path := register(t)
	if err := r.Erase("anna"); err != nil {
		t.Fatal(err)
	}
	if err := r.Erase("otto"); !errors.Is(err, operator.ErrLast) {
		t.Fatalf("the last admin: %v", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{"Anna", "B-0017"} {
		if strings.Contains(string(text), gone) {
			t.Errorf("%s is still in the file", gone)
		}
	}
	r = open(t, path)
	if err := r.Check("anna", qaPIN); !errors.Is(err, operator.ErrUnknown) {
		t.Fatalf("an erased person signs in: %v", err)
	}
	if err := r.Add(operator.Person{ID: "anna", Role: operator.Technician}, nil); !errors.Is(err, operator.ErrExists) {
		t.Fatalf("an erased person's id was given again: %v", err)
	}
}

func TestRefusedPeople(t *testing.T) {
	r, _ := register(t)
	for name, p := range map[string]operator.Person{
		"no id":        {Role: operator.Technician},
		"id like os:":  {ID: "os:root", Role: operator.Technician},
		"role":         {ID: "x", Role: "boss"},
		"formula":      {ID: "x", Role: operator.Technician, Name: "=1+1"},
		"direction":    {ID: "x", Role: operator.Technician, Name: "a\u202eb"},
		"mark":         {ID: "x", Role: operator.Technician, Name: "a\u200fb"},
		"line break":   {ID: "x", Role: operator.Technician, Name: "a\nb"},
		"long name":    {ID: "x", Role: operator.Technician, Name: strings.Repeat("ä", 65)},
		"badge":        {ID: "x", Role: operator.Technician, Badge: "a b"},
		"badge is id":  {ID: "x", Role: operator.Technician, Badge: "anna"},
		"id is badge":  {ID: "anna", Role: operator.Technician},
		"taken badge":  {ID: "x", Role: operator.Technician, Badge: "B-0017"},
		"qa, no PIN":   {ID: "x", Role: operator.QA},
		"twice":        {ID: "tim", Role: operator.Technician},
		"invalid utf8": {ID: "x", Role: operator.Technician, Name: "\xff"},
	} {
		if err := r.Add(p, nil); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	empty := open(t, filepath.Join(t.TempDir(), "operators.toml"))
	if err := empty.Add(operator.Person{ID: "tim", Role: operator.Technician}, nil); err == nil {
		t.Error("the first operator is a technician")
	}
}

func TestPINs(t *testing.T) {
	for pin, good := range map[string]bool{
		"482913": true, "112233": true, "135791": true, "": false, "48291": false, "48291a": false, "000000": false,
		"123456": false, "987654": false, strings.Repeat("48", 33): false,
	} {
		if err := operator.CheckPIN([]byte(pin)); (err == nil) != good {
			t.Errorf("PIN %q: %v", pin, err)
		}
	}
}

func TestRoles(t *testing.T) {
	for _, c := range []struct {
		role operator.Role
		do   operator.Action
		may  bool
	}{
		{operator.Technician, operator.Provision, true},
		{operator.Technician, operator.Approve, false},
		{operator.QA, operator.Approve, true},
		{operator.QA, operator.Set, false},
		{operator.Admin, operator.Set, true},
		{operator.Admin, operator.Approve, false},
		{operator.Admin, "anything else", false},
		{"", operator.Provision, false},
	} {
		if c.role.May(c.do) != c.may {
			t.Errorf("%s may %s: %t", c.role, c.do, !c.may)
		}
	}
	if who := operator.WhoMay(operator.Export); who != "qa or admin" {
		t.Error(who)
	}
}

func FuzzRegister(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "operators.toml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := operator.Open(path)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, p := range r.People() {
			if seen[p.ID] || p.Badge != "" && seen[p.Badge] {
				t.Fatalf("%q twice", p.ID)
			}
			seen[p.ID], seen[p.Badge] = true, true
		}
	})
}
