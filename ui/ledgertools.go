// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"slices"

	"fyne.io/fyne/v2"
)

// tool is a button in the head of the ledger screen.
type tool struct {
	name string // as describe tells it
	word string
	key  fyne.KeyName // presses it
	do   func()       // nil: the place stays empty
}

// ledgerTools are the tools in the order in which they stand.
func (u *UI) ledgerTools(l *ledgerScreen) []tool {
	return []tool{
		l.verifyTool(u.cfg.Desk.Verify),
		u.signOffTool(),
		{name: "plots", word: "Plots", key: fyne.KeyF7, do: u.openPlots},
		u.exportTool(),
	}
}

// setTools puts tools into the head.
func (l *ledgerScreen) setTools(tools []tool) {
	for _, t := range tools {
		if t.do == nil {
			continue
		}
		b := newButton(t.name, 16, t.do)
		b.set(t.word, "", buttonLook{l.palette.idle, l.palette.edge, l.palette.text}, true)
		l.tools, l.toolKeys = append(l.tools, b), append(l.toolKeys, t.key)
		l.box.Add(b)
		if t.name == "verify" {
			l.audit.button = b
		}
	}
}

// pressTool presses the button of a key, if there is one: of the pane, or of
// the head.
func (l *ledgerScreen) pressTool(key fyne.KeyName) {
	for _, a := range l.pane.sheet.acts {
		if l.open && a.key == key {
			a.do()
			return
		}
	}
	if i := slices.Index(l.toolKeys, key); i >= 0 {
		l.tools[i].Tapped(nil)
	}
}
