// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/google/go-tpm/tpm2"
)

const (
	headerSize = 10 // tag, size, response code (Part 1, section 18.2)
	// maxAnswer is the longest answer taken. The PC client profile allows 4096.
	maxAnswer = 4096
)

// source opens links to one TPM.
type source interface {
	// open gives a fresh link and starts what lies behind it if that has
	// ended. failures counts the links that failed in a row before.
	open(ctx context.Context, failures int) (link, error)
	// owned tells whether the TPM is ours alone, to be shut down at Close.
	owned() bool
	// fresh tells whether open has just made the TPM.
	fresh() bool
	// close ends what open started.
	close() error
}

// link carries one command at a time. After an error it is out of step and must
// be closed.
type link interface {
	Send(command []byte, limit time.Duration) ([]byte, error)
	Close() error
}

// readAnswer reads one answer of the TPM: a header that carries the length,
// then the rest.
func readAnswer(r io.Reader) ([]byte, error) {
	answer := make([]byte, headerSize, 256)
	if _, err := io.ReadFull(r, answer); err != nil {
		return nil, fmt.Errorf("read the header of an answer: %w", err)
	}
	size, err := answerSize(answer)
	if err != nil {
		return nil, err
	}
	answer = append(answer, make([]byte, size-headerSize)...)
	if _, err := io.ReadFull(r, answer[headerSize:]); err != nil {
		return nil, fmt.Errorf("read an answer of %d bytes: %w", size, err)
	}
	return answer, nil
}

// answerSize checks the header of an answer and returns the length it tells.
func answerSize(header []byte) (int, error) {
	if len(header) < headerSize {
		return 0, fmt.Errorf("an answer of %d bytes is shorter than its header", len(header))
	}
	switch tag := tpm2.TPMST(binary.BigEndian.Uint16(header)); tag {
	case tpm2.TPMSTNoSessions, tpm2.TPMSTSessions, tpm2.TPMSTRspCommand:
	default:
		return 0, fmt.Errorf("an answer begins with %#04x: this is not a TPM 2.0", uint16(tag))
	}
	size := binary.BigEndian.Uint32(header[2:])
	if size < headerSize || size > maxAnswer {
		return 0, fmt.Errorf("an answer claims a length of %d bytes, allowed are %d to %d", size, headerSize, maxAnswer)
	}
	return int(size), nil
}

// wholeAnswer checks an answer that came in one piece.
func wholeAnswer(answer []byte) ([]byte, error) {
	size, err := answerSize(answer)
	if err != nil {
		return nil, err
	}
	if size != len(answer) {
		return nil, fmt.Errorf("an answer claims %d bytes and has %d", size, len(answer))
	}
	return answer, nil
}

// responseCode reads the code of an answer that passed answerSize.
func responseCode(answer []byte) tpm2.TPMRC {
	return tpm2.TPMRC(binary.BigEndian.Uint32(answer[6:]))
}

// socket is a link over a stream that carries raw commands and answers.
type socket struct{ net.Conn }

func (s socket) Send(command []byte, limit time.Duration) ([]byte, error) {
	if err := s.SetDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	if _, err := s.Write(command); err != nil {
		return nil, fmt.Errorf("send a command: %w", err)
	}
	return readAnswer(s)
}

// socketSource is a TPM behind a Unix or TCP socket that somebody else serves.
type socketSource struct{ network, address string }

func (s socketSource) open(ctx context.Context, _ int) (link, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil, err
	}
	return socket{conn}, nil
}

func (socketSource) owned() bool  { return false }
func (socketSource) fresh() bool  { return false }
func (socketSource) close() error { return nil }
