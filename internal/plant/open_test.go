// SPDX-License-Identifier: Apache-2.0

package plant_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"provisioning.example/station/internal/plant"
	"provisioning.example/station/internal/plant/postgres"
)

func TestOpenRefusals(t *testing.T) {
	for _, bad := range []string{
		"postgres://plant:secret@localhost/plant", "host=localhost password=secret", "postgres://localhost/plant?password=secret", "sslpassword = x",
	} {
		if _, err := plant.Open(t.Context(), bad); !errors.Is(err, plant.ErrPassword) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	url := database(t)
	p, err := plant.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, url).Exec(t.Context(), `INSERT INTO plant_version (version) VALUES (99)`); err != nil {
		t.Fatal(err)
	}
	if _, err := plant.Open(t.Context(), url); err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("a database of a newer program: %v", err)
	}
}

// TestPasswordComesFromElsewhere: the server wants one; it is taken from a password file or PGPASSWORD.
func TestPasswordComesFromElsewhere(t *testing.T) {
	url := database(t)
	c := connect(t, url)
	if _, err := c.Exec(t.Context(), `CREATE ROLE `+postgres.Guarded+` SUPERUSER LOGIN PASSWORD 'open sesame'`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := c.Exec(context.Background(), `DROP OWNED BY `+postgres.Guarded+`; DROP ROLE `+postgres.Guarded); err != nil {
			t.Error(err)
		}
	})
	url = strings.Replace(url, "user=plant", "user="+postgres.Guarded, 1)
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("PGPASSFILE", none)
	t.Setenv("PGPASSWORD", "")
	opens := func() error {
		p, err := plant.Open(t.Context(), url)
		if err != nil {
			return err
		}
		return p.Close()
	}
	if err := opens(); err == nil {
		t.Fatal("the server let us in without a password")
	}
	t.Setenv("PGPASSWORD", "open barley")
	if err := opens(); err == nil || strings.Contains(err.Error(), "barley") {
		t.Errorf("a wrong password: %v", err)
	}
	t.Setenv("PGPASSWORD", "open sesame")
	if err := opens(); err != nil {
		t.Errorf("PGPASSWORD: %v", err)
	}
	t.Setenv("PGPASSWORD", "")
	if err := os.WriteFile(none, []byte("*:*:*:"+postgres.Guarded+":open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := opens(); err != nil {
		t.Errorf("PGPASSFILE: %v", err)
	}
}

// TestTwoImportAtOnce: the same bundle by two programs is imported once.
func TestTwoImportAtOnce(t *testing.T) {
	w := newWorld(t)
	path := w.bundle(w.station("ulm/st-01", 4))
	other, err := plant.Open(t.Context(), w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() //nolint:errcheck // test
	var results [2]plant.Result
	var errs [2]error
	var both sync.WaitGroup
	for i, p := range []*plant.Plant{w.Plant, other} {
		both.Go(func() { results[i], errs[i] = p.Import(t.Context(), path, plant.Anchors{Root: w.root.Certificate}) })
	}
	both.Wait()
	if errs != [2]error{} || results[0].Added+results[1].Added != 21 || results[0].Known == results[1].Known {
		t.Errorf("%v %+v", errs, results)
	}
}
