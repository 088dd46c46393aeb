// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package port

import (
	"context"
	"errors"
)

// listen has nothing to listen to: Watch looks at the list instead.
func listen(context.Context) (<-chan Event, error) {
	return nil, errors.New("this system has no socket of device events")
}
