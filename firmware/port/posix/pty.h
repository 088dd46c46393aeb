// SPDX-License-Identifier: Apache-2.0
// A pseudo-terminal as a board's console: the station opens the slave.
#ifndef ENR_POSIX_PTY_H
#define ENR_POSIX_PTY_H

#include <stddef.h>
#include <stdint.h>

struct pty {
	int master;  // non-blocking
	int slave;   // held open: see pty.c
	int closed;  // an inotify descriptor: readable when someone closed the slave
	char link[4096];
};

// Opens a pty in raw mode and makes link a symbolic link to its slave, in place
// of one that is there. Returns 0, or -1 with a message on stderr.
int pty_open(struct pty *p, const char *link);

// Sends what the line takes; the rest is lost, as on a UART nobody reads.
void pty_send(const struct pty *p, const uint8_t *data, size_t n);

// Makes the slave free for its next user after p->closed became readable.
void pty_slave_closed(const struct pty *p);

// Removes the link and closes the pty.
void pty_close(struct pty *p);

#endif
