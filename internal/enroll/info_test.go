// SPDX-License-Identifier: Apache-2.0

package enroll_test

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
)

// goodInfo is info of an installed board, to be spoiled.
func goodInfo() map[string]any {
	return map[string]any{
		"agent": "station-enroll", "proto": 1, "model": "m", "hw": "1", "uid": []byte{1}, "fw": "1", "state": 2,
		"algs": []string{"ES256"}, "chunk": 256, "max": 4096, "boot": make([]byte, 16), "verify": []string{"ES256"}, "prot": 0,
		"alg": "ES256", "spki": make([]byte, 32), "chain": make([]byte, 32),
	}
}

func encode(t testing.TB, m map[string]any) []byte {
	t.Helper()
	b, err := smp.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestParseInfo spoils one thing at a time.
func TestParseInfo(t *testing.T) {
	type edit map[string]any // nil value: left out
	for name, c := range map[string]struct {
		edit edit
		want error
	}{
		"good":                     {nil, nil},
		"unknown key":              {edit{"later": 7}, nil},
		"uid of 32 bytes":          {edit{"uid": make([]byte, 32)}, nil},
		"nothing can be verified":  {edit{"verify": []string{}}, nil},
		"no agent":                 {edit{"agent": nil}, enroll.ErrNoAgent},
		"agent of another":         {edit{"agent": "station"}, enroll.ErrNoAgent},
		"no proto":                 {edit{"proto": nil}, enroll.ErrAnswer},
		"proto 0":                  {edit{"proto": 0}, enroll.ErrAnswer},
		"proto is text":            {edit{"proto": "1"}, enroll.ErrAnswer},
		"no model":                 {edit{"model": nil}, enroll.ErrAnswer},
		"model empty":              {edit{"model": ""}, enroll.ErrAnswer},
		"model with a line end":    {edit{"model": "a\nb"}, enroll.ErrAnswer},
		"model over 128 bytes":     {edit{"model": strings.Repeat("m", 129)}, enroll.ErrAnswer},
		"no hw":                    {edit{"hw": nil}, enroll.ErrAnswer},
		"no fw":                    {edit{"fw": nil}, enroll.ErrAnswer},
		"no uid":                   {edit{"uid": nil}, enroll.ErrAnswer},
		"uid empty":                {edit{"uid": []byte{}}, enroll.ErrAnswer},
		"uid of 33 bytes":          {edit{"uid": make([]byte, 33)}, enroll.ErrAnswer},
		"uid is text":              {edit{"uid": "1"}, enroll.ErrAnswer},
		"no state":                 {edit{"state": nil}, enroll.ErrAnswer},
		"state 4":                  {edit{"state": 4}, enroll.ErrAnswer},
		"state 258":                {edit{"state": 258}, enroll.ErrAnswer},
		"state negative":           {edit{"state": -1}, enroll.ErrAnswer},
		"no algs":                  {edit{"algs": nil}, enroll.ErrAnswer},
		"algs empty":               {edit{"algs": []string{}}, enroll.ErrAnswer},
		"algs with an empty name":  {edit{"algs": []string{"ES256", ""}}, enroll.ErrAnswer},
		"algs over 16":             {edit{"algs": make([]string, 17)}, enroll.ErrAnswer},
		"no verify":                {edit{"verify": nil}, enroll.ErrAnswer},
		"chunk of 63":              {edit{"chunk": 63}, enroll.ErrAnswer},
		"chunk of 64":              {edit{"chunk": 64}, nil},
		"chunk of 2049":            {edit{"chunk": 2049}, enroll.ErrAnswer},
		"chunk of 2^63":            {edit{"chunk": uint64(1) << 63}, enroll.ErrAnswer},
		"max of 2047":              {edit{"max": 2047}, enroll.ErrAnswer},
		"max of 2^63":              {edit{"max": uint64(1) << 63}, enroll.ErrAnswer},
		"boot of 15 bytes":         {edit{"boot": make([]byte, 15)}, enroll.ErrAnswer},
		"no boot":                  {edit{"boot": nil}, enroll.ErrAnswer},
		"prot bit 4":               {edit{"prot": 16}, enroll.ErrAnswer},
		"prot 256":                 {edit{"prot": 256}, enroll.ErrAnswer},
		"spki of 31 bytes":         {edit{"spki": make([]byte, 31)}, enroll.ErrAnswer},
		"installed without a key":  {edit{"spki": nil}, enroll.ErrAnswer},
		"key without an algorithm": {edit{"alg": nil}, enroll.ErrAnswer},
		"installed, no chain":      {edit{"chain": nil}, enroll.ErrAnswer},
		"keyed with a chain":       {edit{"state": 1}, enroll.ErrAnswer},
		"keyed":                    {edit{"state": 1, "chain": nil}, nil},
		"keyed with rework":        {edit{"state": 1, "chain": nil, "rework": make([]byte, 32)}, enroll.ErrAnswer},
		"blank with a key":         {edit{"state": 0, "chain": nil}, enroll.ErrAnswer},
		"blank":                    {edit{"state": 0, "chain": nil, "spki": nil, "alg": nil}, nil},
		"blank with an algorithm":  {edit{"state": 0, "chain": nil, "spki": nil}, enroll.ErrAnswer},
	} {
		m := goodInfo()
		maps.Copy(m, c.edit)
		maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
		if _, err := enroll.ParseInfo(encode(t, m)); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

// TestParseInfoOtherProtocol: of another protocol only its number is read.
func TestParseInfoOtherProtocol(t *testing.T) {
	m := map[string]any{"agent": "station-enroll", "proto": 2, "uid": "text now", "state": []string{"new"}}
	info, err := enroll.ParseInfo(encode(t, m))
	if err != nil || info.Proto != 2 || info.UID != nil {
		t.Errorf("info %+v, %v", info, err)
	}
}

// FuzzParseInfo: whatever a board says, what comes out is within its ranges.
func FuzzParseInfo(f *testing.F) {
	f.Add(encode(f, goodInfo()))
	blank := goodInfo()
	for _, k := range []string{"alg", "spki", "chain"} {
		delete(blank, k)
	}
	blank["state"] = 0
	f.Add(encode(f, blank))
	f.Add(encode(f, map[string]any{"agent": "station-enroll", "proto": 2}))
	f.Add([]byte{})
	f.Add([]byte{0xbf, 0xff})
	f.Add(bytes.Repeat([]byte{0xa1, 0x60}, 40))
	f.Fuzz(func(t *testing.T, payload []byte) {
		info, err := enroll.ParseInfo(payload)
		if err != nil || info.Proto != 1 {
			return
		}
		switch {
		case info.Agent != "station-enroll" || info.Model == "" || len(info.UID) < 1 || len(info.UID) > 32:
		case info.State > enroll.Locked || info.Chunk < 64 || info.Chunk > 2048 || info.Max < 2048 || info.Prot > 15:
		case len(info.Algs) == 0 || len(info.Algs) > 16 || len(info.Verify) > 16:
		case (info.SPKI == nil) != (info.State == enroll.Blank) || (info.Chain == nil) != (info.State < enroll.Installed):
		default:
			return
		}
		t.Errorf("out of range: %+v", info)
	})
}
