// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"image/color"

	"provisioning.example/station/internal/provision"
)

// fill is the colouring of one card: what lies behind, what is written on it,
// and the three tints of its segments.
type fill struct {
	back, text, soft color.NRGBA // soft: text of second rank
	done, now, rest  color.NRGBA // segments: behind us, under way, ahead
}

// palette is every colour of the program in one variant. Text pairs keep a
// contrast of 4.5 to 1 and shapes one of 3 to 1 (WCAG 2.2, 1.4.3 and 1.4.11);
// a test holds them to it.
type palette struct {
	dark                       bool
	back, rail, edge           color.NRGBA
	text, soft                 color.NRGBA
	bad, good                  color.NRGBA // figures and sentences of failure and success
	field, fieldEdge           color.NRGBA
	accent, accentHover        color.NRGBA // the one big button, the chosen screen
	onAccent                   color.NRGBA
	idle, onIdle               color.NRGBA // a button that does nothing now
	badge, onBadge             color.NRGBA // SIMULATED TPM, DEMO
	bar, barBad, barNone       color.NRGBA // the last hour
	healthy, doubtful, stopped color.NRGBA
	stripe                     color.NRGBA // every other row of a list
	states                     [6]fill     // by provision.SlotState
}

var white = color.NRGBA{0xff, 0xff, 0xff, 0xff}

// rgb makes an opaque colour of 0xRRGGBB.
func rgb(v uint32) color.NRGBA {
	return color.NRGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 0xff}
}

// mix lays a over b with the given share of a, 0 to 1.
func mix(a, b color.NRGBA, share float32) color.NRGBA {
	m := func(x, y uint8) uint8 { return uint8(float32(x)*share + float32(y)*(1-share) + 0.5) }
	return color.NRGBA{m(a.R, b.R), m(a.G, b.G), m(a.B, b.B), 0xff}
}

// solid is a card in a strong colour with white on it. now is the tint of the
// segment under way.
func solid(back, now color.NRGBA) fill {
	return fill{
		back: back, text: white, soft: mix(white, back, 0.9),
		done: white, now: now, rest: mix(white, back, 0.25),
	}
}

// quiet is a card that asks for nothing.
func quiet(back, text color.NRGBA) fill {
	return fill{back: back, text: text, soft: text, done: text, now: text, rest: mix(text, back, 0.25)}
}

// states gives the cards' colours; only the empty card follows the variant.
func states(empty fill) [6]fill {
	ready := solid(rgb(0x6a4c93), rgb(0xd9c8f5))
	var s [6]fill
	s[provision.Empty] = empty
	s[provision.Scan] = ready
	s[provision.Ready] = ready
	s[provision.Busy] = solid(rgb(0x0067a5), rgb(0x8fd0ff))
	s[provision.Pass] = solid(rgb(0x00785a), rgb(0x9fe8d2))
	s[provision.Fail] = solid(rgb(0xb23a00), rgb(0xffc39e))
	return s
}

// lightPalette is for a bench under lamps.
func lightPalette() *palette {
	return &palette{
		back: rgb(0xf3f4f6), rail: white, edge: rgb(0xd9dde3),
		text: rgb(0x101418), soft: rgb(0x525c68), bad: rgb(0xb23a00), good: rgb(0x00785a),
		field: white, fieldEdge: rgb(0x1e7fc8),
		accent: rgb(0x1a73c8), accentHover: rgb(0x1763ad), onAccent: white,
		idle: rgb(0xdde2e8), onIdle: rgb(0x525c68),
		badge: rgb(0xffc53d), onBadge: rgb(0x2b1d00),
		bar: rgb(0x2f86cc), barBad: rgb(0xc2571a), barNone: rgb(0xd2d8df),
		healthy: rgb(0x1f8a3f), doubtful: rgb(0xb06f00), stopped: rgb(0xc62828),
		stripe: rgb(0xfafbfc),
		states: states(quiet(rgb(0xe4e8ed), rgb(0x525c68))),
	}
}

// darkPalette is for a dim hall.
func darkPalette() *palette {
	return &palette{
		dark: true,
		back: rgb(0x101317), rail: rgb(0x1a1e25), edge: rgb(0x2c333c),
		text: rgb(0xf2f4f7), soft: rgb(0x9ba5b1), bad: rgb(0xf08a4b), good: rgb(0x3fc79a),
		field: rgb(0x1d242c), fieldEdge: rgb(0x3f9be0),
		accent: rgb(0x1a73c8), accentHover: rgb(0x1763ad), onAccent: white,
		idle: rgb(0x242b33), onIdle: rgb(0x9ba5b1),
		badge: rgb(0xffc53d), onBadge: rgb(0x2b1d00),
		bar: rgb(0x3f9be0), barBad: rgb(0xe07b39), barNone: rgb(0x333b45),
		healthy: rgb(0x34b756), doubtful: rgb(0xf0b429), stopped: rgb(0xff6b5e),
		stripe: rgb(0x151a20),
		states: states(quiet(rgb(0x1b2127), rgb(0x9ba5b1))),
	}
}
