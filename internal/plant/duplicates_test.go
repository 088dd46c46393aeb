// SPDX-License-Identifier: Apache-2.0

package plant_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/plant/specimen"
	"provisioning.example/station/internal/record"
)

// TestDuplicates: a serial, a board and a key at two stations are listed with both; what one has scrapped before is not,
// but for its key.
func TestDuplicates(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.station("ulm/st-01", 1), w.station("ulm/st-02", 1), w.station("ulm/st-03", 1)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.provision(a, specimen.Unit{Serial: "SN-1", UID: uid("a", 1)})
	w.provision(b, specimen.Unit{Serial: "SN-1", UID: uid("b", 1)})
	w.provision(a, specimen.Unit{Serial: "SN-2", UID: uid("same", 1)})
	w.provision(c, specimen.Unit{Serial: "SN-3", UID: uid("same", 1)})
	moved := specimen.Unit{Serial: "SN-4", UID: uid("moved", 1), Key: key}
	w.provision(b, moved)
	if err := b.Scrap(moved); err != nil {
		t.Fatal(err)
	}
	w.provision(c, moved)
	for _, l := range []*specimen.Ledger{a, b, c} {
		if r := w.take(w.bundle(l)); r.Quarantine != "" {
			t.Fatal(r)
		}
	}
	all, err := w.Duplicates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range all {
		got = append(got, fmt.Sprintf("%s %.5s %s", h.What, h.Value, h.Station))
	}
	slices.Sort(got)
	want := []string{"serial SN-1 ulm/st-01", "serial SN-1 ulm/st-02", "uid gw-2/ ulm/st-01", "uid gw-2/ ulm/st-03"}
	if len(got) != 6 || !slices.Equal(got[:2], want[:2]) || !slices.Equal(got[4:], want[2:]) ||
		!strings.HasSuffix(got[2], "st-02") || !strings.HasSuffix(got[3], "st-03") || !strings.HasPrefix(got[2], "spki") {
		t.Errorf("listed are %q", got)
	}
}

func TestCosign(t *testing.T) {
	w := newWorld(t)
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	who, err := record.NewCosigner("ulm.example/plant", pub)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1700000000, 0)
	if _, err := w.Cosign(t.Context(), "ulm/st-01/1", who.Name(), key, now); err == nil {
		t.Error("nothing was imported, and cosigned")
	}
	a := w.station("ulm/st-01", 2)
	w.taken(w.bundle(a), 11)
	first, err := w.Cosign(t.Context(), "ulm/st-01/1", who.Name(), key, now)
	if err != nil {
		t.Fatal(err)
	}
	if c, at, err := who.Open(first); err != nil || c.Size != 12 || !at.Equal(now) || c.Origin != a.Origin {
		t.Errorf("%+v %s %v", c, at, err)
	}
	again, err := w.Cosign(t.Context(), "ulm/st-01/1", who.Name(), key, now.Add(time.Hour))
	if err != nil || string(again) != string(first) {
		t.Errorf("again: %v\n%s", err, again)
	}
	w.provision(a, specimen.Unit{Serial: "one", UID: uid("one", 1)})
	w.taken(w.bundle(a), 6)
	second, err := w.Cosign(t.Context(), "ulm/st-01/1", who.Name(), key, now)
	if err != nil {
		t.Fatal(err)
	}
	if c, _, err := who.Open(second); err != nil || c.Size != 18 {
		t.Errorf("%+v %v", c, err)
	}
}
