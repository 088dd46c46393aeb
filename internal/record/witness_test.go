// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"strings"
	"testing"

	"provisioning.example/station/internal/record"
)

const aWitness = "ulm/st-07/1/4711/4720/CsUYapGGPo4dkMgIAUqomw"

func TestWitness(t *testing.T) {
	c, err := record.ParseCheckpoint("ulm/st-07/1\n4720\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n")
	if err != nil {
		t.Fatal(err)
	}
	w, err := record.WitnessOf(c, 4711)
	if err != nil || w.String() != aWitness {
		t.Fatalf("%v %v, want %s", w, err, aWitness)
	}
	again, err := record.ParseWitness(aWitness)
	if err != nil || again != w {
		t.Errorf("%+v %v, want %+v", again, err, w)
	}
	for _, seq := range []int64{0, -1, 4721} {
		if w, err := record.WitnessOf(c, seq); err == nil {
			t.Errorf("entry %d: %v", seq, w)
		}
	}
}

// TestWitnessFits: the longest name of a station, and more entries than there ever are, stay within what an entry's field takes.
func TestWitnessFits(t *testing.T) {
	name := strings.Repeat("n", 31)
	c := record.Checkpoint{Origin: record.Origin{Station: name + "/" + name, Epoch: 9999}, Size: 1 << 40}
	w, err := record.WitnessOf(c, 1<<40)
	if err != nil || len(w.String()) > 128 {
		t.Errorf("%d bytes, %v", len(w.String()), err)
	}
	c.Origin.Station = name + name + "/" + name
	if w, err := record.WitnessOf(c, 1); err == nil && len(w.String()) > 128 {
		t.Errorf("%d bytes", len(w.String()))
	}
}

func TestWitnessRefuses(t *testing.T) {
	for what, s := range map[string]string{
		"nothing":            "",
		"a part too few":     "ulm/st-07/1/4711/CsUYapGGPo4dkMgIAUqomw",
		"a part too many":    aWitness + "/",
		"entry 0":            "ulm/st-07/1/0/4720/CsUYapGGPo4dkMgIAUqomw",
		"a leading zero":     "ulm/st-07/1/04711/4720/CsUYapGGPo4dkMgIAUqomw",
		"a plus sign":        "ulm/st-07/1/+4711/4720/CsUYapGGPo4dkMgIAUqomw",
		"entry beyond tree":  "ulm/st-07/1/4721/4720/CsUYapGGPo4dkMgIAUqomw",
		"epoch 0":            "ulm/st-07/0/4711/4720/CsUYapGGPo4dkMgIAUqomw",
		"a short root":       "ulm/st-07/1/4711/4720/CsUYapGGPo4dkMgIAUqo",
		"padding":            aWitness + "==",
		"bits left over":     "ulm/st-07/1/4711/4720/CsUYapGGPo4dkMgIAUqomx",
		"the other alphabet": "ulm/st-07/1/4711/4720/CsUYapGGPo4dkMgIAUqo+w",
		"a line's end":       aWitness + "\n",
		"too long":           strings.Repeat("n", 100) + aWitness,
		"beyond what counts": "ulm/st-07/1/1/9007199254740992/CsUYapGGPo4dkMgIAUqomw",
	} {
		if w, err := record.ParseWitness(s); err == nil {
			t.Errorf("%s: %q was taken as %v", what, s, w)
		}
	}
}

func FuzzWitness(f *testing.F) {
	f.Add(aWitness)
	f.Add("a/b/1/1/1/AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		w, err := record.ParseWitness(s)
		if err == nil && w.String() != s {
			t.Errorf("%q was taken and is written %q", s, w)
		}
	})
}
