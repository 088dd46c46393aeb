// SPDX-License-Identifier: Apache-2.0
#include "slots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SLOT_SIZE = 1 << 20 };

static int fail(const char *what, const char *path)
{
	fprintf(stderr, "posix-agent: %s %s: %s\n", what, path, strerror(errno));
	return -1;
}

static int write_all(int fd, const uint8_t *data, size_t n, off_t at)
{
	while (n > 0) {
		ssize_t done = pwrite(fd, data, n, at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		data += done;
		n -= (size_t)done;
		at += done;
	}
	return 0;
}

// Returns the name of a file beside the state file, in a buffer of its size.
static const char *beside(const struct slots *s, const char *suffix, char name[sizeof s->path + 16])
{
	snprintf(name, sizeof s->path + 16, "%s.%s", s->path, suffix);
	return name;
}

// Stores which file is slot 0 and the flags in one step: kill -9 leaves what was
// or what is.
static int keep(struct slots *s, uint8_t first, unsigned flags)
{
	char name[sizeof s->path + 16], fresh[sizeof s->path + 16];
	const uint8_t record[2] = {first, (uint8_t)flags};
	int fd = open(beside(s, "boot.new", fresh), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), rc;

	if (fd < 0)
		return fail("open", fresh);
	rc = write_all(fd, record, sizeof record, 0);
	if (rc == 0)
		rc = fdatasync(fd);
	close(fd);
	if (rc != 0 || rename(fresh, beside(s, "boot", name)) != 0)
		return fail("write", name);
	s->first = first;
	s->flags = (uint8_t)flags;
	return 0;
}

int slots_open(struct slots *s, const char *state)
{
	char name[sizeof s->path + 16];
	uint8_t record[2] = {0, ENR_IMAGE_CONFIRMED};
	int fd;

	if (snprintf(s->path, sizeof s->path, "%s", state) >= (int)sizeof s->path) {
		errno = ENAMETOOLONG;
		return fail("open", state);
	}
	for (int i = 0; i < 2; i++) {
		s->fd[i] = open(beside(s, i == 0 ? "image0" : "image1", name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (s->fd[i] < 0)
			return fail("open", name);
	}
	fd = open(beside(s, "boot", name), O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		ssize_t n = read(fd, record, sizeof record);

		close(fd);
		if (n != sizeof record || record[0] > 1) {
			errno = EINVAL;
			return fail("read", name);
		}
	} else if (errno != ENOENT) {
		return fail("open", name);
	}
	s->first = record[0];
	s->flags = record[1];
	return 0;
}

int slots_boot(struct slots *s)
{
	struct enr_image_port port;

	slots_port(s, &port);
	if (s->flags & ENR_IMAGE_PENDING) {
		if (!enr_image_intact(&port, 1))
			return keep(s, s->first, s->flags & ENR_IMAGE_CONFIRMED);
		return keep(s, !s->first, s->flags & ENR_IMAGE_PERMANENT ? ENR_IMAGE_CONFIRMED : 0);
	}
	if (!(s->flags & ENR_IMAGE_CONFIRMED)) // the trial was not confirmed
		return keep(s, !s->first, ENR_IMAGE_CONFIRMED);
	return 0;
}

static int slot_file(const struct slots *s, unsigned slot)
{
	return s->fd[s->first ^ slot];
}

static int slot_read(void *ctx, unsigned slot, uint32_t off, uint8_t *data, size_t n)
{
	const struct slots *s = ctx;

	while (n > 0) {
		ssize_t got = pread(slot_file(s, slot), data, n, off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0) { // behind the file's end: erased
			memset(data, 0xff, n);
			return 0;
		}
		data += got;
		n -= (size_t)got;
		off += (uint32_t)got;
	}
	return 0;
}

static int slot_erase(void *ctx)
{
	return ftruncate(slot_file(ctx, 1), 0);
}

static int slot_write(void *ctx, uint32_t off, const uint8_t *data, size_t n)
{
	return write_all(slot_file(ctx, 1), data, n, off);
}

static unsigned slot_flags(void *ctx)
{
	return ((const struct slots *)ctx)->flags;
}

static int slot_start(void *ctx, bool permanent)
{
	struct slots *s = ctx;

	if (fdatasync(slot_file(s, 1)) != 0)
		return -1;
	return keep(s, s->first, s->flags | ENR_IMAGE_PENDING | (permanent ? ENR_IMAGE_PERMANENT : 0u));
}

static int slot_confirm(void *ctx)
{
	struct slots *s = ctx;

	return keep(s, s->first, s->flags | ENR_IMAGE_CONFIRMED);
}

void slots_port(struct slots *s, struct enr_image_port *port)
{
	*port = (struct enr_image_port){
		.ctx = s,
		.slot_size = SLOT_SIZE,
		.read = slot_read,
		.erase = slot_erase,
		.write = slot_write,
		.flags = slot_flags,
		.start = slot_start,
		.confirm = slot_confirm,
	};
}
