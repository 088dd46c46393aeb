// SPDX-License-Identifier: Apache-2.0
#include "flash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const char *what, const char *path)
{
	fprintf(stderr, "posix-agent: %s state file %s: %s\n", what, path, strerror(errno));
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

static int erase_range(int fd, off_t at, size_t n)
{
	uint8_t erased[4096];

	memset(erased, 0xff, sizeof erased);
	while (n > 0) {
		size_t part = n < sizeof erased ? n : sizeof erased;

		if (write_all(fd, erased, part, at) != 0)
			return -1;
		at += (off_t)part;
		n -= part;
	}
	return 0;
}

// Erases what is missing of the file: all of a new one, the rest of one whose
// making was cut short.
static int fill(int fd, uint32_t size)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -1;
	if (st.st_size > size) {
		errno = EFBIG;
		return -1;
	}
	if (erase_range(fd, st.st_size, size - (size_t)st.st_size) != 0)
		return -1;
	return fdatasync(fd);
}

// Makes the name of a new file durable.
static int sync_directory(const char *path)
{
	char directory[4096];
	const char *slash = strrchr(path, '/');
	int n = slash == NULL ? 0 : (int)(slash - path) + 1, fd, rc;

	snprintf(directory, sizeof directory, "%.*s.", n, path);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

int flash_open(struct flash *f, const char *path, uint32_t copy_size)
{
	f->copy_size = copy_size;
	f->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); // it holds a private key
	if (f->fd < 0)
		return fail("open", path);
	if (flock(f->fd, LOCK_EX | LOCK_NB) != 0)
		return fail("another agent uses", path);
	if (fill(f->fd, 2 * copy_size) != 0 || sync_directory(path) != 0)
		return fail("make", path);
	return 0;
}

static off_t place(const struct flash *f, unsigned copy, uint32_t off)
{
	return (off_t)copy * f->copy_size + off;
}

int flash_read(void *ctx, unsigned copy, uint32_t off, uint8_t *data, size_t n)
{
	const struct flash *f = ctx;

	while (n > 0) {
		ssize_t got = pread(f->fd, data, n, place(f, copy, off));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -1;
		data += got;
		n -= (size_t)got;
		off += (uint32_t)got;
	}
	return 0;
}

int flash_program(void *ctx, unsigned copy, uint32_t off, const uint8_t *data, size_t n)
{
	const struct flash *f = ctx;

	return write_all(f->fd, data, n, place(f, copy, off));
}

int flash_erase(void *ctx, unsigned copy)
{
	const struct flash *f = ctx;

	return erase_range(f->fd, place(f, copy, 0), f->copy_size);
}

int flash_sync(void *ctx)
{
	const struct flash *f = ctx;

	return fdatasync(f->fd);
}
