// SPDX-License-Identifier: Apache-2.0
//
// The agent keeps the slave open itself. Otherwise every close by a station
// would give EIO on the master and put the line back into cooked mode, whose
// echo and line editing spoil frames. The price: the line never sees its last
// close, so that a lock by TIOCEXCL would outlive the station that took it. So
// inotify tells of every close, and the agent takes that lock off.
#include "pty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static int fail(const char *what, const char *subject)
{
	fprintf(stderr, "posix-agent: %s %s: %s\n", what, subject, strerror(errno));
	return -1;
}

static int set_raw(int fd)
{
	struct termios t;

	if (tcgetattr(fd, &t) != 0)
		return -1;
	cfmakeraw(&t);
	return tcsetattr(fd, TCSANOW, &t);
}

// A link appears in one step, so that who waits for it never meets half of one.
// It takes the place of a link that a killed agent left, of nothing else.
static int make_link(const char *slave, const char *link)
{
	char temporary[sizeof((struct pty *)0)->link + 8];
	struct stat st;

	if (lstat(link, &st) == 0 && !S_ISLNK(st.st_mode)) {
		errno = EEXIST;
		return fail("make link", link);
	}
	snprintf(temporary, sizeof temporary, "%s.new", link);
	if (unlink(temporary) != 0 && errno != ENOENT)
		return fail("remove", temporary);
	if (symlink(slave, temporary) != 0)
		return fail("make link", temporary);
	return rename(temporary, link) == 0 ? 0 : fail("make link", link);
}

int pty_open(struct pty *p, const char *link)
{
	char slave[64];

	if (snprintf(p->link, sizeof p->link, "%s", link) >= (int)sizeof p->link) {
		errno = ENAMETOOLONG;
		return fail("make link", link);
	}
	p->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (p->master < 0 || grantpt(p->master) != 0 || unlockpt(p->master) != 0 ||
	    ptsname_r(p->master, slave, sizeof slave) != 0)
		return fail("open", "a pseudo-terminal");
	p->slave = open(slave, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (p->slave < 0 || set_raw(p->slave) != 0)
		return fail("set raw mode on", slave);
	p->closed = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (p->closed < 0 || inotify_add_watch(p->closed, slave, IN_CLOSE) < 0)
		return fail("watch", slave);
	return make_link(slave, p->link);
}

void pty_send(const struct pty *p, const uint8_t *data, size_t n)
{
	while (n > 0) {
		ssize_t sent = write(p->master, data, n);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return;
		data += sent;
		n -= (size_t)sent;
	}
}

void pty_slave_closed(const struct pty *p)
{
	char events[4096];

	while (read(p->closed, events, sizeof events) > 0)
		;
	ioctl(p->slave, TIOCNXCL);
}

void pty_close(struct pty *p)
{
	unlink(p->link);
	close(p->closed);
	close(p->slave);
	close(p->master);
}
