// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"provisioning.example/station/internal/audit/ceremony"
	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/order"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
	"provisioning.example/station/internal/settings"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

type demoFlags struct {
	boards   int
	headless bool
	dir      string
	tpm      string
	window   windowFlags

	mark   string     // stands on everything that is made
	order  *orderFile // of training; nil: none
	faulty bool       // some boards misbehave
}

// demoPace is what a key operation takes on a demo's board, so that a person
// can follow the segments.
const demoPace = 250 * time.Millisecond

func newDemo(g *globals) *cobra.Command {
	f := demoFlags{mark: "DEMO"}
	c := &cobra.Command{
		Use: "demo", Short: "the whole job with nothing attached", Args: cobra.NoArgs,
		Long: `demo makes a throw-away root and home with a simulated TPM, and virtual boards,
and provisions them: in the window where there is a display, else with progress
bars. Everything it makes is marked DEMO and SIMULATED TPM.`,
		RunE: func(c *cobra.Command, _ []string) error { return demo(c, g, f) },
	}
	f.add(c)
	return c
}

func (f *demoFlags) add(c *cobra.Command) {
	c.Flags().IntVar(&f.boards, "boards", 8, "how many virtual boards, 1 to 32")
	c.Flags().BoolVar(&f.headless, "headless", false, "without a window")
	c.Flags().StringVar(&f.dir, "dir", "", "keep everything in this new folder (default: a temporary one)")
	c.Flags().StringVar(&f.tpm, "tpm", "sim:tpm/sim", "the TPM of the demo, sim or swtpm:DIR")
	c.Flags().StringVar(&f.window.theme, "theme", "", "light or dark (default: the system's)")
	c.Flags().BoolVar(&f.window.describe, "describe", false, "write a JSON line about the window to standard error at each change")
}

func demo(c *cobra.Command, g *globals, f demoFlags) error {
	if f.boards < 1 || f.boards > 32 {
		return usage(fmt.Errorf("--boards %d", f.boards), "1 to 32")
	}
	dir, err := demoDir(f.dir)
	if err != nil {
		return err
	}
	g.home = filepath.Join(dir, "home")
	b, err := demoBench(c.Context(), g, f, dir)
	if err != nil {
		return err
	}
	boards, err := demoBoards(f, b.issuer.Root())
	if err != nil {
		return errors.Join(err, b.Close())
	}
	err = demoRun(c, g, f, b, boards)
	for _, v := range boards {
		v.Close()
	}
	err = errors.Join(err, b.Close())
	w := c.ErrOrStderr()
	if !g.json {
		w = c.OutOrStdout()
	}
	fmt.Fprintf(w, "%s, SIMULATED TPM. Everything lies in %s:\n", f.mark, dir)
	fmt.Fprintf(w, "  ledger        %s\n  certificates  %s\n  root          %s\n",
		b.home.ledgerPath(), filepath.Join(dir, "certificates"), filepath.Join(dir, "root", "root.pem"))
	fmt.Fprintf(w, "look further: %s ledger list --home %s\n", c.Root().Name(), g.home)
	return err
}

func demoDir(dir string) (string, error) {
	if dir == "" {
		made, err := os.MkdirTemp("", "station-demo-")
		if err != nil {
			return "", usage(err, "name a folder with --dir")
		}
		return made, nil
	}
	if exists(dir) {
		return "", usage(fmt.Errorf("%s is there already", dir), "name a folder that is not")
	}
	abs, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(abs, 0o700)
	}
	if err != nil {
		return "", usage(err, "name a folder that can be made with --dir")
	}
	return abs, nil
}

// demoBench goes the whole way a real station goes once: root, home, request,
// signature, installation.
func demoBench(ctx context.Context, g *globals, f demoFlags, dir string) (*bench, error) {
	var secrets [3][]byte
	for i, name := range []string{"root.passphrase", "ca.pin", "rework.pin"} {
		s, err := newSecret()
		if err == nil {
			err = settings.Write(filepath.Join(dir, name), append(s, '\n'), 0o600)
		}
		if err != nil {
			return nil, unfit(err, "name another folder with --dir")
		}
		secrets[i] = s
	}
	root, err := authority.CreateRoot(filepath.Join(dir, "root"), authority.RootConfig{
		Subject: pkix.Name{Organization: []string{f.mark}, CommonName: f.mark + " root"},
	}, secrets[0])
	if err != nil {
		return nil, unfit(err, "name another folder with --dir")
	}
	defer root.Close()
	err = initHome(ctx, g, initFlags{tpm: f.tpm, name: strings.ToLower(f.mark) + "/station", curve: "P-256"}, secrets[1], secrets[2])
	if err != nil {
		return nil, err
	}
	if err := demoConfig(g.home, f.mark); err != nil {
		return nil, err
	}
	b, err := openLedger(ctx, g)
	if err != nil {
		return nil, err
	}
	if err := b.demoAuthority(ctx, root, f.mark, secrets[1]); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// demoConfig writes the demo's product and profile and names them.
func demoConfig(dir, mark string) error {
	h, err := openHome(dir)
	if err != nil {
		return err
	}
	product, err := toml.Marshal(provision.ProductConfig{Name: mark + " board", Model: demoModel, Profile: "demo"})
	if err != nil {
		return err
	}
	h.cfg.Product, h.cfg.MinFree = "demo", 64
	return errors.Join(
		settings.Write(h.path("products", "demo.toml"), product, 0o600),
		settings.Write(h.path("profiles", "demo.toml"), []byte("base = \"mtls\"\n[subject]\norganization = \""+mark+"\"\ncommon_name = \"{serial}\"\n"), 0o600),
		h.save(),
	)
}

const demoModel = "virtual-board"

func (b *bench) demoAuthority(ctx context.Context, root *authority.Root, mark string, pin []byte) error {
	req, err := b.requestCA(ctx, pin, requestFlags{org: mark})
	if err != nil {
		return err
	}
	// Root and station are one program here: nobody needs to vouch for the TPM.
	challenge, _, err := root.Challenge(req, ceremony.Trust{Pins: [][32]byte{req.Evidence().EK.Pin()}}, 0, time.Time{})
	if err != nil {
		return unfit(err, "see: station doctor")
	}
	answer, err := b.answerCA(ctx, challenge.Encode())
	if err != nil {
		return err
	}
	signed, err := root.Sign(req, authority.Terms{Answer: answer})
	if err != nil {
		return unfit(err, "see: station doctor")
	}
	in, err := b.installCA(ctx, signed.PEM, false)
	if err != nil {
		return err
	}
	if b.product, err = b.loadProduct(b.home.cfg.Product); err != nil {
		return err
	}
	b.product = b.product.WithAnchors(in.Root())
	if b.profile, err = loadProfile(b.home, b.product.Profile()); err != nil {
		return err
	}
	return b.openIssuer(ctx, in.Chain, pin)
}

// demoBoards makes boards whose firmware pins the demo's root.
func demoBoards(f demoFlags, root *x509.Certificate) (map[string]*virtual.Board, error) {
	boards := map[string]*virtual.Board{}
	for i := range f.boards {
		uid := make([]byte, 8)
		rand.Read(uid)
		v, err := virtual.New(virtual.Config{Model: demoModel, UID: uid, Root: root, Prot: 0b0111, Compute: demoPace, Fault: f.fault(i)})
		if err != nil {
			return nil, err
		}
		boards[fmt.Sprintf("virtual:%d", i+1)] = v
	}
	return boards, nil
}

func demoRun(c *cobra.Command, g *globals, f demoFlags, b *bench, boards map[string]*virtual.Board) error {
	ctx := c.Context()
	var ports []seen
	for range boards {
		ports = append(ports, seen{name: fmt.Sprintf("virtual:%d", len(ports)+1)})
	}
	cfg := provision.Config{Demo: true, Training: f.mark == trainingMark, Order: order.Unlimited(f.mark, "demo"), Open: func(_ context.Context, name string) (smp.Stream, error) {
		v := boards[name]
		if v == nil {
			return nil, fmt.Errorf("there is no board at %s", name)
		}
		return v.Dial(), nil
	}}
	var err error
	if f.order != nil {
		cfg.Order = f.order.Order
		if _, cfg.Units, err = f.order.manifest(); err != nil {
			return err
		}
	}
	if !f.headless && hasDisplay() {
		cfg.Slots = len(ports)
		err = openWindow(ctx, b, f.window, cfg, fixed(ports))
	} else {
		if q := cfg.Order.Quantity(); q > 0 {
			ports = ports[:min(len(ports), q)]
		}
		err = runBatch(ctx, c, g, b, ports, cfg)
	}
	ctx = context.WithoutCancel(ctx)
	err = errors.Join(err, b.writeChains(ctx, filepath.Join(filepath.Dir(b.home.dir), "certificates")))
	if g.json {
		return err
	}
	page, _, _, failed := b.reader.Page(ctx, reader.Filter{Kinds: []string{record.KindEnd}}, reader.Cursor{}, reader.MaxPage)
	return errors.Join(err, failed, listing(c, page))
}
