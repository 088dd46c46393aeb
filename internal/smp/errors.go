// SPDX-License-Identifier: Apache-2.0

package smp

import (
	"errors"
	"fmt"
)

// What Do can meet, to be told apart with errors.Is.
var (
	// ErrTimeout: no answer came in any try.
	ErrTimeout = errors.New("the board does not answer")
	// ErrBabble: more than MaxConsole bytes of text came before the answer.
	ErrBabble = errors.New("the board floods its console")
	// ErrTooLarge: the request does not fit the board's buffer; nothing was sent.
	ErrTooLarge = errors.New("the request is larger than the board's buffer")
	// ErrAnswer: an answer came whole, but breaks the format or a limit.
	ErrAnswer = errors.New("the board's answer is malformed")
)

// A LinkError says that the stream itself failed: the board was unplugged, the
// port was closed or does not take bytes. The client is of no further use.
type LinkError struct{ Err error }

func (e *LinkError) Error() string { return "serial link lost: " + e.Err.Error() }

// Unwrap returns the stream's own error.
func (e *LinkError) Unwrap() error { return e.Err }

// An RCError is a refusal by the board.
type RCError struct {
	Group int     // the group whose table RC is from, -1 for a plain rc of the transport
	RC    int     // never 0
	Rsn   string  // the board's own words, "" when it gave none
	Off   *uint64 // top-level "off" of the answer, where it stands
	Obj   string  // top-level "obj" of the answer
}

func (e *RCError) Error() string {
	s := fmt.Sprintf("the board refuses with rc %d", e.RC)
	if e.Group >= 0 {
		s = fmt.Sprintf("the board refuses with rc %d of group %d", e.RC, e.Group)
	}
	if e.Obj != "" {
		s += fmt.Sprintf(" for %q", e.Obj)
	}
	if e.Rsn != "" {
		s += fmt.Sprintf(": %q", e.Rsn)
	}
	return s
}

// A verdict is the part of an answer that says whether it is a refusal. Both
// forms may stand in one map; a code of 0 means success.
type verdict struct {
	RC  *int `cbor:"rc"`
	Err *struct {
		Group uint16 `cbor:"group"`
		RC    int    `cbor:"rc"`
	} `cbor:"err"`
}

// refusal returns what an answer's payload says in refusal, nil when it reports
// success.
func refusal(payload []byte) (*RCError, error) {
	var v verdict
	if err := Unmarshal(payload, &v); err != nil {
		return nil, err
	}
	e := &RCError{Group: -1}
	switch {
	case v.Err != nil && v.Err.RC != 0:
		e.Group, e.RC = int(v.Err.Group), v.Err.RC
	case v.RC != nil && *v.RC != 0:
		e.RC = *v.RC
	default:
		return nil, nil
	}
	var d struct {
		Rsn string  `cbor:"rsn"`
		Off *uint64 `cbor:"off"`
		Obj string  `cbor:"obj"`
	}
	// The code counts more than its trimmings: those that do not fit stay out.
	if err := Unmarshal(payload, &d); err == nil {
		e.Rsn, e.Off, e.Obj = d.Rsn, d.Off, d.Obj
	}
	return e, nil
}
