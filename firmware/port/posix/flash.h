// SPDX-License-Identifier: Apache-2.0
// A file as the two copies of flash that the agent's storage needs.
#ifndef ENR_POSIX_FLASH_H
#define ENR_POSIX_FLASH_H

#include <stddef.h>
#include <stdint.h>

struct flash {
	int fd;
	uint32_t copy_size;
};

// Opens the file, or makes it, erased. One agent at a time may have it. Returns
// 0, or -1 with a message on stderr.
int flash_open(struct flash *f, const char *path, uint32_t copy_size);

// The functions of struct enr_port; ctx is struct flash.
int flash_read(void *ctx, unsigned copy, uint32_t off, uint8_t *data, size_t n);
int flash_program(void *ctx, unsigned copy, uint32_t off, const uint8_t *data, size_t n);
int flash_erase(void *ctx, unsigned copy);
int flash_sync(void *ctx);

#endif
