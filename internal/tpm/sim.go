// SPDX-License-Identifier: Apache-2.0

//go:build cgo && !nosim

package tpm

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/go-tpm-tools/simulator"
	"github.com/google/go-tpm/tpm2"
)

// simulatorTaken guards the one simulator of the process: its C code keeps the
// TPM in global variables, and simulator.Get would wait for ever for a second.
var simulatorTaken atomic.Bool

// simSource is the TPM reference implementation inside this process.
type simSource struct {
	file    *stateFile // nil: forgotten at close
	sim     *simulator.Simulator
	newborn bool
}

func newSim(file string) (source, error) {
	if file == "" {
		return &simSource{}, nil
	}
	f, err := newStateFile(file)
	if err != nil {
		return nil, err
	}
	return &simSource{file: f}, nil
}

func (s *simSource) open(context.Context, int) (link, error) {
	if err := s.power(); err != nil {
		return nil, err
	}
	if s.file == nil {
		s.newborn = true
		return simLink{s}, nil
	}
	image, err := s.file.load()
	if err != nil {
		return nil, err
	}
	s.newborn = image == nil
	if s.newborn {
		return simLink{s}, s.file.save(readNV())
	}
	if err := writeNV(image); err != nil {
		return nil, fmt.Errorf("state file %s: %w", s.file.path, err)
	}
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(simTransport{s.sim}); err != nil {
		return nil, fmt.Errorf("start the simulator from %s: %w", s.file.path, err)
	}
	return simLink{s}, nil
}

// power switches the simulator on, from scratch if it was on.
func (s *simSource) power() error {
	if s.sim != nil {
		if err := s.sim.Close(); err != nil {
			return fmt.Errorf("stop the simulator: %w", err)
		}
		s.sim = nil
	} else if !simulatorTaken.CompareAndSwap(false, true) {
		return errors.New("a process has only one TPM simulator, and it is in use: close it first, or use swtpm:DIR")
	}
	sim, err := simulator.Get()
	if err != nil {
		simulatorTaken.Store(false)
		return fmt.Errorf("start the simulator: %w", err)
	}
	s.sim = sim
	return nil
}

func (s *simSource) owned() bool { return true }
func (s *simSource) fresh() bool { return s.newborn }

func (s *simSource) close() error {
	var errs []error
	if s.sim != nil {
		errs = append(errs, s.sim.Close())
		s.sim = nil
		simulatorTaken.Store(false)
	}
	if s.file != nil {
		errs = append(errs, s.file.close())
	}
	return errors.Join(errs...)
}

// simTransport runs one command in the simulator.
type simTransport struct{ sim *simulator.Simulator }

func (t simTransport) Send(command []byte) ([]byte, error) {
	if _, err := t.sim.Write(command); err != nil {
		return nil, err
	}
	answer := make([]byte, maxAnswer)
	n, err := t.sim.Read(answer)
	if err != nil {
		return nil, err
	}
	return wholeAnswer(answer[:n])
}

// simLink keeps the state file in step: an answer is given only when what the
// command changed has been written.
type simLink struct{ src *simSource }

func (l simLink) Send(command []byte, _ time.Duration) ([]byte, error) {
	answer, err := simTransport{l.src.sim}.Send(command)
	if err == nil && l.src.file != nil {
		err = l.src.file.save(readNV())
	}
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// Close leaves the simulator on; the source ends it.
func (simLink) Close() error { return nil }
