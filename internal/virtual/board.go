// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"
)

// States of a board, as in the protocol.
const (
	stateBlank byte = iota
	stateKeyed
	stateInstalled
	stateLocked
)

// Config says what a board is. The zero value of a field means its default.
type Config struct {
	Model, HW, FW string            // default "virtual-board", "1", "1.0.0"
	UID           []byte            // 1-32 bytes; there is no default
	Root          *x509.Certificate // pinned by the firmware; nil: none
	Prot          uint8             // protection bits 0-3
	Fault         string            // a name of Faults(), "" for a sound board
	Rand          io.Reader         // boot IDs, nonces, keys; default crypto/rand
	Algs          []string          // keys it can make; default ES256, ES384, EdDSA; RS256 too where named
	Verify        []string          // signatures it can check; default all four
	Group         uint16            // of enrollment; default 64
	Chunk         int               // bytes of an object per put or get; default 512
	Max           int               // largest object; default 8192
	Buffer        int               // MCUmgr buffer; default what Chunk needs, at least 512
	Compute       time.Duration     // what a key operation takes; 0: nothing
	SlotSize      int               // bytes of an image slot; default 256 KiB
}

// A Board is one virtual board. Its methods may be called at any time. A board
// used inside a testing/synctest bubble must be made in it.
type Board struct {
	cfg   Config
	fault fault
	quit  chan struct{} // closed by Close
	work  sync.WaitGroup

	mu     sync.Mutex // guards all below; never held while waiting
	uid    []byte
	flash  flash
	images images
	ram    ram
	line   *End        // the board's end of the present cable, or nil
	reset  *time.Timer // a reset that was answered and is still to come
	fresh  bool        // booted since the last cable: the boot log is still to be sent
	closed bool
	tally  map[uint32]int // requests seen, by group and command
	misery misery
}

// flash is what survives a power cut.
type flash struct {
	state   byte
	alg     *algorithm
	key     crypto.Signer
	spki    []byte // DER
	token   [32]byte
	objects map[string][]byte
}

// ram is what does not.
type ram struct {
	boot     [16]byte
	ready    time.Time // requests before it find a board that still boots
	csr      []byte
	csrOf    csrRequest
	staging  map[string]*staged
	nonce    *[32]byte // of challenge
	reworked []byte    // the signature that unlocked this board
	upload   *upload   // an image that is coming in
}

// New returns a board that is switched on and has no cable plugged in.
func New(cfg Config) (*Board, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("make virtual board: %w", err)
	}
	b := &Board{
		cfg: cfg, quit: make(chan struct{}), uid: slices.Clone(cfg.UID),
		flash: flash{objects: map[string][]byte{}}, tally: map[uint32]int{},
	}
	if cfg.Fault != "" {
		i := slices.IndexFunc(faults, func(f fault) bool { return f.Name == cfg.Fault })
		if i < 0 {
			return nil, fmt.Errorf("make virtual board: there is no fault called %q", cfg.Fault)
		}
		b.fault = faults[i]
	}
	if b.fault.setup != nil {
		b.fault.setup(&b.cfg)
	}
	b.images = images{confirmed: true}
	b.images.slots[0] = MakeImage(ParseVersion(b.cfg.FW), []byte(b.cfg.Model+" "+b.cfg.HW))
	b.boot()
	return b, nil
}

// complete fills in the defaults and checks the rest.
func (c *Config) complete() error {
	for _, d := range []struct {
		field *string
		value string
	}{{&c.Model, "virtual-board"}, {&c.HW, "1"}, {&c.FW, "1.0.0"}} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Algs == nil {
		c.Algs = []string{"ES256", "ES384", "EdDSA"}
	}
	if c.Verify == nil {
		c.Verify = []string{"ES256", "ES384", "EdDSA", "RS256"}
	}
	c.Group = defaultTo(c.Group, 64)
	c.Chunk = defaultTo(c.Chunk, 512)
	c.Max = defaultTo(c.Max, 8192)
	c.SlotSize = defaultTo(c.SlotSize, 256<<10)
	c.Buffer = defaultTo(c.Buffer, max(512, c.Chunk+besidesData))
	for _, name := range c.Algs {
		if algorithmByName(name) == nil {
			return fmt.Errorf("no virtual board makes keys for %q", name)
		}
	}
	switch {
	case len(c.UID) < 1 || len(c.UID) > 32:
		return fmt.Errorf("the uid has %d bytes, allowed are 1 to 32", len(c.UID))
	case c.Prot > 15:
		return fmt.Errorf("protection bits %#x: bits 4 to 7 must be zero", c.Prot)
	case c.Chunk < 64 || c.Chunk > 2048:
		return fmt.Errorf("chunk of %d bytes, allowed are 64 to 2048", c.Chunk)
	case c.Max < 2048:
		return fmt.Errorf("largest object of %d bytes, at least 2048 are needed", c.Max)
	case c.Buffer < 512 || c.Buffer > 8192:
		return fmt.Errorf("buffer of %d bytes, allowed are 512 to 8192", c.Buffer)
	case c.Group < 64:
		return fmt.Errorf("group %d is not free for users, use 64 or above", c.Group)
	case c.Root != nil && !c.Root.IsCA:
		return errors.New("the pinned root is no certificate authority")
	}
	return nil
}

func defaultTo[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

// Dial plugs a cable in and returns the station's end of it. A board has one
// connector: a cable that is still plugged in is pulled first. State survives;
// a board that booted since the last cable sends its boot log first.
func (b *Board) Dial() *End {
	station, board := Line()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		board.Close()
		return station
	}
	if b.line != nil {
		b.line.Close()
	}
	b.line = board
	c := &conn{board: b, end: board}
	if b.fresh && !b.fault.mute {
		c.write(b.bootLog()) // fits the new line's buffer
	}
	b.fresh = false
	b.work.Go(c.serve)
	if b.fault.plugged != nil {
		b.work.Go(func() { b.fault.plugged(c) })
	}
	return station
}

// Close takes the board away: its cable breaks and its goroutines end.
func (b *Board) Close() {
	b.mu.Lock()
	if !b.closed {
		b.closed = true
		close(b.quit)
	}
	if b.line != nil {
		b.line.Close()
	}
	if b.reset != nil && b.reset.Stop() {
		b.work.Done()
	}
	b.reset = nil
	b.mu.Unlock()
	b.work.Wait()
}

// PowerCut takes the power away and gives it back: what was in RAM is lost,
// what was stored is kept, the cable stays.
func (b *Board) PowerCut() {
	b.mu.Lock()
	b.boot()
	end, text := b.line, b.bootLog()
	if end != nil {
		b.fresh = false
	}
	mute := b.fault.mute
	b.mu.Unlock()
	if end != nil && !mute {
		// A cable that nobody reads, or that was pulled, loses the boot log.
		_, _ = end.Write(text)
	}
}

// boot forgets what was in RAM, a reset that was to come included. The caller
// holds mu, or is New.
func (b *Board) boot() {
	if b.reset != nil && b.reset.Stop() {
		b.work.Done()
	}
	b.reset = nil
	b.ram = ram{staging: map[string]*staged{}, ready: time.Now().Add(b.fault.bootTime)}
	if b.images.boot(b.fault.image) {
		b.ram.ready = b.ram.ready.Add(b.fault.swapTime)
	}
	b.random(b.ram.boot[:])
	b.fresh = true
	if b.fault.booted != nil {
		b.fault.booted(b)
	}
}

// random fills p. A source of randomness that fails leaves zeros in boot IDs
// and nonces; keys are not made with it.
func (b *Board) random(p []byte) { _, _ = io.ReadFull(b.cfg.Rand, p) }

// bootLog is what the board prints before its first prompt.
func (b *Board) bootLog() []byte {
	return fmt.Appendf(nil, "\r\n*** Booting %s rev %s, firmware %s ***\r\n"+
		"[00:00:00.002] <inf> flash: two copies, valid\r\n[00:00:00.009] <inf> enroll: state %d\r\n%s",
		b.cfg.Model, b.cfg.HW, b.firmware(), b.flash.state, prompt)
}

const prompt = "uart:~$ "

// bootID is random at every boot.
func (b *Board) bootID() [16]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ram.boot
}

// State returns the state as storage holds it: 0 blank, 1 keyed, 2 installed,
// 3 locked.
func (b *Board) State() uint8 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flash.state
}

// SPKI returns the DER SubjectPublicKeyInfo of the present key, nil without one.
func (b *Board) SPKI() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.flash.spki)
}

// Chain returns the stored chain, DER, leaf first; nil without one.
func (b *Board) Chain() []byte { return b.Object("chain") }

// Object returns a stored object: "chain", "anchors" or "rework".
func (b *Board) Object(name string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.flash.objects[name])
}

// UID returns the board's identity.
func (b *Board) UID() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.uid)
}

// digest returns the SHA-256 of a stored object, nil where it is absent.
func (f *flash) digest(object string) *[32]byte {
	data, ok := f.objects[object]
	if !ok {
		return nil
	}
	d := sha256.Sum256(data)
	return &d
}

// with returns a copy of f, to be changed and stored as a whole.
func (f flash) with(change func(*flash)) flash {
	f.objects = maps.Clone(f.objects)
	change(&f)
	return f
}
