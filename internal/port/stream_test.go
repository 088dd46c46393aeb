// SPDX-License-Identifier: Apache-2.0

package port_test

import (
	"provisioning.example/station/internal/port"
	"provisioning.example/station/internal/smp"
)

var _ smp.Stream = (*port.Port)(nil)
