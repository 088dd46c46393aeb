// SPDX-License-Identifier: Apache-2.0

package firmware_test

import (
	"slices"
	"testing"

	"provisioning.example/station/internal/conform"
	"provisioning.example/station/internal/port"
)

// conforms runs every check of the protocol over a board. Those named are about
// what it does not have.
func conforms(t *testing.T, b *board, authority *conform.Authority, outside ...string) {
	t.Helper()
	line, err := port.Open(t.Context(), b.link(), port.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	sum, err := conform.Run(t.Context(), conform.Config{Stream: line, Authority: authority, Report: func(r conform.Result) {
		want := conform.OK
		if slices.Contains(outside, r.ID) {
			want = conform.NotChecked
		}
		if r.Verdict != want {
			t.Errorf("%s: %s, want %s: %s: expected %s, got %s%s", r.ID, r.Verdict, want, r.Step, r.Expected, r.Got, r.Reason)
		}
	}})
	if err != nil || !sum.Passed() || !sum.Blank || sum.Outside != len(outside) {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestConforms(t *testing.T) {
	p := newPlant(t)
	root, err := conform.NewAuthority(p.root, p.rootKey)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("posix", func(t *testing.T) {
		conforms(t, newBoard(t), nil, "info/model", "commit/root", "commit/root-path")
	})
	t.Run("posix, pinned root, verified boot", func(t *testing.T) {
		conforms(t, newBoard(t, "--root", p.pin(t), "--prot", "15"), root, "info/model", "commit/root-path", "locked/groups")
	})
	t.Run("Cortex-M3", func(t *testing.T) {
		conforms(t, &newEmulated(t, *mps2Path, nil).board, nil, "info/model", "commit/root", "commit/root-path")
	})
}
