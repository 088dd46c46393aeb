// SPDX-License-Identifier: Apache-2.0

package enroll

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// What a rehearsal says in MQTT 3.1.1 (OASIS Standard, 29 October 2014) is two
// packets out and four bytes in. They are written by hand: a client library
// brings sessions, queues and reconnects, and is heavier than this file.
const (
	packetConnect    = 0x10 // section 3.1
	packetConnack    = 0x20 // section 3.2
	packetDisconnect = 0xe0 // section 3.14

	protocolLevel = 4    // 3.1.1
	cleanSession  = 0x02 // the only connect flag: no user name, no password, no will
	keepAlive     = 30   // s; the connection lives for less
)

// connackLimit is how long a broker may take over a CONNECT: some ask others
// about a client.
const connackLimit = 15 * time.Second

// refusals are the return codes of a CONNACK (table 3.1) in words.
var refusals = [...]string{
	1: "it does not speak MQTT 3.1.1",
	2: "the client id is not allowed",
	3: "the MQTT service is unavailable",
	4: "user name or password is wrong",
	5: "the client is not authorised",
}

// mqttConnect introduces a client to the broker behind conn, waits until the
// broker accepts it, and takes leave. In TLS 1.3 this is also where a refused
// certificate shows: as an alert in the place of the CONNACK.
func mqttConnect(conn net.Conn, clientID string) error {
	connect, err := appendConnect(nil, clientID)
	if err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(connackLimit)); err != nil {
		return err
	}
	// A broker that refuses may be gone before the CONNECT is out; what it said
	// before can still be read, and says more than the failed write.
	_, sent := conn.Write(connect)
	if err := readConnack(conn); err != nil {
		return refusal(err)
	}
	if sent != nil {
		return fmt.Errorf("send CONNECT: %w", sent)
	}
	if _, err := conn.Write([]byte{packetDisconnect, 0}); err != nil {
		return fmt.Errorf("send DISCONNECT: %w", err)
	}
	return nil
}

// refusal says what the broker did in the place of a good CONNACK.
func refusal(err error) error {
	var broken *connackError
	switch {
	case errors.As(err, &broken):
		return err
	case isAlert(err):
		return fmt.Errorf("the broker refuses the certificate: %w", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the broker does not answer CONNECT within %v: %w", connackLimit, err)
	}
	return fmt.Errorf("the broker ends the connection and does not answer CONNECT: %w", err)
}

// appendConnect appends a CONNECT with a clean session, without user name,
// password and will. The client id is 1 to 65535 bytes of UTF-8 without control
// characters (MQTT-1.5.3); brokers need to take only 23 letters and digits.
func appendConnect(dst []byte, clientID string) ([]byte, error) {
	control := func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }
	if n := len(clientID); n == 0 || n > 0xffff || !utf8.ValidString(clientID) || strings.ContainsFunc(clientID, control) {
		return nil, fmt.Errorf("the common name %.80q is no MQTT client id", clientID)
	}
	body := binary.BigEndian.AppendUint16(nil, uint16(len("MQTT")))
	body = append(append(body, "MQTT"...), protocolLevel, cleanSession)
	body = binary.BigEndian.AppendUint16(body, keepAlive)
	body = binary.BigEndian.AppendUint16(body, uint16(len(clientID)))
	body = append(body, clientID...)
	// The remaining length (section 2.2.3) is what Go calls an Uvarint.
	return append(binary.AppendUvarint(append(dst, packetConnect), uint64(len(body))), body...), nil
}

// A connackError is an answer to CONNECT that is not the acceptance.
type connackError struct{ why string }

func (e *connackError) Error() string { return e.why }

// readConnack reads exactly the four bytes of a CONNACK, whatever follows, and
// returns nil when they accept a client with a clean session. Errors are
// *connackError, or those of r.
func readConnack(r io.Reader) error {
	var p [4]byte
	if _, err := io.ReadFull(r, p[:]); err != nil {
		return err
	}
	code := p[3]
	switch {
	case p[0] != packetConnack || p[1] != 2:
		return &connackError{fmt.Sprintf("the server does not speak MQTT 3.1.1: % x is no CONNACK", p)}
	case p[2] != 0: // a session cannot be present where a clean one was asked for (MQTT-3.2.2-1, -4)
		return &connackError{fmt.Sprintf("the broker's CONNACK makes no sense: flags %02x", p[2])}
	case code == 0:
		return nil
	case int(code) < len(refusals):
		return &connackError{fmt.Sprintf("the broker refuses the client with return code %d: %s", code, refusals[code])}
	}
	return &connackError{fmt.Sprintf("the broker refuses the client with return code %d, which MQTT 3.1.1 does not know", code)}
}
