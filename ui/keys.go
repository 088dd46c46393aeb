// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
)

// keys are the shortcuts of the window: everything a hand can press has one.
//
//	Ctrl+Enter  provision the boards that are ready
//	Ctrl+R      retry every failed board a retry may help
//	Alt+1, 2    line, ledger
//	F11         full screen and back (not in a kiosk)
//	F1 to F9, arrows, PgUp, PgDn, Home: see the ledger screen
//	Ctrl+Up, Ctrl+Down scroll what is beside the ledger
//	Esc         empty the field, or leave a panel as if nothing was asked
//	Ctrl+Enter  over a panel: its strong button
func (u *UI) keys() map[desktop.CustomShortcut]func() {
	const ctrl, alt = fyne.KeyModifierControl, fyne.KeyModifierAlt
	return map[desktop.CustomShortcut]func(){
		{KeyName: fyne.KeyReturn, Modifier: ctrl}: u.startReady,
		{KeyName: fyne.KeyEnter, Modifier: ctrl}:  u.startReady,
		{KeyName: fyne.KeyR, Modifier: ctrl}:      u.retryAll,
		{KeyName: fyne.Key1, Modifier: alt}:       func() { u.choose(0) },
		{KeyName: fyne.Key2, Modifier: alt}:       func() { u.choose(1) },
		{KeyName: fyne.KeyUp, Modifier: ctrl}:     func() { u.ledger.pane.scroll(-4) },
		{KeyName: fyne.KeyDown, Modifier: ctrl}:   func() { u.ledger.pane.scroll(4) },
	}
}

// listen takes what the keyboard sends while no field has it.
func (u *UI) listen(c fyne.Canvas) {
	for k := range u.keys() {
		c.AddShortcut(&k, u.shortcut)
	}
	c.SetOnTypedKey(u.key)
	c.SetOnTypedRune(func(r rune) {
		if u.prompt == nil {
			u.refocus()
			u.field().TypedRune(r)
		}
	})
}

// shortcut does what a shortcut stands for. A panel over the screen hides what
// a shortcut would do, so only Ctrl+Enter works then, and is for the panel.
func (u *UI) shortcut(s fyne.Shortcut) {
	custom, ok := s.(*desktop.CustomShortcut)
	if !ok {
		return
	}
	enter := custom.Modifier == fyne.KeyModifierControl && (custom.KeyName == fyne.KeyReturn || custom.KeyName == fyne.KeyEnter)
	do := u.keys()[*custom]
	switch {
	case u.prompt == nil && do != nil:
		do()
	case u.prompt != nil && enter:
		u.prompt.confirm()
	}
}

// key handles keys that edit no text.
func (u *UI) key(k *fyne.KeyEvent) {
	switch {
	case u.prompt != nil:
		u.prompt.typed(k)
	case k.Name == fyne.KeyF11:
		if !u.cfg.Kiosk {
			u.window.SetFullScreen(!u.window.FullScreen())
		}
	case u.screen == 1:
		u.ledger.typed(k)
	}
}

// startReady presses the big button, if it is on the screen and may be pressed.
func (u *UI) startReady() {
	if u.screen == 0 {
		u.line.bar.start.Tapped(nil)
	}
}

// retryAll retries every failed board a retry may help.
func (u *UI) retryAll() {
	if u.screen != 0 {
		return
	}
	for _, slot := range u.line.retryable() {
		u.retry(slot)
	}
}
