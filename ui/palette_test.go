// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"image/color"
	"math"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"

	"provisioning.example/station/internal/provision"
)

// luminance is the relative luminance of WCAG 2.2.
func luminance(c color.NRGBA) float64 {
	part := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*part(c.R) + 0.7152*part(c.G) + 0.0722*part(c.B)
}

func contrast(a, b color.NRGBA) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func TestContrastOfKnownPairs(t *testing.T) {
	if c := contrast(white, rgb(0)); math.Abs(c-21) > 0.01 {
		t.Errorf("white on black is %.2f, want 21", c)
	}
	if c := contrast(rgb(0x777777), white); math.Abs(c-4.48) > 0.01 {
		t.Errorf("#777 on white is %.2f, want 4.48", c)
	}
}

// Text keeps 4.5 to 1 (WCAG 2.2, 1.4.3), shapes that carry meaning 3 to 1
// (1.4.11).
func TestPalettesAreReadable(t *testing.T) {
	const text, shape = 4.5, 3.0
	for variant, p := range map[string]*palette{"light": lightPalette(), "dark": darkPalette()} {
		check := func(what string, ink, back color.NRGBA, want float64) {
			t.Helper()
			if c := contrast(ink, back); c < want {
				t.Errorf("%s: %s has a contrast of %.2f, want %.1f", variant, what, c, want)
			}
			if ink.A != 0xff || back.A != 0xff {
				t.Errorf("%s: %s is not opaque", variant, what)
			}
		}
		for state, f := range p.states {
			name := provision.SlotState(state).String()
			check(name+" text", f.text, f.back, text)
			check(name+" small text", f.soft, f.back, text)
			check(name+" done segment", f.done, f.back, shape)
			check(name+" segment under way", f.now, f.back, shape)
		}
		for _, back := range []color.NRGBA{p.back, p.field, p.rail, p.stripe} {
			check("text", p.text, back, text)
			check("small text", p.soft, back, text)
			check("failure", p.bad, back, text)
			check("success", p.good, back, text)
		}
		fail := p.states[provision.Fail].back
		check("retry button", fail, white, text)
		check("retry button under the mouse", fail, mix(white, fail, 0.88), text)
		check("big button", p.onAccent, p.accent, text)
		check("big button under the mouse", p.onAccent, p.accentHover, text)
		check("idle button", p.onIdle, p.idle, text)
		check("quiet button", p.text, p.idle, text)
		check("badge", p.onBadge, p.badge, text)
		check("chosen tab", white, p.states[provision.Busy].back, text)
		for what, c := range map[string]color.NRGBA{
			"healthy": p.healthy, "doubtful": p.doubtful, "stopped": p.stopped, "bar": p.bar, "failed bar": p.barBad, "field edge": p.fieldEdge,
		} {
			check(what, c, p.back, shape)
		}
		check("scan ring", p.badge, p.states[provision.Scan].back, shape)
	}
}

// The theme must answer with its own palette whatever it is asked for, and
// never with a colour the toolkit has no contrast for.
func TestThemeForcesItsVariant(t *testing.T) {
	for _, p := range []*palette{lightPalette(), darkPalette()} {
		th := newTheme(p)
		names := []fyne.ThemeColorName{
			theme.ColorNameBackground, theme.ColorNameForeground, theme.ColorNamePrimary, theme.ColorNameButton,
			theme.ColorNameInputBackground, theme.ColorNameSeparator, theme.ColorNameError, theme.ColorNameHover,
		}
		for _, name := range names {
			light, dark := th.Color(name, theme.VariantLight), th.Color(name, theme.VariantDark)
			if light != dark {
				t.Errorf("%s is %v for light and %v for dark", name, light, dark)
			}
		}
		if th.Color(theme.ColorNameBackground, theme.VariantLight) != p.back {
			t.Error("the background is not the palette's")
		}
	}
}

// What the ledger screen writes on its own grounds can be read.
func TestLedgerContrast(t *testing.T) {
	for name, p := range map[string]*palette{"light": lightPalette(), "dark": darkPalette()} {
		grounds := map[string]color.NRGBA{
			"row": p.back, "other row": p.stripe, "chosen row": mix(p.accent, p.back, 0.07), "pane": p.rail, "verdict": p.field,
		}
		for ground, back := range grounds {
			for tone := normal; tone <= doubtful; tone++ {
				if ground == "chosen row" && tone == soft {
					continue // written as normal there
				}
				if got := contrast(tone.ink(p), back); got < 4.5 {
					t.Errorf("%s: tone %d on %s has a contrast of %.1f", name, tone, ground, got)
				}
			}
		}
	}
}
