// SPDX-License-Identifier: Apache-2.0
// The boot loader of port/mps2: every change of its record is cut off at every
// word that it stores or erases. What is left is the record before or the record
// after. What it may not start it does not start.
#include "board.h"

#include "../port/mps2/mps2.h"
#include "../port/mps2/slots.h"

#include <string.h>

enum { PAGE = 4096, NEVER = 1 << 30 };

// The memory that port/mps2/nvm.c has on the board, with its rules.
static struct {
	uint8_t pages[2][PAGE], images[2][NVM_IMAGE_SIZE];
	int words; // that are still stored before the power is gone
} nvm;

static uint8_t *area(unsigned number, size_t *size)
{
	CHECK(number >= NVM_BOOT && number < NVM_AREAS, "area %u", number);
	*size = number < NVM_IMAGE ? PAGE : NVM_IMAGE_SIZE;
	return number < NVM_IMAGE ? nvm.pages[number - NVM_BOOT] : nvm.images[number - NVM_IMAGE];
}

int nvm_read(void *ctx, unsigned number, uint32_t off, uint8_t *data, size_t n)
{
	size_t size;
	const uint8_t *p = area(number, &size);

	(void)ctx;
	if (off > size || n > size - off)
		return -1;
	memcpy(data, p + off, n);
	return 0;
}

static int store(uint8_t *to, const uint8_t *from, size_t n)
{
	for (size_t i = 0; i < n; i += WORD) {
		if (nvm.words == 0)
			return -1;
		nvm.words--;
		if (from != NULL)
			memcpy(to + i, from + i, WORD);
		else
			memset(to + i, 0xff, WORD);
	}
	return 0;
}

int nvm_program(void *ctx, unsigned number, uint32_t off, const uint8_t *data, size_t n)
{
	size_t size;
	uint8_t *p = area(number, &size);

	(void)ctx;
	CHECK(off % ENR_FLASH_UNIT == 0 && n % ENR_FLASH_UNIT == 0 && off <= size && n <= size - off, "program %zu at %u", n, off);
	for (size_t i = 0; i < n; i++)
		CHECK(p[off + i] == 0xff, "byte %zu of area %u is not erased", off + i, number);
	return store(p + off, data, n);
}

int nvm_erase(void *ctx, unsigned number)
{
	size_t size;
	uint8_t *p = area(number, &size);

	(void)ctx;
	return store(p, NULL, size);
}

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

// Writes an image through the port whose program has this stack and entry.
static void upload(struct slots *s, uint8_t version, uint32_t stack, uint32_t entry)
{
	enum { PROGRAM = 100, SIZE = ENR_IMAGE_HEADER + PROGRAM + 8 + ENR_SHA256 };
	static const uint8_t values[8] = {0x07, 0x69, 8 + ENR_SHA256, 0, 0x10, 0, ENR_SHA256, 0};
	struct enr_image_port port;
	uint8_t image[SIZE] = {0x3d, 0xb8, 0xf3, 0x96};

	image[8] = ENR_IMAGE_HEADER;
	image[12] = PROGRAM;
	image[20] = version;
	put32(image + ENR_IMAGE_HEADER, stack);
	put32(image + ENR_IMAGE_HEADER + 4, entry);
	memcpy(image + ENR_IMAGE_HEADER + PROGRAM, values, sizeof values);
	sha256((struct enr_bytes){image, ENR_IMAGE_HEADER + PROGRAM}, image + SIZE - ENR_SHA256);
	slots_port(s, &port);
	CHECK(port.erase(s) == 0 && port.write(s, 0, image, 64) == 0 && port.write(s, 64, image + 64, SIZE - 64) == 0, "upload");
	CHECK(enr_image_intact(&port, 1), "the image is not in slot 1 as it was written");
}

enum { STACK = 0x20002000, ENTRY = SLOTS_CODE + 9 };

static void fresh(struct slots *s)
{
	memset(&nvm, 0, sizeof nvm); // as a new file is
	nvm.words = NEVER;
	CHECK(slots_open(s) && s->first == 0 && s->flags == ENR_IMAGE_CONFIRMED, "a board without a record");
}

static bool boots(struct slots *s)
{
	return slots_open(s) && slots_boot(s);
}

static bool trial(struct slots *s)
{
	struct enr_image_port port;

	slots_port(s, &port);
	return port.start(s, false) == 0;
}

static bool confirm(struct slots *s)
{
	struct enr_image_port port;

	slots_port(s, &port);
	return port.confirm(s) == 0;
}

// Cuts a step off at every word; then carries it out.
static void cut(const char *what, struct slots *s, bool (*step)(struct slots *))
{
	static uint8_t before[sizeof nvm.pages]; // images are not changed by any step
	struct slots old = *s, now;
	bool done = false;
	int after = 0;

	memcpy(before, nvm.pages, sizeof before);
	for (int words = 0; !done; words++) {
		memcpy(nvm.pages, before, sizeof before);
		nvm.words = words;
		now = old;
		done = step(&now);
		nvm.words = NEVER;
		CHECK(slots_open(s), "%s: open", what);
		if (s->generation == old.generation) {
			CHECK(!done && s->first == old.first && s->flags == old.flags, "%s, cut at %d: not the record before", what, words);
			continue;
		}
		after++;
		CHECK(s->generation == old.generation + 1, "%s, cut at %d: generation %u", what, words, s->generation);
	}
	CHECK(after == 1 && s->first == now.first && s->flags == now.flags, "%s: the record after is there %d times", what, after);
}

void test_slots_power_cut(void)
{
	struct slots s;

	fresh(&s);
	upload(&s, 2, STACK, ENTRY);
	cut("first trial", &s, trial);
	CHECK(s.flags == (ENR_IMAGE_CONFIRMED | ENR_IMAGE_PENDING) && s.first == 0, "flags %x", s.flags);
	cut("boot into it", &s, boots);
	CHECK(s.flags == 0 && s.first == 1, "on trial: flags %x", s.flags);
	cut("back", &s, boots);
	CHECK(s.flags == ENR_IMAGE_CONFIRMED && s.first == 0, "back: flags %x", s.flags);
	cut("second trial", &s, trial);
	cut("boot into it again", &s, boots);
	cut("confirm", &s, confirm);
	CHECK(s.flags == ENR_IMAGE_CONFIRMED && s.first == 1, "confirmed: flags %x", s.flags);
	slots_find_version(&s);
	CHECK(strcmp(s.version, "2.0.0") == 0, "version %s", s.version);
	for (int i = 0; i < 3; i++)
		CHECK(boots(&s) && s.first == 1 && s.flags == ENR_IMAGE_CONFIRMED, "settled: flags %x", s.flags);
}

void test_slots_refusals(void)
{
	static const struct {
		uint32_t stack, entry;
	} wrong[] = {
		{0, ENTRY}, {0x1ffffffc, ENTRY}, {0x20000000, ENTRY}, {0x20008004, ENTRY}, // stack outside RAM
		{STACK, 0}, {STACK, 9}, {STACK, ENTRY - 1}, {STACK, SLOTS_CODE + 101},     // entry outside the program, or not Thumb
	};
	struct slots s;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		fresh(&s);
		upload(&s, 2, wrong[i].stack, wrong[i].entry);
		CHECK(trial(&s) && boots(&s), "program %zu: trial", i);
		CHECK(s.first == 0 && s.flags == ENR_IMAGE_CONFIRMED, "program %zu is started", i);
	}
	// An image that was damaged after it was marked is not started either; one
	// that runs and is damaged leaves a board that stays silent.
	fresh(&s);
	upload(&s, 2, STACK, ENTRY);
	CHECK(trial(&s), "trial");
	nvm.images[1][ENR_IMAGE_HEADER + 50] ^= 1;
	CHECK(boots(&s) && s.first == 0 && s.flags == ENR_IMAGE_CONFIRMED, "a damaged image is started");
	fresh(&s);
	upload(&s, 2, STACK, ENTRY);
	CHECK(trial(&s) && boots(&s) && confirm(&s) && boots(&s) && s.first == 1, "confirmed");
	nvm.images[1][ENR_IMAGE_HEADER + 50] ^= 1;
	CHECK(!boots(&s), "a damaged image in slot 0 is started");
	// A record that no boot loader wrote counts as none.
	fresh(&s);
	upload(&s, 2, STACK, ENTRY);
	CHECK(trial(&s) && slots_open(&s) && s.flags & ENR_IMAGE_PENDING, "trial");
	nvm.pages[s.page][ENR_FLASH_UNIT + 4] = 2; // no such file
	CHECK(slots_open(&s) && s.first == 0 && s.flags == ENR_IMAGE_CONFIRMED, "a record of file 2 counts");
}
