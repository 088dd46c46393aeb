// SPDX-License-Identifier: Apache-2.0

package enroll

import (
	"context"
	"net"
)

// What the tests of package enroll_test see of the inside.
var (
	RehearseWith  = rehearse
	ParseInfo     = parseInfo
	AppendConnect = appendConnect
	ReadConnack   = readConnack
)

// ConnackLimit is how long a broker may take over a CONNECT.
const ConnackLimit = connackLimit

// Through has the rehearsal reach its target over this connection.
func (r *Rehearsal) Through(conn net.Conn) {
	r.dial = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
}
