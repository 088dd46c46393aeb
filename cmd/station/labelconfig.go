// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"time"

	"provisioning.example/station/internal/label"
	"provisioning.example/station/internal/provision"
)

// labelConfig is [label] of station.toml: where labels are printed, and from
// which templates.
type labelConfig struct {
	Printer string       `toml:"printer"`
	DPI     int          `toml:"dpi,omitempty"`     // 0: defaultDPI
	Pass    string       `toml:"pass,omitempty"`    // a file in labels; "": the program's own
	Fail    string       `toml:"fail,omitempty"`    // so, too
	Copies  int          `toml:"copies,omitempty"`  // 0: 1
	Timeout labelTimeout `toml:"timeout,omitempty"` // 0: provision.DefaultLabelTimeout
}

const defaultDPI = 203

func (c labelConfig) dpi() int { return cmp.Or(c.DPI, defaultDPI) }

func (c labelConfig) printerOK() bool {
	_, err := label.ParsePrinter(c.Printer)
	return err == nil
}

func (c labelConfig) templateOK(name string) bool {
	ext := filepath.Ext(name)
	return name == "" || name == provision.NoLabel || name == filepath.Base(name) && (ext == ".toml" || ext == ".zpl")
}

const labelTemplateAllowed = `the name of a file in labels, NAME.toml or NAME.zpl; "none" for no labels`

// labelTimeout is how long a printer may take for a label, as "10s".
type labelTimeout time.Duration

const labelTimeoutAllowed = `a time span from 1s to 2m, as "10s"`

// UnmarshalText reads a span.
func (t *labelTimeout) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if *t = labelTimeout(d); err != nil || !t.ok() {
		return fmt.Errorf("%q: %s", text, labelTimeoutAllowed)
	}
	return nil
}

// ok refuses also a bare number, which the file's parser takes for nanoseconds.
func (t labelTimeout) ok() bool {
	d := time.Duration(t)
	return d >= time.Second && d <= 2*time.Minute
}

// MarshalText writes it so that UnmarshalText takes it.
func (t labelTimeout) MarshalText() ([]byte, error) {
	return []byte(cmp.Or(time.Duration(t), provision.DefaultLabelTimeout).String()), nil
}

// labelTemplates are the templates in force: the product's, else the station's, else
// the program's own.
func (h *home) labelTemplates(p *provision.Product, dpi int) (provision.LabelTemplates, error) {
	var of labelConfig
	if h.cfg.Label != nil {
		of = *h.cfg.Label
	}
	pass, fail := "", ""
	if p != nil {
		pass, fail = p.Labels()
	}
	var t provision.LabelTemplates
	var err error
	if t.Pass, err = h.labelTemplate(pass, of.Pass, label.BuiltinPass, dpi); err != nil {
		return t, err
	}
	t.Fail, err = h.labelTemplate(fail, of.Fail, label.BuiltinFail, dpi)
	return t, err
}

// labelTemplate is the product's path, the station's file, or the program's own;
// nil for none.
func (h *home) labelTemplate(path, file, builtin string, dpi int) (t *label.Template, err error) {
	switch {
	case path == provision.NoLabel || path == "" && file == provision.NoLabel:
		return nil, nil
	case path != "":
		t, err = label.Load(path, dpi)
	case file != "":
		t, err = label.Load(h.path("labels", file), dpi)
	default:
		return label.Builtin(builtin, dpi)
	}
	if err != nil {
		return nil, usage(fmt.Errorf("the label template: %w", err), "mend it; see: station label check FILE")
	}
	return t, nil
}

// printer is the station's printer; relative paths lie in the home.
func (h *home) printer(spec string) (*label.Printer, error) {
	p, err := label.ParsePrinter(spec)
	if err != nil {
		return nil, usage(err, "set printer in [label] of station.toml, or use --printer")
	}
	return p.In(h.dir), nil
}

// newLabels is the station's way to labels, not yet started.
func (b *bench) newLabels(c labelConfig, p *provision.Product) (*provision.Labels, error) {
	t, err := b.home.labelTemplates(p, c.dpi())
	if err != nil {
		return nil, err
	}
	printer, err := b.home.printer(c.Printer)
	if err != nil {
		return nil, err
	}
	return provision.NewLabels(provision.LabelConfig{
		Ledger: b.ledger, Templates: t, Printer: printer, Copies: c.Copies, Timeout: time.Duration(c.Timeout),
		Software: software(), Log: b.log,
	}), nil
}

// checkLabels finds mistakes in templates before anything is provisioned.
func (b *bench) checkLabels() error {
	if b.home.cfg.Label == nil {
		return nil
	}
	_, err := b.home.labelTemplates(b.product, b.home.labelDPI())
	return err
}

// startLabels has the labels of a station printed, where [label] is set: they
// look at what it tells its observers, and no run waits for them.
func (b *bench) startLabels(c *provision.Config) error {
	if b.home.cfg.Label == nil {
		return nil
	}
	l, err := b.newLabels(*b.home.cfg.Label, b.product)
	if err != nil {
		return err
	}
	l.Start()
	b.labels = l
	observe := c.Observe
	c.Observe = func(e provision.Event) {
		if observe != nil {
			observe(e)
		}
		l.Observe(e)
	}
	return nil
}

// labelFarewell is how long the program stays for labels that wait when it ends.
const labelFarewell = 15 * time.Second

// endLabels prints what still waits, if the printer takes it.
func (b *bench) endLabels() {
	if b.labels == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), labelFarewell)
	defer cancel()
	if n := b.labels.Close(ctx); n > 0 {
		b.log.Warn("labels were not printed; print them with: station label print --missing", "labels", n)
	}
	b.labels = nil
}

// lookPrinter is the printer's line of doctor.
func lookPrinter(ctx context.Context, x *examination) finding {
	c := x.home.cfg.Label
	if c == nil {
		return ok("no labels are printed: [label] is not set")
	}
	if _, err := x.home.labelTemplates(nil, c.dpi()); err != nil {
		return warn("mend it; see: station label check FILE", "%v", err)
	}
	p, err := x.home.printer(c.Printer)
	if err != nil {
		return warn("see printer in [label] of station.toml", "%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(time.Duration(c.Timeout), provision.DefaultLabelTimeout))
	defer cancel()
	if err := p.Look(ctx); err != nil {
		return warn("switch it on and connect it; units pass without it, print their labels later: station label print --missing", "%v", err)
	}
	return ok("%s is there", p)
}
