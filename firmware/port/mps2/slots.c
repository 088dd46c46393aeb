// SPDX-License-Identifier: Apache-2.0
#include "slots.h"

#include "mps2.h"

#include <string.h>

static const uint8_t valid_word[ENR_FLASH_UNIT] = "mps2 boot record, version 1";

enum { RECORD_AT = ENR_FLASH_UNIT, FIRST_AT = 4, FLAGS_AT = 5, RECORD_SIZE = ENR_FLASH_UNIT };
enum { FLAGS_ALL = ENR_IMAGE_CONFIRMED | ENR_IMAGE_PENDING | ENR_IMAGE_PERMANENT };

// What the stack of a program may begin at (mps2.ld).
enum { RAM = 0x20000000, RAM_SIZE = 32 * 1024 };

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

// Stores which file is slot 0 and the flags in one step.
static int keep(struct slots *s, uint8_t first, unsigned flags)
{
	unsigned area = NVM_BOOT + 1u - s->page;
	uint32_t generation = s->generation + 1;
	uint8_t record[RECORD_SIZE];

	memset(record, 0xff, sizeof record);
	for (int i = 0; i < 4; i++)
		record[i] = (uint8_t)(generation >> (8 * i));
	record[FIRST_AT] = first;
	record[FLAGS_AT] = (uint8_t)flags;
	// Up to the end of the valid word a power cut leaves the old page, from
	// there on the new one.
	if (nvm_erase(NULL, area) != 0 || nvm_program(NULL, area, RECORD_AT, record, sizeof record) != 0 ||
	    nvm_program(NULL, area, 0, valid_word, sizeof valid_word) != 0)
		return -1;
	s->page = 1 - s->page;
	s->generation = generation;
	s->first = first;
	s->flags = (uint8_t)flags;
	return 0;
}

bool slots_open(struct slots *s)
{
	bool found = false;

	*s = (struct slots){.flags = ENR_IMAGE_CONFIRMED, .page = 1};
	for (uint8_t page = 0; page < 2; page++) {
		uint8_t b[RECORD_AT + RECORD_SIZE], *record = b + RECORD_AT;

		if (nvm_read(NULL, NVM_BOOT + page, 0, b, sizeof b) != 0)
			return false;
		if (memcmp(b, valid_word, sizeof valid_word) != 0 || record[FIRST_AT] > 1 || record[FLAGS_AT] & ~FLAGS_ALL)
			continue;
		if (found && (int32_t)(le32(record) - s->generation) < 0)
			continue;
		found = true;
		s->page = page;
		s->generation = le32(record);
		s->first = record[FIRST_AT];
		s->flags = record[FLAGS_AT];
	}
	return true;
}

static unsigned file_of(const struct slots *s, unsigned slot)
{
	return NVM_IMAGE + (s->first ^ slot);
}

static int slot_read(void *ctx, unsigned slot, uint32_t off, uint8_t *data, size_t n)
{
	return nvm_read(NULL, file_of(ctx, slot), off, data, n);
}

// Finds the program of an image: where in its slot, and how large. False unless
// it is one for this board: it fits, and its vector table begins with a stack in
// RAM and an entry in itself.
static bool find_program(struct slots *s, unsigned slot, uint32_t *at, uint32_t *size)
{
	uint8_t head[ENR_IMAGE_HEADER], vectors[8];
	uint32_t stack, entry;

	if (slot_read(s, slot, 0, head, sizeof head) != 0)
		return false;
	*at = le32(head + 8) & 0xffff;
	*size = le32(head + 12);
	if (*size > SLOTS_CODE_SIZE || slot_read(s, slot, *at, vectors, sizeof vectors) != 0)
		return false;
	stack = le32(vectors) - RAM;
	entry = le32(vectors + 4) - SLOTS_CODE;
	return stack > 0 && stack <= RAM_SIZE && entry < *size && entry & 1; // Thumb
}

static bool may_start(struct slots *s, unsigned slot)
{
	struct enr_image_port port;
	uint32_t at, size;

	slots_port(s, &port);
	return enr_image_intact(&port, slot) && find_program(s, slot, &at, &size);
}

static bool is_empty(struct slots *s)
{
	struct enr_image_port port;
	struct enr_image image;

	slots_port(s, &port);
	return !enr_image_find(&port, 0, &image);
}

bool slots_boot(struct slots *s)
{
	int failed = 0;

	if (s->flags & ENR_IMAGE_PENDING) {
		if (!may_start(s, 1))
			failed = keep(s, s->first, s->flags & ENR_IMAGE_CONFIRMED);
		else
			failed = keep(s, 1 - s->first, s->flags & ENR_IMAGE_PERMANENT ? ENR_IMAGE_CONFIRMED : 0);
	} else if (!(s->flags & ENR_IMAGE_CONFIRMED)) { // the trial was not confirmed
		failed = keep(s, 1 - s->first, ENR_IMAGE_CONFIRMED);
	}
	return !failed && (is_empty(s) || may_start(s, 0));
}

bool slots_load(struct slots *s)
{
	uint32_t at, size;

	return find_program(s, 0, &at, &size) &&
	       nvm_read(NULL, file_of(s, 0), at, (uint8_t *)(uintptr_t)SLOTS_CODE, size) == 0;
}

void slots_find_version(struct slots *s)
{
	struct enr_image_port port;
	struct enr_image image;

	slots_port(s, &port);
	memcpy(s->version, "1.0.0", sizeof "1.0.0"); // what QEMU was started with
	if (enr_image_find(&port, 0, &image))
		enr_image_version(&image, s->version);
}

static int slot_erase(void *ctx)
{
	return nvm_erase(NULL, file_of(ctx, 1));
}

// The end of an image is filled up to a whole unit.
static int slot_write(void *ctx, uint32_t off, const uint8_t *data, size_t n)
{
	unsigned file = file_of(ctx, 1);
	uint32_t whole = (uint32_t)(n / ENR_FLASH_UNIT * ENR_FLASH_UNIT);
	uint8_t rest[ENR_FLASH_UNIT];

	if (whole > 0 && nvm_program(NULL, file, off, data, whole) != 0)
		return -1;
	if (n == whole)
		return 0;
	memset(rest, 0xff, sizeof rest);
	memcpy(rest, data + whole, n - whole);
	return nvm_program(NULL, file, off + whole, rest, sizeof rest);
}

static unsigned slot_flags(void *ctx)
{
	return ((const struct slots *)ctx)->flags;
}

static int slot_start(void *ctx, bool permanent)
{
	struct slots *s = ctx;

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
		.slot_size = NVM_IMAGE_SIZE,
		.read = slot_read,
		.erase = slot_erase,
		.write = slot_write,
		.flags = slot_flags,
		.start = slot_start,
		.confirm = slot_confirm,
	};
}
