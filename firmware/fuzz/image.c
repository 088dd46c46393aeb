// SPDX-License-Identifier: Apache-2.0
// The image group: requests to a board with two slots, which hold what the input
// says. An input is flags, an image in a byte of size and its bytes, what slot 0
// holds in the same form, then steps: a byte that says which, and what it needs.
#include "fuzz.h"

#include "../core/image.h"
#include "../core/smp.h"

#include <string.h>

enum { SLOT = 1024, STEPS = 48 };
enum { LOCKED = 1, UNVERIFIED = 2, ON_TRIAL = 4, WHOLE_IMAGE = 8, WHOLE_SLOT = 16 };
enum { SEND, CHUNK, MARK, RESET, KINDS };
enum { STATE = 0, UPLOAD = 1 };

struct slots {
	uint8_t data[2][SLOT];
	unsigned flags;
	uint32_t end; // of what was written since slot 1 was erased
	bool shut;    // the group may change nothing
};

static int slots_read(void *ctx, unsigned slot, uint32_t off, uint8_t *data, size_t n)
{
	const struct slots *s = ctx;

	CHECK(slot < 2 && off <= SLOT && n <= SLOT - off, "read of %zu bytes at %u of slot %u", n, off, slot);
	memcpy(data, s->data[slot] + off, n);
	return 0;
}

// Slot 1 may be changed unless it holds the way back, or what starts next.
static void check_change(const struct slots *s)
{
	CHECK(!s->shut, "a locked board takes images");
	CHECK(s->flags & ENR_IMAGE_CONFIRMED && !(s->flags & ENR_IMAGE_PENDING), "slot 1 is needed, flags %u", s->flags);
}

static int slots_erase(void *ctx)
{
	struct slots *s = ctx;

	check_change(s);
	memset(s->data[1], 0xff, SLOT);
	s->end = 0;
	return 0;
}

static int slots_write(void *ctx, uint32_t off, const uint8_t *data, size_t n)
{
	struct slots *s = ctx;

	check_change(s);
	CHECK(off == s->end && off % ENR_FLASH_UNIT == 0, "a write at %u behind one up to %u", off, s->end);
	CHECK(n > 0 && n <= SLOT - off, "a write of %zu bytes at %u", n, off);
	memcpy(s->data[1] + off, data, n);
	s->end = off + (uint32_t)n;
	return 0;
}

static unsigned slots_flags(void *ctx)
{
	return ((const struct slots *)ctx)->flags;
}

static int slots_start(void *ctx, bool permanent)
{
	struct slots *s = ctx;

	CHECK(!s->shut && s->flags & ENR_IMAGE_CONFIRMED, "slot 1 is started, flags %u", s->flags);
	s->flags |= ENR_IMAGE_PENDING | (permanent ? ENR_IMAGE_PERMANENT : 0u);
	return 0;
}

static int slots_confirm(void *ctx)
{
	struct slots *s = ctx;

	CHECK(!s->shut, "a locked board keeps an image");
	s->flags |= ENR_IMAGE_CONFIRMED;
	return 0;
}

static uint32_t le16(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

// Reads bytes of an image; where whole is asked for, its magic, sizes and digest
// are set to what is there. Returns their number.
static uint32_t take_image(struct input *in, uint8_t out[SLOT], bool whole)
{
	static const uint8_t magic[4] = {0x3d, 0xb8, 0xf3, 0x96};
	static const uint8_t values[] = {0x07, 0x69, 40, 0, 0x10, 0, ENR_SHA256, 0};
	struct enr_bytes b = take(in, take8(in));
	uint32_t n = (uint32_t)b.len;

	if (n > 0)
		memcpy(out, b.data, n);
	if (!whole || n < ENR_IMAGE_HEADER)
		return n;
	memcpy(out, magic, sizeof magic);
	memset(out + 8, 0, 8);
	out[8] = ENR_IMAGE_HEADER;
	out[12] = (uint8_t)(n - ENR_IMAGE_HEADER);
	memcpy(out + n, values, sizeof values);
	sha256((struct enr_bytes){out, n}, out + n + sizeof values);
	return n + (uint32_t)sizeof values + ENR_SHA256;
}

struct rig {
	struct board b;
	struct slots slots;
	struct enr_image_port port;
	struct enr_images images;
	uint8_t image[SLOT];
	uint32_t size;
};

static void start(struct rig *r, struct input *in)
{
	unsigned flags = take8(in);

	memset(&r->slots, 0xff, sizeof r->slots.data);
	r->slots.end = 0;
	r->slots.flags = flags & ON_TRIAL ? 0 : ENR_IMAGE_CONFIRMED;
	r->slots.shut = flags & LOCKED && flags & UNVERIFIED;
	r->size = take_image(in, r->image, flags & WHOLE_IMAGE);
	take_image(in, r->slots.data[0], flags & WHOLE_SLOT);
	r->port = (struct enr_image_port){
		.ctx = &r->slots,
		.slot_size = SLOT,
		.read = slots_read,
		.erase = slots_erase,
		.write = slots_write,
		.flags = slots_flags,
		.start = slots_start,
		.confirm = slots_confirm,
	};
	r->images = (struct enr_images){.port = &r->port};
	fuzz_board(&r->b, flags & LOCKED ? START_LOCKED : START_BLANK);
	r->b.config.prot = flags & UNVERIFIED ? 0 : 1;
	r->b.config.other = enr_images_command;
	r->b.config.other_ctx = &r->images;
}

static void send(struct rig *r, uint8_t cmd, bool write, struct enr_bytes payload)
{
	uint8_t message[BOARD_BUFFER];
	struct enr_message m = {
		.op = write ? ENR_WRITE : ENR_READ, .version = 1, .cmd = cmd, .group = ENR_IMAGE_GROUP, .len = payload.len};

	enr_smp_header(message, &m);
	if (payload.len > 0)
		memcpy(message + ENR_SMP_HEADER, payload.data, payload.len);
	fuzz_message(&r->b, (struct enr_bytes){message, ENR_SMP_HEADER + payload.len}, false);
}

// Sends a chunk of the image at four times the first byte, or where the board
// stands; the third byte may announce another size than the image has.
static void send_chunk(struct rig *r, struct input *in)
{
	uint8_t where = take8(in), size = take8(in), announced = take8(in), sha[ENR_SHA256], payload[BOARD_BUFFER - 64];
	uint32_t off = where == 0xff ? r->images.got : 4u * where, n = size;
	struct enr_writer w = {.buf = payload, .cap = sizeof payload};

	if (off > r->size)
		off = r->size;
	if (n > r->size - off)
		n = r->size - off;
	sha256((struct enr_bytes){r->image, r->size}, sha);
	enr_put_map(&w, off == 0 ? 4 : 2);
	enr_put_text(&w, "off");
	enr_put_uint(&w, off);
	enr_put_text(&w, "data");
	enr_put_bytes(&w, r->image + off, n);
	if (off == 0) {
		enr_put_text(&w, "len");
		enr_put_uint(&w, announced == 0 ? r->size : 4u * announced);
		enr_put_text(&w, "sha");
		enr_put_bytes(&w, sha, size & 1 ? sizeof sha : 5);
	}
	CHECK(!w.over, "the chunk does not fit");
	send(r, UPLOAD, true, (struct enr_bytes){payload, w.len});
}

// Marks the image in a slot, to be tried or kept.
static void send_mark(struct rig *r, uint8_t step)
{
	struct enr_image image = {.covered = 0};
	uint8_t payload[64];
	struct enr_writer w = {.buf = payload, .cap = sizeof payload};

	enr_image_find(&r->port, step >> 2 & 1, &image);
	enr_put_map(&w, 2);
	enr_put_text(&w, "hash");
	enr_put_bytes(&w, image.digest, sizeof image.digest);
	enr_put_text(&w, "confirm");
	enr_put_bool(&w, step >> 3 & 1);
	send(r, STATE, true, (struct enr_bytes){payload, w.len});
}

// What the boot loader does, without the other half of the swap.
static void reset(struct rig *r)
{
	uint8_t old[SLOT];
	unsigned flags = r->slots.flags;

	if (flags & ENR_IMAGE_PENDING || !(flags & ENR_IMAGE_CONFIRMED)) {
		memcpy(old, r->slots.data[0], SLOT);
		memcpy(r->slots.data[0], r->slots.data[1], SLOT);
		memcpy(r->slots.data[1], old, SLOT);
	}
	r->slots.flags = flags & ENR_IMAGE_PENDING && !(flags & ENR_IMAGE_PERMANENT) ? 0 : ENR_IMAGE_CONFIRMED;
	r->images = (struct enr_images){.port = &r->port};
	board_boot(&r->b);
}

// What is found in a slot has its digest and its version inside the slot.
static void check_slots(const struct rig *r)
{
	char version[ENR_IMAGE_VERSION];
	struct enr_image image;

	for (unsigned slot = 0; slot < 2; slot++) {
		bool found = enr_image_find(&r->port, slot, &image);

		CHECK(found || !enr_image_intact(&r->port, slot), "an image is intact that is not there");
		if (!found)
			continue;
		CHECK(image.covered >= le16(r->slots.data[slot] + 8) && image.covered + 8 + ENR_SHA256 <= SLOT,
		      "an image of %u bytes", image.covered);
		enr_image_version(&image, version);
		CHECK(memchr(version, 0, sizeof version) != NULL, "a version without end");
	}
	CHECK(r->images.got <= r->images.len && r->images.len <= SLOT, "%u of %u bytes", r->images.got, r->images.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct rig r;
	struct input in = {data, n};

	start(&r, &in);
	for (int i = 0; i < STEPS && in.n > 0; i++) {
		uint8_t step = take8(&in);

		switch (step % KINDS) {
		case SEND:
			send(&r, step >> 3 & 7, step >> 2 & 1, take(&in, take8(&in)));
			break;
		case CHUNK:
			send_chunk(&r, &in);
			break;
		case MARK:
			send_mark(&r, step);
			break;
		default:
			reset(&r);
		}
		check_slots(&r);
	}
	fuzz_check(&r.b);
	return 0;
}
