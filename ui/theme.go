// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"

	"provisioning.example/station/internal/provision"
)

// lineTheme colours Fyne's own widgets from a palette. It answers with that
// palette whatever variant it is asked for: the program, not the desktop,
// decides whether it is light or dark.
type lineTheme struct {
	fyne.Theme // sizes, fonts and icons of the toolkit
	palette    *palette
}

func newTheme(p *palette) *lineTheme { return &lineTheme{Theme: theme.DefaultTheme(), palette: p} }

// Color implements fyne.Theme.
func (t *lineTheme) Color(name fyne.ThemeColorName, _ fyne.ThemeVariant) color.Color {
	p := t.palette
	switch name {
	case theme.ColorNameBackground, theme.ColorNameOverlayBackground, theme.ColorNameMenuBackground:
		return p.back
	case theme.ColorNameForeground:
		return p.text
	case theme.ColorNamePlaceHolder, theme.ColorNameDisabled:
		return p.soft
	case theme.ColorNameButton, theme.ColorNameDisabledButton, theme.ColorNameHeaderBackground:
		return p.idle
	case theme.ColorNamePrimary, theme.ColorNameHyperlink:
		return p.accent
	case theme.ColorNameForegroundOnPrimary, theme.ColorNameForegroundOnError,
		theme.ColorNameForegroundOnSuccess, theme.ColorNameForegroundOnWarning:
		return white
	case theme.ColorNameInputBackground:
		return p.field
	case theme.ColorNameInputBorder, theme.ColorNameFocus:
		return p.fieldEdge
	case theme.ColorNameSeparator:
		return p.edge
	case theme.ColorNameError:
		return p.states[provision.Fail].back
	case theme.ColorNameSuccess:
		return p.states[provision.Pass].back
	case theme.ColorNameWarning:
		return p.doubtful
	case theme.ColorNameHover, theme.ColorNamePressed:
		return mixAlpha(p.text, 0x14)
	case theme.ColorNameSelection:
		return mixAlpha(p.accent, 0x50)
	case theme.ColorNameScrollBar:
		return mixAlpha(p.text, 0x80)
	case theme.ColorNameScrollBarBackground:
		return color.Transparent
	case theme.ColorNameShadow:
		return color.NRGBA{A: 0x40}
	}
	return t.Theme.Color(name, t.variant())
}

// variant is what the palette was made for.
func (t *lineTheme) variant() fyne.ThemeVariant {
	if t.palette.dark {
		return theme.VariantDark
	}
	return theme.VariantLight
}

// mixAlpha is a colour with an opacity of its own.
func mixAlpha(c color.NRGBA, alpha uint8) color.NRGBA {
	c.A = alpha
	return c
}
