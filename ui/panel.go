// SPDX-License-Identifier: Apache-2.0

package ui

import "fyne.io/fyne/v2"

// panel is what lies over a screen and has the keyboard to itself: a question,
// a form. There is at most one.
type panel interface {
	pressable() []*button // those that can be seen
	typed(*fyne.KeyEvent) // keys that edit no text
	confirm()             // Ctrl+Enter
	field() *field        // where text goes; nil: nowhere
}

// namedField is a field of a panel that has several.
type namedField struct {
	name  string // as describe tells it
	field *field
}
