// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/authority"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/port"
	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/tpm"
)

// finding is one line of the doctor: an organ, how it is, what to do.
type finding struct {
	provision.Health
	Remedy string
}

// examination is what the organs are looked at with.
type examination struct {
	home  *home
	tpm   *tpm.TPM // nil when it could not be opened
	err   error    // why
	ports []string
	bus   port.Bus
	now   time.Time
}

// organs is the one list of what is examined; the order is how it is printed.
var organs = []struct {
	name string
	look func(context.Context, *examination) finding
}{
	{"TPM", lookTPM},
	{"keys", lookKeys},
	{"clock", lookClock},
	{"disk", lookDisk},
	{"ledger", lookLedger},
	{"operators", lookOperators},
	{"backup", lookBackup},
	{"ports", lookPorts},
	{"printer", lookPrinter},
	{"certificate", lookCertificate},
	{"manifests", lookManifestKey},
}

func newDoctor(g *globals) *cobra.Command {
	var ports []string
	var m mending
	c := &cobra.Command{
		Use: "doctor", Short: "is the station fit? one line each: ok, warn or stop", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := m.do(c, g); err != nil {
				return err
			}
			h, err := openHome(g.home)
			if err != nil {
				return err
			}
			if err := h.acquire(); err != nil {
				return err
			}
			defer h.release()
			x := &examination{home: h, ports: ports, bus: g.ports(), now: time.Now()}
			x.tpm, x.err = tpm.Open(c.Context(), tpm.Config{Spec: h.tpmSpec(), Patience: 5 * time.Second})
			if x.tpm != nil {
				defer x.tpm.Close()
			}
			return doctor(c, g, x)
		},
	}
	c.Flags().StringArrayVar(&ports, "port", nil, "a port that must be there and usable, may be repeated")
	m.flags(c)
	return c
}

func doctor(c *cobra.Command, g *globals, x *examination) error {
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
	stops := 0
	for _, o := range organs {
		f := o.look(c.Context(), x)
		f.Name = o.name
		if f.Level == provision.Stop {
			stops++
		}
		if g.json {
			if err := json.NewEncoder(c.OutOrStdout()).Encode(map[string]string{
				"name": f.Name, "level": f.Level.String(), "text": f.Text, "remedy": f.Remedy,
			}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", f.Level, f.Name, oneLine(f.Text), f.Remedy)
	}
	t.Flush()
	if stops > 0 {
		return unfit(fmt.Errorf("%d of %d organs say stop", stops, len(organs)), "do what stands behind each line, then run doctor again")
	}
	return nil
}

func ok(format string, a ...any) finding {
	return finding{Health: provision.Health{Level: provision.OK, Text: fmt.Sprintf(format, a...)}}
}

func warn(remedy, format string, a ...any) finding {
	return finding{provision.Health{Level: provision.Warn, Text: fmt.Sprintf(format, a...)}, remedy}
}

func stop(remedy, format string, a ...any) finding {
	return finding{provision.Health{Level: provision.Stop, Text: fmt.Sprintf(format, a...)}, remedy}
}

func lookTPM(ctx context.Context, x *examination) finding {
	if x.err != nil {
		return stop("plug it in or start it; check tpm in station.toml and who may open it", "%v", x.err)
	}
	if err := x.tpm.Health(ctx); err != nil {
		return stop("start it again, or power the machine off and on", "%v", err)
	}
	f, err := lookLockout(ctx, x)
	if err != nil {
		return stop("start it again, or power the machine off and on", "%v", err)
	}
	i := x.tpm.Info()
	f.Text = fmt.Sprintf("%s %s, %s", i.Manufacturer, i.Firmware, f.Text)
	if i.Simulated {
		f.Text += ", SIMULATED"
		if f.Level == provision.OK {
			f.Level, f.Remedy = provision.Warn, "for tests and demonstrations only"
		}
	}
	return f
}

func lookKeys(ctx context.Context, x *examination) finding {
	const remedy = "is this the TPM the home was made with? if it was replaced or cleared: station handover --reason WHY --approver ID"
	if exists(x.home.handoverPath()) {
		e := &exitError{}
		errors.As(interrupted(x.home), &e)
		return stop(e.hint, "%v", e.err)
	}
	if x.tpm == nil {
		return stop(remedy, "the TPM cannot be asked")
	}
	k := x.home.cfg.Keys
	for _, key := range []struct {
		name string
		ref  *tpm.KeyRef
		must bool
	}{{"CA", k.CA, true}, {"checkpoint", k.Checkpoint, true}, {"rework", k.Rework, false}, {"manifest", k.Manifest, false}} {
		if key.ref == nil && !key.must {
			continue
		}
		if key.ref == nil {
			return stop("make the home anew with: station init", "there is no %s key", key.name)
		}
		if _, err := x.tpm.Key(ctx, *key.ref, noPIN); err != nil {
			return stop(remedy, "%s key: %v", key.name, err)
		}
		if n, err := x.tpm.Copies(ctx, *key.ref); err != nil {
			return stop("start it again, or power the machine off and on", "%v", err)
		} else if n > 0 {
			return warn("change the PIN once more: station ca pin", "a change of PIN was interrupted: there is a copy of the %s key with another PIN", key.name)
		}
	}
	if k.Rework == nil {
		return warn("locked boards cannot be reworked", "no rework key")
	}
	return ok("CA, checkpoint and rework keys are in the TPM")
}

// noPIN is for looking at a key without using it.
func noPIN() ([]byte, error) { return nil, errors.New("the PIN was not asked for") }

func lookDisk(_ context.Context, x *examination) finding {
	free, err := freeMiB(x.home.dir)
	if err != nil {
		return stop("the home must lie on a mounted file system", "%v", err)
	}
	if free < x.home.cfg.MinFree {
		return stop("free some space, or lower min_free_mib in station.toml", "%d MiB free, %d are wanted", free, x.home.cfg.MinFree)
	}
	return ok("%d MiB free", free)
}

func lookLedger(ctx context.Context, x *examination) finding {
	report, err := verifyLedger(ctx, x.home, "")
	if err != nil {
		return stop(judgeHint(err), "%v", err)
	}
	if !report.OK() {
		return stop(restoreHint, "%s", report.Verdict())
	}
	if err := lookSeals(ctx, x); err != nil {
		return stop(restoreHint, "%v", err)
	}
	if len(report.RevokedAuthorities) > 0 {
		return warn("ask who keeps the root what to do with the units", "%s", report.Verdict())
	}
	return ok("%s", report.Verdict())
}

// lookOperators holds the register of operators against the ledger.
func lookOperators(ctx context.Context, x *examination) finding {
	r, err := x.home.operators()
	if err != nil {
		return stop("mend the register, or bring it back from a backup", "%v", err)
	}
	lost, err := lostOperators(ctx, x.home.ledgerPath(), r)
	switch {
	case err != nil:
		return stop("see: station ledger verify", "the ledger cannot be asked for them: %v", err)
	case len(lost) > 0:
		return stop(registerHint, "the register is not the one that the ledger knows: %s not in operators.toml", are(lost))
	case r.Empty():
		return ok("nobody is registered: whoever is logged in may do everything")
	}
	return ok("%d in the register", len(r.People()))
}

// lookSeals holds the ledger against the TPM's counter. A TPM that does not have
// it is told of by the lines of TPM and keys.
func lookSeals(ctx context.Context, x *examination) error {
	if x.tpm == nil {
		return nil
	}
	counter, err := findCounter(ctx, x.tpm, x.home)
	if err != nil {
		return nil
	}
	r, err := reader.Open(ctx, x.home.ledgerPath())
	if err != nil {
		return err
	}
	defer r.Close()
	return ledger.CheckSeals(ctx, r, x.home.cfg.Epoch, counter)
}

func lookPorts(_ context.Context, x *examination) finding {
	names := x.ports
	if len(names) == 0 {
		ports, err := x.bus.List()
		if err != nil {
			return stop("the system's list of devices must be readable", "%v", err)
		}
		product, err := provision.LoadProduct(x.home.path("products", x.home.cfg.Product+".toml"))
		for _, p := range ports {
			// Other devices' ports are nobody's business here.
			if err == nil && product.MatchesUSB(p.USB.VID, p.USB.PID) && exists(p.Name) {
				names = append(names, p.Name)
			}
		}
	}
	for _, n := range names {
		if _, err := os.Stat(n); err != nil {
			return stop("plug it in", "%v", err)
		}
		if err := x.bus.Access(n); err != nil {
			return stop("do what the line says, then log in again", "%v", err)
		}
	}
	return ok("%d found", len(names))
}

func lookCertificate(ctx context.Context, x *examination) finding {
	ca, err := authority.Load(x.home.path("ca"))
	if err != nil {
		return stop("install one: station ca request, station root sign, station ca install", "%v", err)
	}
	cert := ca.Intermediate()
	until, err := ca.IssuesUntil(longest(x.home))
	if err != nil {
		return stop("see: station ca status", "%v", err)
	}
	days := int(until.Sub(x.now).Hours() / 24)
	switch err := ca.Fit(x.now); {
	case x.now.Before(cert.NotBefore):
		return stop("set the clock", "the intermediate begins at %s", cert.NotBefore.Format(time.DateTime))
	case errors.Is(err, authority.ErrRevoked):
		return stop("ask who keeps the root", "%v", err)
	case err != nil, until.Before(x.now):
		return stop("have the root sign a new one", "the issuing window ended at %s", until.Format(time.DateTime))
	case days < 60:
		return warn("have the root sign the next one: station ca rotate", "the issuing window ends in %d days", days)
	}
	for _, l := range ca.CRLs {
		if x.now.After(l.NextUpdate) {
			return warn("bring a new one from the root", "the revocation list of %s was due at %s", l.Issuer, l.NextUpdate.Format(time.DateTime))
		}
	}
	if r, err := reader.Open(ctx, x.home.ledgerPath()); err == nil {
		defer r.Close()
		if what, err := overdue(ctx, r, hex.EncodeToString(cert.SubjectKeyId), x.now); err == nil && what != "" {
			return warn("make a new one and bring it to the servers: station ca crl", "%s", what)
		}
	}
	return ok("the issuing window ends in %d days", days)
}

// lookManifestKey looks after the certificate of the key that signs manifests:
// customers who have only the root judge by it.
func lookManifestKey(ctx context.Context, x *examination) finding {
	if x.home.cfg.Keys.Manifest == nil {
		return ok("no key signs manifests yet; the first export makes one")
	}
	r, err := reader.Open(ctx, x.home.ledgerPath())
	if err != nil {
		return stop(judgeHint(err), "%v", err)
	}
	defer r.Close()
	all, err := manifestCertificates(ctx, r, "")
	if err != nil {
		return stop("see: station ledger verify", "%v", err)
	}
	if len(all) == 0 {
		return ok("the key that signs manifests has no certificate yet; the next export makes one")
	}
	const again = "have it certified anew, with the CA key's PIN: station ledger export --format manifest"
	last := all[len(all)-1]
	days := int(last.cert.NotAfter.Sub(x.now).Hours() / 24)
	switch {
	case last.revoked != "":
		return warn(again, "certificate %x of the key that signs manifests was revoked: %s", last.cert.SerialNumber, last.revoked)
	case x.now.After(last.cert.NotAfter):
		return warn(again, "the certificate of the key that signs manifests ended at %s", last.cert.NotAfter.Format(time.DateTime))
	case days < 30:
		return warn(again, "the certificate of the key that signs manifests ends in %d days", days)
	}
	return ok("the certificate of the key that signs manifests ends in %d days", days)
}
