// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"context"
	"errors"
	"time"

	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/windowstpm"
)

// tbsSource is the TPM base services of Windows, which manage sessions and
// objects among all programs.
type tbsSource struct{}

func newTBS(arg string) (source, error) {
	if arg != "" {
		return nil, errors.New("tbs takes nothing after it")
	}
	return tbsSource{}, nil
}

func (tbsSource) open(context.Context, int) (link, error) {
	t, err := windowstpm.Open()
	if err != nil {
		return nil, err
	}
	return tbsLink{t}, nil
}

func (tbsSource) owned() bool  { return false }
func (tbsSource) fresh() bool  { return false }
func (tbsSource) close() error { return nil }

// tbsLink has no deadline: the services end a command by themselves.
type tbsLink struct{ tpm transport.TPMCloser }

func (l tbsLink) Send(command []byte, _ time.Duration) ([]byte, error) {
	answer, err := l.tpm.Send(command)
	if err != nil {
		return nil, err
	}
	return wholeAnswer(answer)
}

func (l tbsLink) Close() error { return l.tpm.Close() }
