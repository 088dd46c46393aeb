// SPDX-License-Identifier: Apache-2.0

package enroll_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

// A refused error expects *smp.RCError with this code of group 64.
type refused int

func (r refused) Error() string { return fmt.Sprintf("rc %d", int(r)) }

// expected is what the conversation with each faulty board ends with, at which
// step of enrolment. Faults that a station gets through are not listed.
var expected = map[string]struct {
	step int
	err  error
}{
	"silent":      {0, smp.ErrTimeout},
	"babbling":    {0, smp.ErrBabble},
	"no-agent":    {0, enroll.ErrNoAgent},
	"other-agent": {0, enroll.ErrNoAgent},
	"other-proto": {0, errStep},
	"no-uid":      {0, enroll.ErrAnswer},
	"bad-chunk":   {0, enroll.ErrAnswer},
	"bad-state":   {0, enroll.ErrAnswer},

	"control-text": {0, enroll.ErrAnswer},
	"entropy":      {1, refused(enroll.RCEntropy)},
	"always-busy":  {1, enroll.ErrBusy},
	"keeps-key":    {1, errStep},

	"dies":            {2, smp.ErrTimeout},
	"bad-cbor":        {2, smp.ErrAnswer},
	"deep-cbor":       {2, smp.ErrAnswer},
	"dup-key":         {2, smp.ErrAnswer},
	"wrong-type":      {2, smp.ErrAnswer},
	"oversize-answer": {2, smp.ErrAnswer},
	"huge-csr":        {2, enroll.ErrAnswer},
	"get-stalls":      {2, enroll.ErrAnswer},
	"get-jumps":       {2, enroll.ErrAnswer},
	"csr-differs":     {2, enroll.ErrAnswer},
	"other-curve":     {2, errRequest},
	"wrong-key":       {2, errRequest},
	"bad-signature":   {2, errRequest},
	"stale-csr":       {2, errRequest},
	"foreign-csr":     {2, errRequest},
	"extra-attribute": {2, errRequest},
	"extra-rdn":       {2, errRequest},
	"no-password":     {2, errRequest},
	"two-passwords":   {2, errRequest},
	"wrong-cn":        {2, errRequest},

	"printable-password": {2, errRequest},

	"put-stalls":    {3, enroll.ErrAnswer},
	"put-jumps":     {3, enroll.ErrAnswer},
	"put-loses":     {3, enroll.ErrAnswer},
	"dies-commit":   {3, smp.ErrTimeout},
	"storage-full":  {3, refused(enroll.RCStorage)},
	"refuses-chain": {3, refused(enroll.RCChain)},
	"refuses-key":   {3, refused(enroll.RCKeyMismatch)},
	"refuses-root":  {3, refused(enroll.RCUntrusted)},
	"digest-always": {3, refused(enroll.RCDigest)},

	"commit-lies":     {4, refused(enroll.RCWrongState)},
	"chain-differs":   {4, enroll.ErrReadBack},
	"chain-rots":      {4, enroll.ErrReadBack},
	"prove-wrong-key": {4, enroll.ErrProof},
	"prove-replay":    {4, enroll.ErrProof},

	"tls-wrong-key": {5, enroll.ErrRehearsal},
	"tls-refuses":   {5, refused(enroll.RCMalformed)},
	"tls-garbage":   {5, enroll.ErrRehearsal},

	"lock-lies": {6, errStep},

	"reset-lies":        {7, enroll.ErrNotReset},
	"reset-kills":       {7, smp.ErrTimeout},
	"unlocks":           {7, errStep},
	"forgets":           {7, enroll.ErrOtherBoard},
	"uid-changes":       {7, enroll.ErrOtherBoard},
	"key-changes":       {7, enroll.ErrOtherBoard},
	"receipt-wrong-key": {7, enroll.ErrProof},
}

// twins are faults that show only against a second board.
var twins = map[string]bool{"cloned-key": true}

// TestFaults runs the whole conversation with every faulty board there is.
func TestFaults(t *testing.T) {
	for _, f := range virtual.Faults() {
		t.Run(f.Name, func(t *testing.T) {
			want, listed := expected[f.Name]
			image := strings.HasPrefix(f.Name, "image-") // no part of this conversation
			if listed == (f.Pass || twins[f.Name] || image) {
				t.Fatalf("the table of expected errors and the fault disagree: %+v", f)
			}
			inBubble(t, virtual.Config{Fault: f.Name, Chunk: 128}, func(t *testing.T, b *bench) {
				err := b.enrolment(t.Context())
				if !listed {
					if err != nil {
						t.Fatal(err)
					}
					if b.board.State() != uint8(enroll.Locked) {
						t.Errorf("the board ends in state %d", b.board.State())
					}
					return
				}
				checkFault(t, err, want.step, want.err)
			})
		})
	}
}

func checkFault(t *testing.T, err error, step int, want error) {
	t.Helper()
	var at int
	if err == nil {
		t.Fatal("the enrolment went through")
	}
	if _, scanErr := fmt.Sscanf(err.Error(), "step %d", &at); scanErr != nil || at != step {
		t.Errorf("failed at another step than %d: %v", step, err)
	}
	var code refused
	if !errors.As(want, &code) {
		if !errors.Is(err, want) {
			t.Errorf("error %q, want %q", err, want)
		}
		return
	}
	var rc *smp.RCError
	if !errors.As(err, &rc) || rc.Group != 64 || rc.RC != int(code) {
		t.Errorf("error %q, want rc %d of group 64", err, int(code))
	}
}

// TestRetriesAreCounted shows that a line which loses or damages answers costs
// repeats, and that one which only adds bytes does not.
func TestRetriesAreCounted(t *testing.T) {
	for name, repeats := range map[string]bool{
		"lost-answer": true, "late-answer": true, "noise": true, "slow-boot": true, "reboot-once": true,
		"echo": false, "prompt": false, "chatty": false, "long-line": false, "double-answer": false,
		"indefinite": false, "unknown-keys": false, "cr-lf": false, "slow-busy": false, "small-buffer": false,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, virtual.Config{Fault: name, Chunk: 128}, func(t *testing.T, b *bench) {
				if err := b.enrolment(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := b.client.Retries(); (n > 0) != repeats {
					t.Errorf("%d repeats", n)
				}
			})
		})
	}
}
