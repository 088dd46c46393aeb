// SPDX-License-Identifier: Apache-2.0
// Group 1, images: what may be written where, and what a slot is taken for.
#include "board.h"

#include "../core/image.h"

#include <string.h>

enum { SLOT = 2048, PAYLOAD = 700, IMAGE = ENR_IMAGE_HEADER + PAYLOAD + 8 + ENR_SHA256 };
enum { STATE = 0, UPLOAD = 1, ERASE = 5 };

// Two slots in memory with a guard behind each, and what the core did to them.
struct slots {
	uint8_t data[2][SLOT + 64];
	unsigned flags;
	uint32_t end;  // of what was written into slot 1 since it was erased
	int erased;    // times
	bool broken;   // flash answers with errors
};

static int slots_read(void *ctx, unsigned slot, uint32_t off, uint8_t *data, size_t n)
{
	const struct slots *s = ctx;

	CHECK(slot < 2 && off <= SLOT && n <= SLOT - off, "read of %zu bytes at %u of slot %u", n, off, slot);
	memcpy(data, s->data[slot] + off, n);
	return s->broken ? -1 : 0;
}

static int slots_erase(void *ctx)
{
	struct slots *s = ctx;

	memset(s->data[1], 0xff, SLOT);
	s->end = 0;
	s->erased++;
	return s->broken ? -1 : 0;
}

static int slots_write(void *ctx, uint32_t off, const uint8_t *data, size_t n)
{
	struct slots *s = ctx;

	CHECK(off == s->end && off % ENR_FLASH_UNIT == 0, "a write at %u behind one up to %u", off, s->end);
	CHECK(n > 0 && n <= SLOT - off, "a write of %zu bytes at %u", n, off);
	memcpy(s->data[1] + off, data, n);
	s->end = off + (uint32_t)n;
	return s->broken ? -1 : 0;
}

static unsigned slots_flags(void *ctx)
{
	return ((struct slots *)ctx)->flags;
}

static int slots_start(void *ctx, bool permanent)
{
	struct slots *s = ctx;

	s->flags |= ENR_IMAGE_PENDING | (permanent ? ENR_IMAGE_PERMANENT : 0u);
	return s->broken ? -1 : 0;
}

static int slots_confirm(void *ctx)
{
	struct slots *s = ctx;

	s->flags |= ENR_IMAGE_CONFIRMED;
	return s->broken ? -1 : 0;
}

// A board with images, and one of them to be written.
struct rig {
	struct board b;
	struct slots slots;
	struct enr_image_port port;
	struct enr_images images;
	uint8_t image[IMAGE], sha[ENR_SHA256];
};

static void put_le(uint8_t *p, uint32_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

// Makes an image with a payload of n bytes; returns its size.
static uint32_t make_image(uint8_t *out, uint32_t n, uint8_t major)
{
	uint8_t *values = out + ENR_IMAGE_HEADER + n;

	memset(out, 0, ENR_IMAGE_HEADER);
	put_le(out, 0x96f3b83d, 4);
	put_le(out + 8, ENR_IMAGE_HEADER, 2);
	put_le(out + 12, n, 4);
	out[20] = major;
	out[21] = 4;
	put_le(out + 22, 7, 2);
	for (uint32_t i = 0; i < n; i++)
		out[ENR_IMAGE_HEADER + i] = (uint8_t)(i * 7 + major);
	put_le(values, 0x6907, 2);
	put_le(values + 2, 8 + ENR_SHA256, 2);
	put_le(values + 4, 0x10, 2);
	put_le(values + 6, ENR_SHA256, 2);
	sha256((struct enr_bytes){out, ENR_IMAGE_HEADER + n}, values + 8);
	return ENR_IMAGE_HEADER + n + 8 + ENR_SHA256;
}

static void rig_init(struct rig *r)
{
	board_init(&r->b);
	memset(&r->slots, 0xee, sizeof r->slots);
	r->slots.flags = ENR_IMAGE_CONFIRMED;
	r->slots.broken = false;
	r->slots.erased = 0;
	slots_erase(&r->slots);
	memset(r->slots.data[0], 0xff, SLOT);
	make_image(r->slots.data[0], 100, 1);
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
	r->slots.erased = 0;
	r->images = (struct enr_images){.port = &r->port};
	r->b.config.other = enr_images_command;
	r->b.config.other_ctx = &r->images;
	make_image(r->image, PAYLOAD, 2);
	sha256((struct enr_bytes){r->image, IMAGE}, r->sha);
	board_boot(&r->b);
}

// Nothing wrote behind a slot.
static void rig_check(const struct rig *r)
{
	for (int i = 0; i < 64; i++)
		CHECK(r->slots.data[0][SLOT + i] == 0xee && r->slots.data[1][SLOT + i] == 0xee, "byte %d behind a slot", i);
}

static const struct enr_field off_field[] = {{"off", ENR_UINT, true, 0, ENR_ANY}, {"match", ENR_BOOL, false, 0, 0}};

// The rc in an answer of group 1, 100 + rc for one of the transport, 0 for none.
static int image_rc(const struct board *b)
{
	static const uint8_t err[] = "\xa1\x63" "err" "\xa2\x65" "group" "\x01\x62" "rc";
	static const uint8_t plain[] = "\xa1\x62" "rc";

	if (b->answer_len >= sizeof err && memcmp(b->answer, err, sizeof err - 1) == 0)
		return b->answer[b->answer_len - 1];
	if (b->answer_len == sizeof plain && memcmp(b->answer, plain, sizeof plain - 1) == 0)
		return 100 + b->answer[sizeof plain - 1];
	return 0;
}

// Sends a chunk; returns the offset wanted next, or minus the rc.
static long send_chunk(struct rig *r, uint64_t off, struct enr_bytes data, uint64_t len, struct enr_bytes sha)
{
	struct request q;
	struct enr_writer *w = request_start(&q, off == 0 ? 4 : 2);
	struct enr_value v[2];

	enr_put_text(w, "off");
	enr_put_uint(w, off);
	enr_put_text(w, "data");
	enr_put_bytes(w, data.data, data.len);
	if (off == 0) {
		enr_put_text(w, "len");
		enr_put_uint(w, len);
		enr_put_text(w, "sha");
		enr_put_bytes(w, sha.data, sha.len);
	}
	CHECK(!w->over, "the chunk does not fit");
	board_ask(&r->b, ENR_IMAGE_GROUP, UPLOAD, true, q.bytes, w->len);
	if (image_rc(&r->b) != 0)
		return -image_rc(&r->b);
	board_answer(&r->b, off_field, 2, v);
	CHECK(!v[1].present || v[0].num == len || off > 0, "match in the middle");
	return (long)v[0].num;
}

static long send_part(struct rig *r, uint64_t off, size_t n)
{
	return send_chunk(r, off, (struct enr_bytes){r->image + off, n}, IMAGE, (struct enr_bytes){r->sha, ENR_SHA256});
}

static int mark(struct rig *r, const uint8_t *hash, bool confirm)
{
	struct request q;
	struct enr_writer *w = request_start(&q, hash != NULL ? 2 : 1);

	if (hash != NULL) {
		enr_put_text(w, "hash");
		enr_put_bytes(w, hash, ENR_SHA256);
	}
	enr_put_text(w, "confirm");
	enr_put_bool(w, confirm);
	board_ask(&r->b, ENR_IMAGE_GROUP, STATE, true, q.bytes, w->len);
	return image_rc(&r->b);
}

static void upload_all(struct rig *r)
{
	long off = 0;

	for (int i = 0; off < IMAGE; i++) {
		size_t left = IMAGE - (size_t)off;

		CHECK(i < 20, "the upload does not get on");
		off = send_part(r, (uint64_t)off, left < 200 ? left : 200);
		CHECK(off > 0, "chunk %d: rc %ld", i, -off);
	}
	CHECK(memcmp(r->slots.data[1], r->image, IMAGE) == 0, "another image is stored");
	CHECK(r->b.answer[r->b.answer_len - 1] == 0xf5, "the board finds no match");
}

void test_image_upload(void)
{
	static struct rig r;
	const uint8_t *digest = r.image + IMAGE - ENR_SHA256;
	struct enr_image found;
	char version[ENR_IMAGE_VERSION];

	rig_init(&r);
	upload_all(&r);
	CHECK(r.slots.erased == 1, "erased %d times", r.slots.erased);
	CHECK(enr_image_find(&r.port, 1, &found) && memcmp(found.digest, digest, ENR_SHA256) == 0, "not found");
	enr_image_version(&found, version);
	CHECK(strcmp(version, "2.4.7") == 0, "version %s", version);
	memset(found.version, 0xff, sizeof found.version);
	enr_image_version(&found, version);
	CHECK(strcmp(version, "255.255.65535.4294967295") == 0, "version %s", version);
	CHECK(enr_image_intact(&r.port, 0) && enr_image_intact(&r.port, 1), "not intact");

	CHECK(mark(&r, digest, false) == 0 && r.slots.flags == (ENR_IMAGE_CONFIRMED | ENR_IMAGE_PENDING), "test");
	CHECK(send_part(&r, 0, 200) == -9, "an upload over an image that is about to start");
	board_ask(&r.b, ENR_IMAGE_GROUP, ERASE, true, NULL, 0);
	CHECK(image_rc(&r.b) == 9, "an erase of it");
	r.slots.flags = 0; // as the boot loader leaves it on trial
	CHECK(send_part(&r, 0, 200) == -9, "an upload over the way back");
	CHECK(mark(&r, digest, false) == 28, "a test of the way back");
	CHECK(mark(&r, NULL, true) == 0 && r.slots.flags == ENR_IMAGE_CONFIRMED, "confirm");
	CHECK(mark(&r, digest, true) == 0 && r.slots.flags & ENR_IMAGE_PERMANENT, "start for good");
	r.slots.flags = ENR_IMAGE_CONFIRMED;
	board_ask(&r.b, ENR_IMAGE_GROUP, ERASE, true, NULL, 0);
	CHECK(image_rc(&r.b) == 0 && !enr_image_find(&r.port, 1, &found), "erase");
	CHECK(mark(&r, digest, false) == 8, "a test of nothing");
	CHECK(mark(&r, NULL, false) == 24, "a test of no image");
	CHECK(mark(&r, r.slots.data[0] + ENR_IMAGE_HEADER + 100 + 8, false) == 33, "a test of what runs");
	rig_check(&r);
}

void test_image_offsets(void)
{
	static struct rig r;
	struct enr_bytes sha = {r.sha, ENR_SHA256}, none = {r.sha, 0}, head = {r.image, 100};
	static uint8_t other[32];

	rig_init(&r);
	CHECK(send_chunk(&r, 64, head, 0, none) == 0, "a chunk of no upload");
	CHECK(send_chunk(&r, 0, (struct enr_bytes){r.image, 31}, IMAGE, sha) == -22, "a chunk without the header");
	CHECK(send_chunk(&r, 0, (struct enr_bytes){r.image + 1, 100}, IMAGE, sha) == -23, "no image");
	CHECK(send_chunk(&r, 0, head, SLOT + 1, sha) == -30, "an image over the slot");
	CHECK(send_chunk(&r, 0, head, UINT32_MAX, sha) == -30, "an image of 4 GiB");
	CHECK(send_chunk(&r, 0, head, (uint64_t)UINT32_MAX + 1, sha) == -103, "an image of over 4 GiB");
	CHECK(send_chunk(&r, 0, head, 99, sha) == -31, "more than was announced");
	CHECK(r.slots.erased == 0, "a slot was erased %d times for what was refused", r.slots.erased);

	CHECK(send_part(&r, 0, 100) == 96, "cut to whole units");
	CHECK(r.slots.erased == 1, "erased");
	CHECK(send_part(&r, 128, 64) == 96 && send_part(&r, 32, 64) == 96, "a gap or an overlap");
	CHECK(send_part(&r, 96, 31) == 96, "less than a unit");
	CHECK(send_part(&r, 96, 64) == 160, "goes on");
	CHECK(send_part(&r, 96, 64) == 160, "a repeat");
	CHECK(send_part(&r, 0, 100) == 160 && r.slots.erased == 1, "the same upload again");
	CHECK(send_part(&r, 160, 480) == 640, "goes on");
	CHECK(send_chunk(&r, 640, (struct enr_bytes){r.image, IMAGE - 640 + 1}, 0, none) == -31, "too much at the end");
	CHECK(send_chunk(&r, 0, head, IMAGE, (struct enr_bytes){other, 32}) == 96 && r.slots.erased == 2, "another upload");
	CHECK(send_chunk(&r, 0, head, IMAGE - 1, (struct enr_bytes){other, 32}) == 96 && r.slots.erased == 3, "another size");
	CHECK(send_chunk(&r, 0, head, IMAGE, none) == 96 && r.slots.erased == 4, "one without a digest");
	CHECK(send_chunk(&r, 0, head, IMAGE, none) == 96 && r.slots.erased == 5, "is not resumed");
	CHECK(send_part(&r, 0, 200) == 192, "begin");
	r.slots.flags |= ENR_IMAGE_PENDING;
	CHECK(send_part(&r, 192, 64) == -9, "it goes on over what is about to start");
	r.slots.flags = ENR_IMAGE_CONFIRMED;
	CHECK(send_part(&r, 192, 64) == 256, "goes on");
	r.images = (struct enr_images){.port = &r.port}; // the power was cut
	CHECK(send_part(&r, 192, 64) == 0, "an upload that RAM has lost");
	upload_all(&r);
	rig_check(&r);
}

// What is no image in a slot is not taken for one, whatever its header says.
void test_image_bounds(void)
{
	static struct rig r;
	static const uint32_t sizes[] = {0, PAYLOAD - 1, PAYLOAD + 1, SLOT, SLOT - ENR_IMAGE_HEADER, 0x7fffffff, UINT32_MAX};
	static uint8_t whole[SLOT];
	struct enr_image found;
	uint32_t n;

	rig_init(&r);
	upload_all(&r);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		put_le(r.slots.data[1] + 12, sizes[i], 4);
		CHECK(!enr_image_find(&r.port, 1, &found), "a size of %u", sizes[i]);
	}
	put_le(r.slots.data[1] + 12, PAYLOAD, 4);
	put_le(r.slots.data[1] + 10, UINT16_MAX, 2);
	CHECK(!enr_image_find(&r.port, 1, &found), "protected values behind the slot");
	put_le(r.slots.data[1] + 10, 0, 2);
	put_le(r.slots.data[1] + ENR_IMAGE_HEADER + PAYLOAD + 6, UINT16_MAX, 2);
	CHECK(!enr_image_find(&r.port, 1, &found), "a value behind the slot");
	put_le(r.slots.data[1] + ENR_IMAGE_HEADER + PAYLOAD + 6, ENR_SHA256, 2);
	put_le(r.slots.data[1] + ENR_IMAGE_HEADER + PAYLOAD + 2, 7 + ENR_SHA256, 2);
	CHECK(!enr_image_find(&r.port, 1, &found), "a digest behind its list");
	put_le(r.slots.data[1] + ENR_IMAGE_HEADER + PAYLOAD + 2, 8 + ENR_SHA256, 2);
	CHECK(enr_image_intact(&r.port, 1), "as it was");
	r.slots.data[1][ENR_IMAGE_HEADER + 5] ^= 1;
	CHECK(enr_image_find(&r.port, 1, &found) && !enr_image_intact(&r.port, 1), "a changed byte");

	// An image that fills its slot to the last byte.
	n = make_image(whole, SLOT - ENR_IMAGE_HEADER - 8 - ENR_SHA256, 3);
	CHECK(n == SLOT, "an image of %u bytes", n);
	memcpy(r.slots.data[1], whole, SLOT);
	CHECK(enr_image_intact(&r.port, 1), "a full slot");
	// Values without end.
	memset(r.slots.data[1] + ENR_IMAGE_HEADER + 16, 0, SLOT - ENR_IMAGE_HEADER - 16);
	put_le(r.slots.data[1] + 12, 16, 4);
	put_le(r.slots.data[1] + ENR_IMAGE_HEADER + 16, 0x6907, 2);
	put_le(r.slots.data[1] + ENR_IMAGE_HEADER + 18, UINT16_MAX, 2);
	CHECK(!enr_image_find(&r.port, 1, &found), "values without end");
	rig_check(&r);
}

// Flash that fails is told, and malformed requests are, with nothing changed.
void test_image_refusals(void)
{
	static struct rig r;
	static const uint8_t *const digest = r.image + IMAGE - ENR_SHA256;
	static const struct {
		uint8_t cmd;
		bool write;
		const char *payload;
		int rc;
	} cases[] = {
		{STATE, false, "", 0},      {STATE, false, "\xff", 103}, {STATE, true, "\xa1\x64" "hash\x01", 103},
		{UPLOAD, true, "\xa0", 103}, {UPLOAD, true, "\xa1\x64" "data\x40", 20},
		{UPLOAD, false, "", 108},   {ERASE, false, "", 108},     {2, true, "", 108},
		{6, false, "", 108},        {255, true, "", 108},
	};

	rig_init(&r);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		board_ask(&r.b, ENR_IMAGE_GROUP, cases[i].cmd, cases[i].write, (const uint8_t *)cases[i].payload,
			  strlen(cases[i].payload));
		CHECK(image_rc(&r.b) == cases[i].rc, "case %zu: rc %d", i, image_rc(&r.b));
	}
	CHECK(r.slots.erased == 0, "something was erased");
	CHECK(send_part(&r, 0, 200) == 192, "begin");
	r.slots.broken = true;
	CHECK(send_part(&r, 192, 64) == -12, "a write that fails");
	CHECK(send_part(&r, 0, 64) == -13, "an erase that fails");
	r.slots.broken = false;
	upload_all(&r);
	r.slots.broken = true;
	CHECK(mark(&r, digest, true) == 8, "a slot that cannot be read");
	CHECK(mark(&r, NULL, true) == 12, "a confirm that fails");
	rig_check(&r);
}
