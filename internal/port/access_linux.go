// SPDX-License-Identifier: Apache-2.0

package port

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Access tells why this process may not open a port, nil when it may. It does
// not open it. Errors as of Open.
func Access(name string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, name, unix.R_OK|unix.W_OK, unix.AT_EACCESS); err != nil {
		return openError(name, err)
	}
	return nil
}

// openError explains why a port cannot be opened.
func openError(name string, err error) error {
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		group, joined := groupOf(name)
		return &PermissionError{Name: name, Group: group, Joined: joined}
	case errors.Is(err, unix.EBUSY):
		return &BusyError{Name: name}
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return notThere(name)
	}
	return fmt.Errorf("open %s: %w", name, err)
}

// groupOf returns the group that owns a file, "" when there is none to join,
// and whether the user has joined it since this session began.
func groupOf(name string) (group string, joined bool) {
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil || st.Mode&0o060 != 0o060 {
		return "", false
	}
	gid := strconv.FormatUint(uint64(st.Gid), 10)
	g, err := user.LookupGroupId(gid)
	if err != nil {
		return "", false
	}
	return g.Name, isMember(gid) && !inForce(int(st.Gid))
}

// isMember reads the system's list of groups.
func isMember(gid string) bool {
	u, err := user.Current()
	if err != nil {
		return false
	}
	ids, err := u.GroupIds()
	return err == nil && slices.Contains(ids, gid)
}

// inForce asks the kernel: a session keeps the groups it began with.
func inForce(gid int) bool {
	ids, err := os.Getgroups()
	return gid == os.Getegid() || err == nil && slices.Contains(ids, gid)
}
