// SPDX-License-Identifier: Apache-2.0
// Non-volatile memory: the board's PSRAM, which QEMU can keep in a file of the
// host (memory-backend-file, share=on). A file survives the emulator's end by
// kill -9, the power cut of this board, at any store; it is not written through
// to a disk, so that a crash of the host is not covered.
//
// PSRAM is plain memory. The rules of NOR flash are kept here: erase sets bytes
// to FF, and a unit is programmed only while it is erased.
//
//	     0  one-time page: "MPS2-OTP", length of the uid u32, uid
//	  4096  the agent's copies 0 and 1, two blocks each
//	 20480  the boot loader's pages 0 and 1, a block each
//	 65536  image files 0 and 1, 256 KiB each
//
// The one-time page is this board's silicon: what makes two files two boards. A
// new file (all 0) or an erased one (all FF) gets a uid of 12 random bytes at
// its first boot, as a chip does in its factory; who makes the file may write
// another one. Nothing changes it afterwards.
#include "mps2.h"

#include "../template/board.h"

#include <string.h>

enum { BASE = 0x21000000, BLOCK = 4096, COPY_SIZE = 2 * BLOCK, IMAGES_AT = 65536, UID_SIZE = 12, UID_MAX = 32 };

_Static_assert(ENR_STORE_SIZE(BOARD_OBJECT_MAX) <= COPY_SIZE, "a copy fits into its erase blocks");

// The areas by their numbers; each is of whole erase blocks that nothing else is
// in.
static const struct {
	uint32_t at, size;
} areas[NVM_AREAS] = {
	[NVM_COPY] = {BLOCK, COPY_SIZE},
	[NVM_COPY + 1] = {BLOCK + COPY_SIZE, COPY_SIZE},
	[NVM_BOOT] = {BLOCK + 2 * COPY_SIZE, BLOCK},
	[NVM_BOOT + 1] = {2 * BLOCK + 2 * COPY_SIZE, BLOCK},
	[NVM_IMAGE] = {IMAGES_AT, NVM_IMAGE_SIZE},
	[NVM_IMAGE + 1] = {IMAGES_AT + NVM_IMAGE_SIZE, NVM_IMAGE_SIZE},
};

struct one_time {
	uint32_t magic[2]; // written last
	uint32_t uid_len;
	uint8_t uid[UID_MAX];
};

#define ONE_TIME ((volatile struct one_time *)(uintptr_t)BASE)

static const union {
	char text[8];
	uint32_t words[2];
} magic = {.text = {'M', 'P', 'S', '2', '-', 'O', 'T', 'P'}};

static void barrier(void)
{
	__asm__ volatile("dsb" ::: "memory");
}

static bool magic_is(uint32_t first, uint32_t second)
{
	return ONE_TIME->magic[0] == first && ONE_TIME->magic[1] == second;
}

// A cut before the last store leaves the page without its magic: it is written
// again at the next boot, when nothing depends on it yet.
static bool make_uid(void)
{
	uint8_t uid[UID_SIZE];

	if (enr_port_random(uid, sizeof uid) != 0)
		return false;
	for (size_t i = 0; i < sizeof uid; i++)
		ONE_TIME->uid[i] = uid[i];
	ONE_TIME->uid_len = sizeof uid;
	barrier();
	ONE_TIME->magic[1] = magic.words[1];
	barrier();
	ONE_TIME->magic[0] = magic.words[0];
	barrier();
	return true;
}

bool nvm_start(struct enr_bytes *uid)
{
	static uint8_t copy[UID_MAX];
	bool is_new = (ONE_TIME->magic[0] == 0 || ONE_TIME->magic[0] == UINT32_MAX) &&
		      (ONE_TIME->magic[1] == ONE_TIME->magic[0] || ONE_TIME->magic[1] == magic.words[1]);

	if (is_new && !make_uid())
		return false;
	if (!magic_is(magic.words[0], magic.words[1]) || ONE_TIME->uid_len < 1 || ONE_TIME->uid_len > UID_MAX)
		return false;
	for (size_t i = 0; i < UID_MAX; i++)
		copy[i] = ONE_TIME->uid[i];
	*uid = (struct enr_bytes){copy, ONE_TIME->uid_len};
	return true;
}

// Where n bytes at off of an area are; NULL when it has none there.
static volatile uint8_t *place(unsigned area, uint32_t off, size_t n)
{
	if (area >= NVM_AREAS || off > areas[area].size || n > areas[area].size - off)
		return NULL;
	return (volatile uint8_t *)(uintptr_t)(BASE + areas[area].at + off);
}

int nvm_read(void *ctx, unsigned area, uint32_t off, uint8_t *data, size_t n)
{
	const volatile uint8_t *p = place(area, off, n);

	(void)ctx;
	for (size_t i = 0; p != NULL && i < n; i++)
		data[i] = p[i];
	return p != NULL ? 0 : -1;
}

int nvm_program(void *ctx, unsigned area, uint32_t off, const uint8_t *data, size_t n)
{
	volatile uint32_t *p = (volatile uint32_t *)(volatile void *)place(area, off, n);

	(void)ctx;
	if (p == NULL || off % ENR_FLASH_UNIT != 0 || n % ENR_FLASH_UNIT != 0)
		return -1;
	for (size_t i = 0; i < n / sizeof *p; i++) {
		if (p[i] != UINT32_MAX)
			return -1;
	}
	for (size_t i = 0; i < n / sizeof *p; i++) {
		uint32_t word;

		memcpy(&word, data + i * sizeof word, sizeof word);
		p[i] = word;
	}
	barrier(); // what is programmed next is stored next
	return 0;
}

int nvm_erase(void *ctx, unsigned area)
{
	volatile uint32_t *p = (volatile uint32_t *)(volatile void *)place(area, 0, 0);

	(void)ctx;
	for (size_t i = 0; p != NULL && i < areas[area].size / sizeof *p; i++)
		p[i] = UINT32_MAX;
	barrier();
	return p != NULL ? 0 : -1;
}
