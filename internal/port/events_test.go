// SPDX-License-Identifier: Apache-2.0

//go:build linux

package port

import (
	"context"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func fromGroup(group, pid uint32) unix.Sockaddr {
	return &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: group, Pid: pid}
}

func sentBy(uid uint32) []byte { return unix.UnixCredentials(&unix.Ucred{Pid: 1, Uid: uid}) }

func TestRead(t *testing.T) {
	kernel, udev := kernelMessage(plugged...), udevMessage(with(plugged, "DEVNAME=/dev/ttyUSB10")...)
	settled := Event{Settled: "/dev/ttyUSB10"}
	for what, c := range map[string]struct {
		m     message
		want  Event
		about bool
	}{
		"the kernel":              {message{data: kernel, from: fromGroup(groupKernel, 0)}, Event{}, true},
		"udev":                    {message{data: udev, control: sentBy(0), from: fromGroup(groupUdev, 312)}, settled, true},
		"another subsystem":       {message{data: kernelMessage(with(plugged, "SUBSYSTEM=block")...), from: fromGroup(groupKernel, 0)}, Event{}, false},
		"nonsense":                {message{data: []byte("huh"), from: fromGroup(groupKernel, 0)}, Event{}, true},
		"cut":                     {message{data: kernel, cut: true, from: fromGroup(groupKernel, 0)}, Event{}, true},
		"no kernel":               {message{data: kernel, from: fromGroup(groupKernel, 312)}, Event{}, false},
		"to nobody":               {message{data: kernel, from: fromGroup(0, 0)}, Event{}, false},
		"udev of a user":          {message{data: udev, control: sentBy(1000), from: fromGroup(groupUdev, 312)}, Event{}, false},
		"udev without a name":     {message{data: udev, from: fromGroup(groupUdev, 312)}, Event{}, false},
		"udev, broken name":       {message{data: udev, control: []byte{1, 2, 3}, from: fromGroup(groupUdev, 312)}, Event{}, false},
		"not even a netlink":      {message{data: kernel, from: &unix.SockaddrUnix{}}, Event{}, false},
		"nobody":                  {message{data: kernel}, Event{}, false},
		"udev, nonsense":          {message{data: []byte("huh"), control: sentBy(0), from: fromGroup(groupUdev, 312)}, Event{}, true},
		"the kernel's as udev's":  {message{data: kernel, control: sentBy(0), from: fromGroup(groupUdev, 312)}, Event{}, true},
		"udev, device of no node": {message{data: udevMessage(plugged[:3]...), control: sentBy(0), from: fromGroup(groupUdev, 312)}, Event{}, true},
	} {
		if got, about := read(c.m); got != c.want || about != c.about {
			t.Errorf("%s: %+v, %t", what, got, about)
		}
	}
}

// What was lost or cannot be read is a reason to look; interruptions are not
// seen; any other error ends the events.
func TestPump(t *testing.T) {
	script := []func() (message, error){
		func() (message, error) { return message{}, unix.EINTR },
		func() (message, error) { return message{}, unix.ENOBUFS },
		func() (message, error) {
			return message{data: kernelMessage(with(plugged, "SUBSYSTEM=net")...), from: fromGroup(groupKernel, 0)}, nil
		},
		func() (message, error) {
			return message{data: udevMessage(plugged...), control: sentBy(0), from: fromGroup(groupUdev, 1)}, nil
		},
		func() (message, error) { return message{}, unix.EBADF },
	}
	events := make(chan Event, len(script))
	pump(t.Context(), func([]byte, []byte) (message, error) {
		next := script[0]
		script = script[1:]
		return next()
	}, events)
	close(events)
	var got []Event
	for e := range events {
		got = append(got, e)
	}
	if want := []Event{{}, {Settled: "/dev/ttyUSB10"}}; len(script) != 0 || !slices.Equal(got, want) {
		t.Errorf("got %+v, %d messages are left", got, len(script))
	}
}

// Nobody takes the event any more: pump ends all the same.
func TestPumpEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pump(ctx, func([]byte, []byte) (message, error) {
		cancel()
		return message{}, unix.ENOBUFS
	}, make(chan Event))
	if ctx.Err() == nil {
		t.Error("pump ended by itself")
	}
}
