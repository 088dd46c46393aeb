// SPDX-License-Identifier: Apache-2.0

package enroll

import (
	"errors"
	"fmt"

	"provisioning.example/station/internal/smp"
)

// Errors that a caller tells apart.
var (
	// ErrNoAgent: the board speaks SMP, but has no enrollment agent.
	ErrNoAgent = errors.New("the board has no enrollment agent; put the right firmware on it")
	// ErrOtherBoard: after a silence, a reset or a new connection, another
	// board, or another key, is there than the one expected.
	ErrOtherBoard = errors.New("another board answers than the one this run began with")
	// ErrAnswer: an answer is well-formed, but makes no sense.
	ErrAnswer = errors.New("the board's answer makes no sense")
	// ErrReadBack: an object reads back with another digest than it should.
	ErrReadBack = errors.New("what the board stores is not what was sent")
	// ErrProof: a signature of the board does not verify.
	ErrProof = errors.New("the board's proof does not verify")
	// ErrBusy: the board still said busy after two minutes.
	ErrBusy = errors.New("the board stays busy")
	// ErrNotReset: the board answered a reset, but did not restart.
	ErrNotReset = errors.New("the board did not restart")
	// ErrRehearsal: the server did not accept the board in the rehearsed TLS
	// handshake, or behind it.
	ErrRehearsal = errors.New("the rehearsal with the board's key failed")
	// ErrTarget: the server that the product names cannot be reached, or is not
	// one to rehearse with.
	ErrTarget = errors.New("the product's server cannot be reached or rehearsed with")
)

// Codes of the enrollment group (smp.RCError with the session's group).
const (
	RCMalformed     = 1  // not the map this command takes, or a size out of range
	RCWrongState    = 2  // not allowed in this state
	RCAlgorithm     = 3  // key or signature algorithm not supported
	RCOffset        = 4  // the chunk does not continue
	RCDigest        = 5  // SHA-256 differs
	RCChain         = 6  // does not parse, or a link does not hold
	RCKeyMismatch   = 7  // the leaf is not for this key
	RCUntrusted     = 8  // does not end at the pinned root
	RCStorage       = 9  // non-volatile write failed
	RCEntropy       = 10 // random source failed its health test
	RCLocked        = 11 // locked
	RCNotAuthorised = 12 // rework signature wrong, or no rework key
	RCBusy          = 13 // still working
)

// rcUnknown is the transport's code for no such group or command.
const rcUnknown = 8

// meanings are the codes in words for people.
var meanings = [...]string{
	RCMalformed:     "the request is malformed for it",
	RCWrongState:    "it is not in the state for that",
	RCAlgorithm:     "it does not support the algorithm",
	RCOffset:        "the data does not continue where it stands",
	RCDigest:        "the digest differs",
	RCChain:         "the certificates do not parse or do not belong together",
	RCKeyMismatch:   "the certificate is not for its key",
	RCUntrusted:     "the chain does not end at the root in its firmware",
	RCStorage:       "its storage failed",
	RCEntropy:       "its random source failed",
	RCLocked:        "it is locked",
	RCNotAuthorised: "the rework signature is wrong, or it stores no rework key",
	RCBusy:          "it is busy",
}

// named adds to err what was asked and, for a code of the enrollment group,
// what it means.
func (s *Session) named(what string, err error) error {
	if err == nil {
		return nil
	}
	if rc := s.rc(err); rc > 0 && rc < len(meanings) {
		return fmt.Errorf("%s: %s: %w", what, meanings[rc], err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// rc returns the enrollment group's code in err, 0 when there is none.
func (s *Session) rc(err error) int {
	var refused *smp.RCError
	if errors.As(err, &refused) && refused.Group == int(s.group) {
		return refused.RC
	}
	return 0
}

// senseless reports an answer that breaks the protocol.
func senseless(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrAnswer, fmt.Sprintf(format, args...))
}
