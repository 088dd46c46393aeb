// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"image/color"
	"strconv"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"

	"provisioning.example/station/internal/provision"
)

// barHeight is the height of the strip under the cards as it was drawn; on a
// larger window it is scaled.
const barHeight = 98

// bar is the strip under the cards: the one obvious action, and how the shift
// goes. When the line is stopped the reason stands where the action was.
type bar struct {
	box     *fyne.Container
	palette *palette
	start   *button
	figures []*figure
	rhythm  *rhythm
	banner  *banner
	drawn   barView
}

// barView is the part of a snapshot the bar shows.
type barView struct {
	drawn          bool
	ready, running int
	counters       provision.Counters
	stopped        *provision.Fault
}

// figure is one number with its name.
type figure struct {
	value, name *line
}

var figureNames = [...]string{"passed", "failed", "first pass", "per hour"}

func newBar(p *palette, provision, resume func()) *bar {
	b := &bar{palette: p, rhythm: newRhythm(p), banner: newBanner(p, resume)}
	b.start = newButton("provision", 34, provision)
	objs := []fyne.CanvasObject{b.start}
	for _, name := range figureNames {
		f := &figure{value: newLine(bold, fyne.TextAlignCenter), name: newLine(plain, fyne.TextAlignCenter)}
		f.name.set(name, p.soft)
		b.figures = append(b.figures, f)
		objs = append(objs, f.value.Text, f.name.Text)
	}
	b.box = newBox(fyne.NewSize(720, barHeight), b.arrange, append(objs, b.rhythm.box, b.banner.box)...)
	return b
}

func (b *bar) show(s provision.Snapshot) {
	view := barView{true, s.Ready, running(s.Slots), s.Counters, s.Stopped}
	if view == b.drawn {
		return
	}
	b.drawn = view
	p, c := b.palette, s.Counters
	on := s.Ready > 0 && s.Stopped == nil
	if on {
		b.start.set(startWord(s.Ready, 0), "ready", buttonLook{p.accent, p.accentHover, p.onAccent}, true)
	} else {
		b.start.set(startWord(0, view.running), "", buttonLook{p.idle, p.idle, p.onIdle}, false)
	}
	failed := p.text
	if c.Failed > 0 {
		failed = p.bad
	}
	b.figures[0].value.set(grouped(int64(c.Passed)), p.text)
	b.figures[1].value.set(grouped(int64(c.Failed)), failed)
	b.figures[2].value.set(yieldWord(c), p.text)
	b.figures[3].value.set(strconv.Itoa(c.PerHour), p.text)
	b.rhythm.show(c.Hour)
	b.banner.show(s.Stopped)
	show(b.start, s.Stopped == nil)
	show(b.banner.box, s.Stopped != nil)
	for _, f := range b.figures {
		show(f.value.Text, s.Stopped == nil)
		show(f.name.Text, s.Stopped == nil)
	}
	b.arrange(b.box.Size())
}

func (b *bar) arrange(s fyne.Size) {
	k := s.Height / barHeight
	rhythm := min(156*k, s.Width*0.16)
	place(b.rhythm.box, s.Width-rhythm, 0, rhythm, s.Height)
	place(b.banner.box, 0, 0, s.Width-rhythm-24, s.Height)
	button := min(470*k, s.Width*0.41)
	b.start.size = 34 * k
	place(b.start, 0, 0, button, s.Height)
	b.arrangeFigures(button+24, s.Width-rhythm-button-48, k)
}

// arrangeFigures sets the figures side by side. Where they do not fit they get
// smaller: a figure that is cut short would be another figure.
func (b *bar) arrangeFigures(x, room, k float32) {
	const least = 10
	n := float32(len(b.figures))
	large, small := 38*k, 15.5*k
	widths, natural := make([]float32, len(b.figures)), float32(0)
	for i, f := range b.figures {
		widths[i] = max(measure(f.value.full, large, bold), measure(f.name.full, small, plain)) + 2
		natural += widths[i]
	}
	squeeze := min(1, (room-least*(n-1))/natural)
	apart := min((room-natural*squeeze)/(n-1), 34*k)
	for i, f := range b.figures {
		w := widths[i] * squeeze
		f.value.placeWhole(x, 12*k, w, 54*k, large)
		f.name.placeWhole(x, 60*k, w, 22*k, small)
		x += w + apart
	}
}

// rhythm shows the last hour in slices of five minutes: what passed, and on
// top what failed.
type rhythm struct {
	box     *fyne.Container
	palette *palette
	hour    [12]provision.Bucket
	passed  [12]*canvas.Rectangle
	failed  [12]*canvas.Rectangle
	name    *line
}

func newRhythm(p *palette) *rhythm {
	r := &rhythm{palette: p, name: newLine(plain, fyne.TextAlignTrailing)}
	r.name.set("last hour", p.soft)
	objs := []fyne.CanvasObject{r.name.Text}
	for i := range r.hour {
		r.passed[i] = &canvas.Rectangle{FillColor: p.barNone, CornerRadius: 2}
		r.failed[i] = &canvas.Rectangle{FillColor: p.barBad, CornerRadius: 2}
		objs = append(objs, r.passed[i], r.failed[i])
	}
	r.box = newBox(fyne.NewSize(100, barHeight), r.arrange, objs...)
	return r
}

func (r *rhythm) show(hour [12]provision.Bucket) {
	r.hour = hour
	for i, b := range hour {
		tint := r.palette.bar
		if b == (provision.Bucket{}) {
			tint = r.palette.barNone
		}
		recolor(r.passed[i], tint)
	}
	r.arrange(r.box.Size())
}

func (r *rhythm) arrange(s fyne.Size) {
	k := s.Height / barHeight
	base, height, between := 62*k, 44*k, 3*k
	most := 1
	for _, b := range r.hour {
		most = max(most, b.Passed+b.Failed)
	}
	w := (s.Width - between*11) / 12
	unit := height / float32(most)
	for i, b := range r.hour {
		x := float32(i) * (w + between)
		good, bad := unit*float32(b.Passed), unit*float32(b.Failed)
		if b == (provision.Bucket{}) {
			good = 2
		}
		place(r.passed[i], x, base-good, w, good)
		place(r.failed[i], x, base-good-bad, w, bad)
	}
	r.name.place(0, 62*k, s.Width, 22*k, 14*k)
}

// recolor fills a rectangle anew where that changes something.
func recolor(r *canvas.Rectangle, c color.NRGBA) {
	if r.FillColor != c {
		r.FillColor = c
		r.Refresh()
	}
}

// banner says why nothing may be started, and what mends it.
type banner struct {
	box    *fyne.Container
	back   *canvas.Rectangle
	icon   *icon
	word   *line
	code   *line
	text   *paragraph
	resume *button
	fill   fill
}

func newBanner(p *palette, resume func()) *banner {
	b := &banner{
		fill: p.states[provision.Fail], icon: newIcon(), word: newLine(bold, fyne.TextAlignLeading),
		code: newLine(plain, fyne.TextAlignLeading), text: newParagraph(3),
	}
	b.back = &canvas.Rectangle{FillColor: b.fill.back, CornerRadius: 12}
	b.icon.set("stop", b.fill.text)
	b.word.set("LINE STOPPED", b.fill.text)
	b.resume = newButton("resume", 19, resume)
	b.resume.set("RESUME", "retry", buttonLook{back: white, hover: mix(white, b.fill.back, 0.88), ink: b.fill.back}, true)
	objs := append([]fyne.CanvasObject{b.back, b.icon.Image, b.word.Text, b.code.Text, b.resume}, b.text.objects()...)
	b.box = newBox(fyne.NewSize(320, barHeight), b.arrange, objs...)
	b.box.Hide()
	return b
}

func (b *banner) show(f *provision.Fault) {
	if f == nil {
		return
	}
	b.code.set(f.Code, b.fill.soft)
	b.text.set("", b.fill.text, []string{f.Sentence, f.Remedy})
	b.arrange(b.box.Size())
}

func (b *banner) arrange(s fyne.Size) {
	k := s.Height / barHeight
	place(b.back, 0, 0, s.Width, s.Height)
	b.icon.place(20*k, (s.Height-54*k)/2, 54*k)
	left := 92 * k
	word := measure(b.word.full, 34*k, bold) + 4
	b.word.place(left, 12*k, word, 46*k, 34*k)
	b.code.place(left, 58*k, word, 26*k, 18*k)
	x := left + word + 28*k
	button := min(150*k, s.Width*0.2)
	b.resume.size = 19 * k
	place(b.resume, s.Width-button-20*k, (s.Height-48*k)/2, button, 48*k)
	b.text.place(x, 10*k, s.Width-x-button-36*k, 3, 26*k, 19*k)
}
