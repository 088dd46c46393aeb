// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// process is a child process.
type process struct {
	name string
	cmd  *exec.Cmd
	said tail
	done chan struct{} // closed when the process has ended
	err  error         // how it ended; set before done is closed
}

// startProcess starts a program in dir. It has our environment and nothing of
// our standard streams.
func startProcess(dir, program string, args ...string) (*process, error) {
	p := &process{name: filepath.Base(program), done: make(chan struct{})}
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir = dir
	p.cmd.SysProcAttr = childAttr()
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	// A grandchild that keeps our pipe open must not keep Wait.
	p.cmd.WaitDelay = time.Second
	started := make(chan error)
	go func() {
		// Linux ends the child with the thread that started it (PR_SET_PDEATHSIG),
		// so that thread waits here for as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	err := <-started
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%s was not found: install the packages swtpm and swtpm-tools", p.name)
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return p, nil
}

// running tells whether the process has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// failure describes the end of the process, with its last words.
func (p *process) failure() error {
	end := "it ended"
	if p.err != nil {
		end = p.err.Error()
	}
	return fmt.Errorf("%s: %s: %s", p.name, end, p.said.String())
}

// finish waits until the process has ended by itself; when ctx ends first it is
// killed.
func (p *process) finish(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		return errors.Join(ctx.Err(), p.kill())
	}
	if p.err != nil {
		return p.failure()
	}
	return nil
}

// stop asks the process to end and kills it after grace.
func (p *process) stop(grace time.Duration) error {
	if !p.running() {
		return nil
	}
	if err := terminate(p.cmd.Process); err != nil && p.running() {
		return errors.Join(err, p.kill())
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		return p.kill()
	}
}

// kill ends the process with what it started and waits for its end.
func (p *process) kill() error {
	if !p.running() {
		return nil
	}
	if err := killGroup(p.cmd.Process); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// tail keeps the last bytes written to it.
type tail struct {
	mu   sync.Mutex
	text []byte // guarded by mu
}

const tailSize = 4096

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(b), nil
}

// String gives what was said on one line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.Join(bytes.Fields(t.text), []byte(" ")))
}
