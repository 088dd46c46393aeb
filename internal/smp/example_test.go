// SPDX-License-Identifier: Apache-2.0

package smp_test

import (
	"fmt"

	"provisioning.example/station/internal/smp"
)

// The example of the protocol: info with sequence 1.
func ExampleAppendPacket() {
	payload, err := smp.Marshal(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	m := smp.Message{Op: smp.OpRead, Version: smp.Version, Group: 64, Seq: 1, Payload: payload}
	fmt.Printf("%q\n", smp.AppendPacket(nil, m.Append(nil), true))
	// Output: "\x06\tAAsIAAABAEABAKCAGQ==\n"
}
