// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"flag"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"provisioning.example/station/internal/provision"
)

// screens is where the tests named TestScreens... write their pictures; without it some are drawn
// and thrown away.
//
//	go test ./ui -run TestScreens -args -screens "$PWD/artifacts"
var screens = flag.String("screens", "", "directory to write pictures of every screen into")

var (
	proveFault = &provision.Fault{
		Code: "F-PROVE-02", Step: "PROVE", Sentence: "The board kept another chain.",
		Remedy: "Reseat the board, then retry.", Action: provision.Retry,
	}
	rejectFault = &provision.Fault{
		Code: "F-REQUEST-05", Step: "REQUEST", Sentence: "The board asked for a name that is not its own.",
		Remedy: "Put the board aside for QA.", Action: provision.RejectUnit,
	}
	stopFault = &provision.Fault{
		Code: "F-RECORD-01", Step: "RECORD", Sentence: "The ledger cannot be written: the disk is full.",
		Remedy: "Free space on the disk; the station goes on by itself.", Action: provision.StopStation,
	}
)

// testSteps is how many segments the pictures have: those of the procedure.
var testSteps = len(provision.Steps())

// stepOf is the place of a step on the card.
func stepOf(code string) int {
	return slices.IndexFunc(provision.Steps(), func(s provision.StepInfo) bool { return s.Code == code })
}

// mixed is the state of the target pictures.
func mixed() provision.Snapshot {
	s := provision.Snapshot{
		Product: "gw-2 rev C", Order: "4711", Done: 312, Quantity: 500,
		Operator: "Badge 2107", Role: "technician", Ready: 1, ScanSlot: 6,
		Counters: provision.Counters{Passed: 308, Failed: 4, FirstTried: 312, FirstPass: 308, PerHour: 96},
		Health:   []provision.Health{{Name: "TPM"}, {Name: "Ledger"}, {Name: "CA 214" + nbsp + "d"}},
	}
	for i, n := range []int{7, 8, 8, 8, 9, 9, 9, 7, 0, 9, 9, 9} {
		s.Counters.Hour[i] = provision.Bucket{Passed: n}
	}
	s.Counters.Hour[8] = provision.Bucket{Passed: 5, Failed: 3}
	s.Slots = []provision.SlotView{
		{Slot: 1, State: provision.Pass, Serial: "SN-0000A101", Step: testSteps, Note: "entry 48" + nbsp + "211", Elapsed: 2900 * time.Millisecond, Attempt: 1, Entry: 48211},
		{Slot: 2, State: provision.Fail, Serial: "SN-0000A102", Step: stepOf("PROVE"), Elapsed: 4100 * time.Millisecond, Attempt: 1, Fault: proveFault},
		{Slot: 3, State: provision.Busy, Serial: "SN-0000A103", Step: stepOf("REHEARSE"), Note: "Rehearse the TLS handshake", Elapsed: 2200 * time.Millisecond, Attempt: 1},
		{Slot: 4, State: provision.Busy, Serial: "SN-0000A104", Step: stepOf("KEY"), Note: "Make the key", Elapsed: 1400 * time.Millisecond, Attempt: 2},
		{Slot: 5, State: provision.Ready, Serial: "SN-0000A105", Step: -1, Note: "gw-2 rev C"},
		{Slot: 6, State: provision.Scan, Step: -1, Note: "Board found. Scan its label."},
		{Slot: 7, State: provision.Empty, Step: -1, Note: "Plug in a board"},
		{Slot: 8, State: provision.Pass, Serial: "SN-0000A100", Step: testSteps, Note: "entry 48" + nbsp + "209", Elapsed: 3 * time.Second, Attempt: 1, Entry: 48209},
	}
	for i := range s.Slots {
		if s.Slots[i].State != provision.Empty {
			s.Slots[i].Port = fmt.Sprintf("/dev/ttyUSB%d", i)
		}
	}
	return s
}

// idle has every board ready, running every board busy.
func idle() provision.Snapshot {
	s := mixed()
	for i := range s.Slots {
		s.Slots[i] = provision.SlotView{
			Slot: i + 1, State: provision.Ready, Serial: fmt.Sprintf("SN-0000A1%02d", i+1), Step: -1,
			Note: "gw-2 rev C", Port: fmt.Sprintf("/dev/ttyUSB%d", i),
		}
	}
	s.Ready, s.ScanSlot = 8, 0
	return s
}

func runningAll() provision.Snapshot {
	s := idle()
	steps := provision.Steps()
	for i := range s.Slots {
		v := &s.Slots[i]
		v.State, v.Step, v.Note = provision.Busy, i, steps[i].Name
		v.Elapsed, v.Attempt = time.Duration(i*391+212)*time.Millisecond, 1
	}
	s.Ready = 0
	return s
}

// many spreads the mixed slots over n.
func many(n int) provision.Snapshot {
	s := mixed()
	eight := append([]provision.SlotView{}, s.Slots...)
	s.Slots = nil
	for i := range n {
		v := eight[(i*5+i/8)%8]
		if i%8 == 4 && i > 8 {
			v.State, v.Fault, v.Step = provision.Fail, rejectFault, 2
		}
		v.Slot = i + 1
		s.Slots = append(s.Slots, v)
	}
	return s
}

// stopped is a line that may not go on, on a simulated TPM with demo boards.
func stopped() provision.Snapshot {
	s := mixed()
	s.Stopped, s.Simulated, s.Demo = stopFault, true, true
	s.Health[1].Level = provision.Stop
	s.Health[2] = provision.Health{Name: "CA 21" + nbsp + "d", Level: provision.Warn}
	return s
}

// overlong has outside text of absurd length everywhere.
func overlong() provision.Snapshot {
	s := mixed()
	long := "The quick brown fox jumps over the lazy dog and never, not even once, comes to the point of this sentence. "
	serial := "SN-0123456789-0123456789-0123456789-0123456789-0123456789-0123456"
	fault := &provision.Fault{Code: "F-REHEARSE-99", Sentence: long + long, Remedy: long + serial + long, Action: provision.Retry}
	s.Product, s.Order, s.Operator, s.Role = long, serial, long, long
	s.Done, s.Quantity = 123456789, 1234567890
	s.Counters.Passed, s.Counters.Failed, s.Counters.PerHour = 123456789, 987654321, 123456
	for i := range s.Slots {
		s.Slots[i].Serial, s.Slots[i].Note, s.Slots[i].Port = serial, long, "/dev/"+serial
		if s.Slots[i].Fault != nil {
			s.Slots[i].Fault = fault
		}
	}
	s.Health = append(s.Health, provision.Health{Name: long}, provision.Health{Name: long})
	return s
}

func pictures() map[string]provision.Snapshot {
	return map[string]provision.Snapshot{
		"mixed": mixed(), "idle": idle(), "running": runningAll(), "stopped": stopped(), "overlong": overlong(),
		"slots-1": many(1), "slots-2": many(2), "slots-3": many(3), "slots-4": many(4), "slots-6": many(6),
		"slots-12": many(12), "slots-16": many(16), "slots-24": many(24), "slots-32": many(32),
	}
}

// variants are the palettes to draw in: one is enough where nobody looks.
func variants() map[string]*palette {
	if *screens == "" {
		return map[string]*palette{"dark": darkPalette()}
	}
	return map[string]*palette{"light": lightPalette(), "dark": darkPalette()}
}

func TestScreensLine(t *testing.T) {
	for variant, p := range variants() {
		for name, snap := range pictures() {
			if *screens == "" && !slices.Contains([]string{"mixed", "overlong", "slots-32"}, name) {
				continue // drawing is slow, and these three have everything in them
			}
			t.Run(name+"-"+variant, func(t *testing.T) {
				keep(t, "line-"+name+"-"+variant, capture(t, p, snap, fyne.NewSize(1280, 800)))
			})
		}
	}
	for _, size := range []fyne.Size{{Width: 1024, Height: 640}, {Width: 1920, Height: 1080}} {
		keep(t, fmt.Sprintf("line-mixed-%.0fx%.0f", size.Width, size.Height), capture(t, lightPalette(), mixed(), size))
	}
}

// capture draws a snapshot as the line screen shows it in a window of a size,
// and complains when that does not suffice.
func capture(t *testing.T, p *palette, snap provision.Snapshot, size fyne.Size) image.Image {
	t.Helper()
	a := test.NewTempApp(t)
	a.Settings().SetTheme(newTheme(p))
	l := newLineScreen(p, testSteps, actions{})
	r := newRail(p, func(int) {})
	root := newBox(fyne.NewSize(900, 560), func(s fyne.Size) {
		place(r.box, 0, 0, railWidth, s.Height)
		place(l.box, railWidth, 0, s.Width-railWidth, s.Height)
	}, r.box, l.box)
	w := test.NewTempWindow(t, root)
	w.SetPadded(false)
	w.Resize(size)
	l.show(snap)
	r.show(snap)
	w.Canvas().Focus(l.scan)
	img := w.Canvas().Capture()
	if b := img.Bounds(); b.Dx() != int(size.Width) || b.Dy() != int(size.Height) {
		t.Errorf("the picture is %v, want %v: something grew", b, size)
	}
	return img
}

func TestScreensPanel(t *testing.T) {
	a := test.NewTempApp(t)
	for variant, p := range variants() {
		a.Settings().SetTheme(newTheme(p))
		l := newLineScreen(p, testSteps, actions{})
		w := test.NewTempWindow(t, l.box)
		w.SetPadded(false)
		w.Resize(fyne.NewSize(1280, 800))
		l.show(mixed())
		v := l.last.Slots[1]
		newPrompt(p, w.Canvas(), "Slot 2: FAIL", v.Fault.Sentence+" "+v.Fault.Remedy, facts(v, provision.Steps()), func() {},
			answer{name: "no", word: "Close"}, answer{name: "yes", word: "RETRY", strong: true})
		img := w.Canvas().Capture()
		if b := img.Bounds(); b.Dx() != 1280 || b.Dy() != 800 {
			t.Errorf("%s: the picture is %v: something grew", variant, b)
		}
		keep(t, "panel-"+variant, img)
	}
}

// keep writes a picture where it was asked for.
func keep(t *testing.T, name string, img image.Image) {
	t.Helper()
	if *screens == "" {
		return
	}
	if err := os.MkdirAll(*screens, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(*screens, name+".png"))
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
