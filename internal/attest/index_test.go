// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"provisioning.example/station/internal/attest"
)

// TestCheckCounter: the Name of an index tells what it is. One that its owner
// writes as he likes would let a ledger go back.
func TestCheckCounter(t *testing.T) {
	a := openArchive(t)
	if err := attest.CheckCounter(a.counterName); err != nil {
		t.Fatalf("a station's counter: %v", err)
	}
	named := func(change func(*tpm2.TPMSNVPublic)) (name [34]byte) {
		t.Helper()
		p := tpm2.TPMSNVPublic{
			NVIndex: 0x0180A007, NameAlg: tpm2.TPMAlgSHA256, DataSize: 8,
			Attributes: tpm2.TPMANV{NT: tpm2.TPMNTCounter, AuthRead: true, AuthWrite: true, NoDA: true, Written: true},
		}
		change(&p)
		n, err := tpm2.NVName(&p)
		if err != nil {
			t.Fatal(err)
		}
		copy(name[:], n.Buffer)
		return name
	}
	if err := attest.CheckCounter(named(func(*tpm2.TPMSNVPublic) {})); err != nil {
		t.Errorf("another index: %v", err)
	}
	for what, change := range map[string]func(*tpm2.TPMSNVPublic){
		"ordinary memory":    func(p *tpm2.TPMSNVPublic) { p.Attributes.NT = tpm2.TPMNTOrdinary },
		"one that can jump":  func(p *tpm2.TPMSNVPublic) { p.Attributes.Orderly = true },
		"one never begun":    func(p *tpm2.TPMSNVPublic) { p.Attributes.Written = false },
		"the owner's":        func(p *tpm2.TPMSNVPublic) { p.Attributes.OwnerWrite = true },
		"at another place":   func(p *tpm2.TPMSNVPublic) { p.NVIndex = 0x01C00002 },
		"with a policy":      func(p *tpm2.TPMSNVPublic) { p.AuthPolicy.Buffer = make([]byte, 32) },
		"of another purpose": func(p *tpm2.TPMSNVPublic) { p.DataSize = 16 },
	} {
		if err := attest.CheckCounter(named(change)); !errors.Is(err, attest.ErrNoCounter) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
