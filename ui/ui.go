// SPDX-License-Identifier: Apache-2.0

// Package ui is the window of the station: the line screen for the person at
// the bench, and the ledger screen for qa.
//
// It acts only through a provision.Station and looks only through a
// reader.Reader, neither of which lets it sign, open a port or write the
// ledger. What is drawn is a function of one provision.Snapshot; all crossing
// between goroutines is in one file.
package ui

import (
	"context"
	"io"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"

	"provisioning.example/station/assets"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/provision"
)

// Config is what the window shows and how.
type Config struct {
	Station  *provision.Station
	Reader   *reader.Reader
	Theme    string       // "light", "dark" or "" for what the desktop has
	Kiosk    bool         // full screen for good
	Describe io.Writer    // one line of JSON at the first frame and at each change; nil: none
	Do       func(func()) // runs a function on the drawing goroutine; nil: fyne.Do
	Desk     Desk         // what QA may do at the ledger screen
	Folder   string       // where files are proposed to be written

	// Export writes the ledger for others, whole or not at all, and tells meanwhile how many entries it wrote. It takes its time, and ends
	// early with its context. nil: who is signed in may not.
	Export func(ctx context.Context, w ExportWish, tell func(done int64)) (Exported, error)
}

// UI is the station's window. Its methods belong to the drawing goroutine.
type UI struct {
	cfg     Config
	app     fyne.App
	window  fyne.Window
	threads *threads
	cancel  context.CancelFunc
	steps   []provision.StepInfo

	palette *palette
	rail    *rail
	line    *lineScreen
	ledger  *ledgerScreen
	screen  int // index into railTabs
	prompt  panel
	closing bool
}

// New makes the window and draws its first picture. It must be called on the
// main goroutine, before the app runs.
func New(a fyne.App, cfg Config) *UI {
	u := &UI{cfg: cfg, app: a, steps: provision.Steps()}
	ctx, cancel := context.WithCancel(context.Background())
	u.threads, u.cancel = newThreads(ctx, cfg.Do), cancel
	if png, err := assets.AppIcon(); err == nil {
		a.SetIcon(fyne.NewStaticResource("icon.png", png))
	}
	u.window = a.NewWindow("Provisioning station")
	u.window.SetPadded(false)
	u.window.SetMaster()
	u.build()
	u.window.Resize(fyne.NewSize(1280, 800))
	u.window.SetFullScreen(cfg.Kiosk)
	u.window.SetCloseIntercept(u.close)
	u.window.SetOnClosed(cancel)
	a.Settings().AddListener(func(fyne.Settings) { u.followVariant() })
	return u
}

// Window is the station's only window.
func (u *UI) Window() fyne.Window { return u.window }

// ShowAndRun shows the window and returns when it was closed and everything
// that was begun in it has come to its end.
func (u *UI) ShowAndRun() {
	u.start()
	u.window.ShowAndRun()
	u.end()
}

// end ends what the window began, once it is gone: who opened ledger and
// station closes them next.
func (u *UI) end() {
	u.cancel()
	u.threads.ended()
}

// Close ends the runs and the window without asking anybody, as a signal from
// the system wants it. It may be called from any goroutine and returns at once.
func (u *UI) Close() { u.threads.later(u.shutDown) }

// start begins to follow the station.
func (u *UI) start() {
	f := &follower{
		threads: u.threads, snapshot: u.cfg.Station.Snapshot, signal: u.cfg.Station.Changed(),
		draw: u.draw, tell: u.describe, describe: u.cfg.Describe,
	}
	go f.follow()
	go u.threads.serve()
}

// wanted is the palette for the configured theme, or the desktop's.
func (u *UI) wanted() *palette {
	dark := u.app.Settings().ThemeVariant() != theme.VariantLight
	switch u.cfg.Theme {
	case "light":
		dark = false
	case "dark":
		dark = true
	}
	if dark {
		return darkPalette()
	}
	return lightPalette()
}

// followVariant rebuilds the window when the desktop turned from light to dark
// or back.
func (u *UI) followVariant() {
	if u.wanted().dark != u.palette.dark {
		u.build()
	}
}

// build makes everything the window holds, in the colours wanted now.
func (u *UI) build() {
	p := u.wanted()
	u.palette = p
	u.app.Settings().SetTheme(newTheme(p))
	u.rail = newRail(p, u.choose)
	u.line = newLineScreen(p, len(u.steps), actions{
		provision: u.provision, retry: u.retry, resume: u.resume, scan: u.scan, detail: u.detail,
	})
	if u.ledger != nil {
		u.ledger.giveUp()
	}
	u.ledger = newLedgerScreen(p, readerSource(u.cfg.Reader), crossing{u.threads.aside, u.threads.report, u.threads.changed})
	u.ledger.setTools(u.ledgerTools(u.ledger))
	if u.cfg.Desk.QA != nil {
		u.ledger.correct = u.correct
	}
	for _, f := range []*field{u.line.scan, u.ledger.search} {
		f.onKey, f.onShortcut = u.key, u.shortcut
		f.onBlur = func() { u.threads.later(u.refocus) }
	}
	u.window.SetContent(newBox(fyne.NewSize(880, 540), u.arrange, u.rail.box, u.line.box, u.ledger.box))
	u.listen(u.window.Canvas())
	snap := u.cfg.Station.Snapshot()
	u.line.show(snap)
	u.rail.show(snap)
	u.choose(u.screen)
	if u.screen == 1 {
		u.ledger.start()
	}
}

func (u *UI) arrange(s fyne.Size) {
	place(u.rail.box, 0, 0, railWidth, s.Height)
	place(u.line.box, railWidth, 0, s.Width-railWidth, s.Height)
	place(u.ledger.box, railWidth, 0, s.Width-railWidth, s.Height)
	u.threads.changed()
}

// draw shows a snapshot.
func (u *UI) draw(snap provision.Snapshot) {
	u.line.show(snap)
	u.rail.show(snap)
}

// choose shows a screen.
func (u *UI) choose(screen int) {
	opened := screen == 1 && u.screen != 1
	u.screen = screen
	u.rail.choose(screen)
	show(u.line.box, screen == 0)
	show(u.ledger.box, screen == 1)
	if opened {
		u.ledger.start()
	}
	u.refocus()
	u.threads.changed()
}

// field is where the keyboard belongs on the screen shown.
func (u *UI) field() *field {
	if u.screen == 1 {
		return u.ledger.search
	}
	return u.line.scan
}

// refocus gives the keyboard back to the field, or to that of a panel.
func (u *UI) refocus() {
	c, f := u.window.Canvas(), u.field()
	if u.prompt != nil {
		f = u.prompt.field()
	}
	if f != nil && c.Focused() != f && (u.prompt != nil || c.Overlays().Top() == nil) {
		c.Focus(f)
	}
}

// provision starts every board that is ready.
func (u *UI) provision() {
	u.inOrder(func() func() {
		u.cfg.Station.Provision()
		return nil
	})
}

// resume lets a stopped line go on: a person says that it is mended.
func (u *UI) resume() {
	u.inOrder(func() func() {
		u.cfg.Station.Resume()
		return nil
	})
}

func (u *UI) retry(slot int) {
	u.inOrder(func() func() {
		if err := u.cfg.Station.Retry(slot); err != nil {
			return func() { u.complain(err.Error()) }
		}
		return nil
	})
}

// scan hands a label over. It starts nothing.
func (u *UI) scan(label string) {
	u.inOrder(func() func() {
		if _, err := u.cfg.Station.Scan(label); err != nil {
			return func() { u.complain(err.Error()) }
		}
		return nil
	})
}

// inOrder does what a person asked for, in the order asked.
func (u *UI) inOrder(work func() func()) {
	u.line.scan.complain("")
	if !u.threads.inOrder(work) {
		u.complain("The station is still busy with what was asked before.")
	}
	u.refocus()
}

// complain shows a sentence where the person looks while scanning.
func (u *UI) complain(sentence string) {
	u.line.scan.complain(sentence)
	u.threads.changed()
}
