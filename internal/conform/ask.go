// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"context"
	"errors"
	"fmt"
	"time"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/smp"
)

// Commands of the enrollment group, and of MCUmgr's OS group.
const (
	cmdInfo = iota
	cmdKeygen
	cmdCSR
	cmdGet
	cmdPut
	cmdCommit
	cmdProve
	cmdTLSSign
	cmdLock
	cmdChallenge
	cmdRework

	groupOS   = 0
	cmdEcho   = 0
	cmdReset  = 5
	cmdParams = 6
)

// Plain codes of the transport.
const (
	plainUnknown = 8
	plainTooOld  = 12
)

// Timeouts of one try (protocol, section 3), and the pace of asking again.
const (
	infoTimeout  = 500 * time.Millisecond
	putTimeout   = 5 * time.Second
	keyTimeout   = 10 * time.Second
	otherTimeout = 2 * time.Second
	askAgain     = 250 * time.Millisecond
	bootTime     = 10 * time.Second
	busyLimit    = 120 * time.Second
	tries        = 3
)

// A call is one request. Zero fields mean the enrollment group and {}.
type call struct {
	cmd   uint8
	write bool
	group *uint16
	v0    bool           // in a header of version 0
	body  map[string]any // encoded in definite lengths
	raw   []byte         // the payload as it is, in place of body; may be empty
}

// osCall returns a call of MCUmgr's OS group.
func osCall(cmd uint8, write bool, body map[string]any) call {
	return call{cmd: cmd, write: write, group: new(uint16), body: body}
}

func (b *bench) message(c call) (smp.Message, error) {
	m := smp.Message{Version: smp.Version, Group: b.group(), Seq: b.wire.next(), Cmd: c.cmd, Payload: c.raw}
	if c.raw == nil {
		var err error
		body := c.body
		if body == nil {
			body = map[string]any{}
		}
		if m.Payload, err = smp.Marshal(body); err != nil {
			return m, err
		}
	}
	if c.write {
		m.Op = smp.OpWrite
	}
	if c.group != nil {
		m.Group = *c.group
	}
	if c.v0 {
		m.Version = 0
	}
	return m, nil
}

func (b *bench) timeout(c call) time.Duration {
	if c.group != nil {
		return otherTimeout
	}
	switch c.cmd {
	case cmdInfo:
		return infoTimeout
	case cmdPut:
		return putTimeout
	case cmdGet, cmdChallenge:
		return otherTimeout
	}
	return keyTimeout
}

// A reply is an answer, and what it says of success.
type reply struct {
	msg smp.Message
	verdict
	bad error // why the payload cannot be read
}

type verdict struct {
	RC  *int `cbor:"rc"`
	Err *struct {
		Group uint16 `cbor:"group"`
		RC    int    `cbor:"rc"`
	} `cbor:"err"`
	Off *uint64 `cbor:"off"`
	Obj *string `cbor:"obj"`
}

func parseReply(m smp.Message) reply {
	r := reply{msg: m}
	if r.bad = smp.Unmarshal(m.Payload, &r.verdict); r.bad != nil {
		r.verdict = verdict{}
	}
	return r
}

func (r reply) success() bool {
	return r.bad == nil && (r.RC == nil || *r.RC == 0) && (r.Err == nil || r.Err.RC == 0)
}

func (r reply) plain(rc int) bool { return r.bad == nil && r.Err == nil && r.RC != nil && *r.RC == rc }

func (r reply) refused(group uint16, rc int) bool {
	return r.bad == nil && r.Err != nil && r.Err.Group == group && r.Err.RC == rc
}

func (r reply) String() string {
	var s string
	switch {
	case r.bad != nil:
		return fmt.Sprintf("a payload that cannot be read: %v", r.bad)
	case r.Err != nil && r.Err.RC != 0:
		s = fmt.Sprintf("rc %d of group %d", r.Err.RC, r.Err.Group)
	case r.RC != nil && *r.RC != 0:
		s = fmt.Sprintf("plain rc %d", *r.RC)
	default:
		return "success"
	}
	if r.Off != nil {
		s += fmt.Sprintf(", off %d", *r.Off)
	}
	if r.Obj != nil {
		s += fmt.Sprintf(", obj %q", *r.Obj)
	}
	return s
}

// ask sends a call up to three times, and again while the board is busy.
// Errors: errSilent, errFlood, a *smp.LinkError, the cause of ctx.
func (b *bench) ask(ctx context.Context, c call) (reply, error) {
	patience, cancel := context.WithTimeout(ctx, busyLimit)
	defer cancel()
	for {
		m, err := b.message(c)
		if err != nil {
			return reply{}, err
		}
		r, err := b.tryMessage(ctx, m, b.timeout(c))
		if err != nil || !r.refused(b.group(), enroll.RCBusy) {
			return r, err
		}
		if pause(patience, askAgain) != nil {
			return r, context.Cause(ctx) // still busy: the caller sees rc 13
		}
	}
}

// tryMessage sends a message up to three times with its sequence number.
func (b *bench) tryMessage(ctx context.Context, m smp.Message, timeout time.Duration) (reply, error) {
	raw := frame(m.Append(nil))
	var err error
	for range tries {
		var a *smp.Message
		a, _, err = b.wire.exchange(ctx, raw, timeout, func(got smp.Message) bool { return answers(got, m) })
		if err == nil {
			return parseReply(*a), nil
		}
		if !errors.Is(err, errSilent) {
			break
		}
	}
	return reply{}, err
}

// A wrongError is what a board does against the protocol.
type wrongError struct{ step, expected, got string }

func (e *wrongError) Error() string {
	return fmt.Sprintf("%s: expected %s, got %s", e.step, e.expected, e.got)
}

func wrong(step, expected, format string, args ...any) error {
	return &wrongError{step, expected, fmt.Sprintf(format, args...)}
}

// An uncheckedError says why a check could not be made.
type uncheckedError struct {
	reason  string
	outside bool // the check is about something that this board or run does not have
}

func (e *uncheckedError) Error() string { return e.reason }

func unchecked(format string, args ...any) error {
	return &uncheckedError{reason: fmt.Sprintf(format, args...)}
}

func outside(format string, args ...any) error {
	return &uncheckedError{reason: fmt.Sprintf(format, args...), outside: true}
}

// told turns what is the board's doing into a wrongError of step.
func told(step, expected string, err error) error {
	if errors.Is(err, errSilent) {
		return wrong(step, expected, "%v in %d tries", err, tries)
	}
	if errors.Is(err, errFlood) {
		return wrong(step, expected, "%v", err)
	}
	return err
}

// accept asks and demands success; out takes the answer.
func (b *bench) accept(ctx context.Context, step string, c call, out any) error {
	r, err := b.ask(ctx, c)
	if err != nil {
		return told(step, "success", err)
	}
	if !r.success() {
		return wrong(step, "success", "%v", r)
	}
	if out == nil {
		return nil
	}
	if err := smp.Unmarshal(r.msg.Payload, out); err != nil {
		return wrong(step, "the answer of the protocol's table", "%v", err)
	}
	return nil
}

// refuse asks and demands a code of the enrollment group.
func (b *bench) refuse(ctx context.Context, step string, c call, rc int) error {
	_, err := b.refusal(ctx, step, c, rc)
	return err
}

func (b *bench) refusal(ctx context.Context, step string, c call, rc int) (reply, error) {
	expected := fmt.Sprintf("rc %d of group %d", rc, b.group())
	r, err := b.ask(ctx, c)
	if err != nil {
		return r, told(step, expected, err)
	}
	if !r.refused(b.group(), rc) {
		return r, wrong(step, expected, "%v", r)
	}
	return r, nil
}

// refusePlain asks and demands a plain code of the transport.
func (b *bench) refusePlain(ctx context.Context, step string, c call, rc int) error {
	expected := fmt.Sprintf("plain rc %d", rc)
	r, err := b.ask(ctx, c)
	if err != nil {
		return told(step, expected, err)
	}
	if !r.plain(rc) {
		return wrong(step, expected, "%v", r)
	}
	return nil
}

// A refusalStep is one row of a list of things a board must refuse.
type refusalStep struct {
	step string
	call call
	rc   int
}

func (b *bench) refuseAll(ctx context.Context, steps []refusalStep) error {
	for _, s := range steps {
		if err := b.refuse(ctx, s.step, s.call, s.rc); err != nil {
			return err
		}
	}
	return nil
}
