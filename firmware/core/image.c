// SPDX-License-Identifier: Apache-2.0
#include "image.h"

#ifdef ENR_IMAGES

#include "command.h"

#include <string.h>

enum { STATE = 0, UPLOAD = 1, ERASE = 5 };
enum { MGMT_NO_MEMORY = 2, MGMT_INVALID = 3 };

// Codes of the group, as in MCUmgr.
enum image_rc {
	IMAGE_OK = 0,
	IMAGE_HASH_NOT_FOUND = 8,
	IMAGE_NO_FREE_SLOT = 9,
	IMAGE_READ_FAILED = 11,
	IMAGE_WRITE_FAILED = 12,
	IMAGE_ERASE_FAILED = 13,
	IMAGE_NO_OFFSET = 20,
	IMAGE_NO_LENGTH = 21,
	IMAGE_NO_HEADER = 22,
	IMAGE_BAD_MAGIC = 23,
	IMAGE_BAD_HASH = 24,
	IMAGE_PENDING = 28,
	IMAGE_TOO_LARGE = 30,
	IMAGE_OVERRUN = 31,
	IMAGE_TEST_OF_ACTIVE = 33,
};

// MCUboot's image: little-endian throughout.
static const uint8_t magic[4] = {0x3d, 0xb8, 0xf3, 0x96};
enum { VALUES_MAGIC = 0x6907, SHA256_VALUE = 0x10, VALUES_MAX = 64 };
enum { PIECE = 256 }; // of a slot that is hashed

static uint32_t le16(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t le32(const uint8_t *p)
{
	return le16(p) | le16(p + 2) << 16;
}

// Reads n bytes of a slot, if it has them.
static bool get(const struct enr_image_port *p, unsigned slot, uint64_t off, uint8_t *data, size_t n)
{
	return off + n <= p->slot_size && p->read(p->ctx, slot, (uint32_t)off, data, n) == 0;
}

// Finds the digest among the tagged values at off.
static bool find_digest(const struct enr_image_port *p, unsigned slot, uint64_t off, uint8_t digest[ENR_SHA256])
{
	uint8_t head[4];
	uint64_t end;

	if (!get(p, slot, off, head, sizeof head) || le16(head) != VALUES_MAGIC)
		return false;
	end = off + le16(head + 2);
	off += sizeof head;
	for (int i = 0; i < VALUES_MAX && off + sizeof head <= end; i++) {
		uint32_t size;

		if (!get(p, slot, off, head, sizeof head))
			return false;
		size = le16(head + 2);
		off += sizeof head;
		if (le16(head) == SHA256_VALUE && size == ENR_SHA256)
			return off + size <= end && get(p, slot, off, digest, ENR_SHA256);
		off += size;
	}
	return false;
}

bool enr_image_find(const struct enr_image_port *port, unsigned slot, struct enr_image *image)
{
	uint8_t head[ENR_IMAGE_HEADER];
	uint64_t covered;

	if (!get(port, slot, 0, head, sizeof head) || memcmp(head, magic, sizeof magic) != 0)
		return false;
	// header, payload, protected values
	covered = (uint64_t)le16(head + 8) + le32(head + 12) + le16(head + 10);
	if (!find_digest(port, slot, covered, image->digest))
		return false;
	image->covered = (uint32_t)covered; // it is inside the slot
	memcpy(image->version, head + 20, sizeof image->version);
	return true;
}

// SHA-256 of the first n bytes of a slot.
static bool hash_slot(const struct enr_image_port *p, unsigned slot, uint32_t n, uint8_t out[ENR_SHA256])
{
	uint8_t piece[PIECE];
	struct enr_hash h;
	enum enr_rc rc = enr_hash_start(&h);

	for (uint32_t off = 0, part; rc == ENR_OK && off < n; off += part) {
		part = n - off < PIECE ? n - off : PIECE;
		if (!get(p, slot, off, piece, part)) {
			enr_hash_abort(&h);
			return false;
		}
		rc = enr_hash_update(&h, piece, part);
	}
	return rc == ENR_OK && enr_hash_finish(&h, out) == ENR_OK;
}

bool enr_image_intact(const struct enr_image_port *port, unsigned slot)
{
	struct enr_image image;
	uint8_t sha[ENR_SHA256];

	return enr_image_find(port, slot, &image) && hash_slot(port, slot, image.covered, sha) &&
	       memcmp(sha, image.digest, sizeof sha) == 0;
}

static char *put_number(char *out, uint32_t v)
{
	char digits[10];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	while (n > 0)
		*out++ = digits[--n];
	return out;
}

void enr_image_version(const struct enr_image *image, char out[ENR_IMAGE_VERSION])
{
	const uint8_t *v = image->version;
	uint32_t build = le32(v + 4);

	out = put_number(out, v[0]);
	*out++ = '.';
	out = put_number(out, v[1]);
	*out++ = '.';
	out = put_number(out, le16(v + 2));
	if (build > 0) {
		*out++ = '.';
		out = put_number(out, build);
	}
	*out = 0;
}

static void put_flag(struct enr_writer *w, const char *name, bool set)
{
	enr_put_text(w, name);
	enr_put_bool(w, set);
}

static void put_slot(struct enr_writer *w, unsigned slot, const struct enr_image *image, unsigned flags)
{
	char version[ENR_IMAGE_VERSION];
	bool on_trial = !(flags & ENR_IMAGE_CONFIRMED), pending = slot == 1 && flags & ENR_IMAGE_PENDING;

	enr_image_version(image, version);
	enr_put_map(w, 8);
	enr_entry_uint(w, "slot", slot);
	enr_entry_text(w, "version", version);
	enr_entry_bytes(w, "hash", image->digest, ENR_SHA256);
	put_flag(w, "bootable", true);
	put_flag(w, "pending", pending);
	// While slot 0 is on trial, the image that was confirmed is in slot 1.
	put_flag(w, "confirmed", slot == 0 ? !on_trial : on_trial);
	put_flag(w, "active", slot == 0);
	put_flag(w, "permanent", pending && flags & ENR_IMAGE_PERMANENT);
}

static enum image_rc state(const struct enr_images *im, struct enr_writer *w)
{
	struct enr_image image[2];
	bool there[2];
	unsigned flags = im->port->flags(im->port->ctx);

	for (unsigned slot = 0; slot < 2; slot++)
		there[slot] = enr_image_find(im->port, slot, &image[slot]);
	enr_put_map(w, 1);
	enr_put_text(w, "images");
	enr_put_array(w, (unsigned)there[0] + there[1]);
	for (unsigned slot = 0; slot < 2; slot++) {
		if (there[slot])
			put_slot(w, slot, &image[slot], flags);
	}
	return IMAGE_OK;
}

enum { MARK_HASH, MARK_CONFIRM, MARK_FIELDS };
static const struct enr_field mark_fields[] = {
	[MARK_HASH] = {"hash", ENR_BYTES, false, 0, ENR_SHA256},
	[MARK_CONFIRM] = {"confirm", ENR_BOOL, false, 0, 0},
};

static bool is_in(const struct enr_images *im, unsigned slot, const struct enr_value *hash)
{
	struct enr_image image;

	return hash->len == ENR_SHA256 && enr_image_find(im->port, slot, &image) &&
	       memcmp(hash->data, image.digest, ENR_SHA256) == 0;
}

// Has the boot loader start slot 1 next, or keep slot 0.
static enum image_rc mark(const struct enr_images *im, const struct enr_value *v, struct enr_writer *w)
{
	const struct enr_image_port *p = im->port;
	bool keep = v[MARK_CONFIRM].num != 0;
	int failed;

	if (v[MARK_HASH].len == 0 && !keep)
		return IMAGE_BAD_HASH;
	if (v[MARK_HASH].len == 0 || is_in(im, 0, &v[MARK_HASH])) {
		if (!keep)
			return IMAGE_TEST_OF_ACTIVE;
		failed = p->confirm(p->ctx);
	} else if (!is_in(im, 1, &v[MARK_HASH])) {
		return IMAGE_HASH_NOT_FOUND;
	} else if (!(p->flags(p->ctx) & ENR_IMAGE_CONFIRMED)) {
		return IMAGE_PENDING; // slot 1 holds the way back
	} else {
		failed = p->start(p->ctx, keep);
	}
	return failed ? IMAGE_WRITE_FAILED : state(im, w);
}

// Whether slot 1 may be overwritten.
static bool is_free(const struct enr_images *im)
{
	unsigned flags = im->port->flags(im->port->ctx);

	return flags & ENR_IMAGE_CONFIRMED && !(flags & ENR_IMAGE_PENDING);
}

static enum image_rc erase(struct enr_images *im, struct enr_writer *w)
{
	if (!is_free(im))
		return IMAGE_NO_FREE_SLOT;
	im->receiving = false;
	enr_put_map(w, 0);
	return im->port->erase(im->port->ctx) == 0 ? IMAGE_OK : IMAGE_ERASE_FAILED;
}

enum { UP_IMAGE, UP_OFF, UP_LEN, UP_SHA, UP_DATA, UP_FIELDS };
static const struct enr_field upload_fields[] = {
	[UP_IMAGE] = {"image", ENR_UINT, false, 0, 0},
	[UP_OFF] = {"off", ENR_UINT32, false, 0, ENR_ANY},
	[UP_LEN] = {"len", ENR_UINT32, false, 0, ENR_ANY},
	[UP_SHA] = {"sha", ENR_BYTES, false, 0, ENR_SHA256},
	[UP_DATA] = {"data", ENR_BYTES, true, 0, ENR_ANY},
};

static enum image_rc put_offset(const struct enr_images *im, struct enr_writer *w)
{
	enr_put_map(w, 1);
	enr_entry_uint(w, "off", im->got);
	return IMAGE_OK;
}

// Whether a first chunk belongs to the upload under way.
static bool resumes(const struct enr_images *im, const struct enr_value *v)
{
	const struct enr_value *sha = &v[UP_SHA];

	return im->receiving && sha->len > 0 && sha->len == im->sha_len && v[UP_LEN].num == im->len &&
	       memcmp(sha->data, im->sha, sha->len) == 0;
}

// Checks a first chunk and erases the slot for what it begins.
static enum image_rc begin(struct enr_images *im, const struct enr_value *v)
{
	const struct enr_value *sha = &v[UP_SHA];

	if (!is_free(im))
		return IMAGE_NO_FREE_SLOT;
	if (v[UP_LEN].num > im->port->slot_size)
		return IMAGE_TOO_LARGE;
	if (v[UP_DATA].len > v[UP_LEN].num)
		return IMAGE_OVERRUN; // before the slot is erased: nothing is lost for what is refused
	im->receiving = false;
	if (im->port->erase(im->port->ctx) != 0)
		return IMAGE_ERASE_FAILED;
	im->receiving = true;
	im->len = (uint32_t)v[UP_LEN].num;
	im->got = 0;
	im->sha_len = sha->len;
	if (sha->len > 0)
		memcpy(im->sha, sha->data, sha->len);
	return IMAGE_OK;
}

// Ends an upload: tells whether what is stored is what was announced.
static enum image_rc finish(struct enr_images *im, struct enr_writer *w)
{
	uint8_t sha[ENR_SHA256];

	im->receiving = false;
	if (!hash_slot(im->port, 1, im->len, sha))
		return IMAGE_READ_FAILED;
	enr_put_map(w, 2);
	enr_entry_uint(w, "off", im->got);
	put_flag(w, "match", memcmp(sha, im->sha, im->sha_len) == 0);
	return IMAGE_OK;
}

// Writes a chunk that continues. All but the last are cut to whole units; the
// answer says where to go on.
static enum image_rc append(struct enr_images *im, const struct enr_value *data, struct enr_writer *w)
{
	size_t n = data->len;

	if (!is_free(im))
		return IMAGE_NO_FREE_SLOT; // what has arrived was marked meanwhile
	if (n > im->len - im->got)
		return IMAGE_OVERRUN;
	if (n < im->len - im->got)
		n = n / ENR_FLASH_UNIT * ENR_FLASH_UNIT;
	if (n > 0 && im->port->write(im->port->ctx, im->got, data->data, n) != 0) {
		im->receiving = false;
		return IMAGE_WRITE_FAILED;
	}
	im->got += (uint32_t)n;
	return im->got == im->len ? finish(im, w) : put_offset(im, w);
}

static enum image_rc upload(struct enr_images *im, const struct enr_value *v, struct enr_writer *w)
{
	enum image_rc rc;

	if (!v[UP_OFF].present)
		return IMAGE_NO_OFFSET;
	if (v[UP_OFF].num == 0) {
		if (v[UP_DATA].len < ENR_IMAGE_HEADER)
			return IMAGE_NO_HEADER;
		if (!v[UP_LEN].present)
			return IMAGE_NO_LENGTH;
		if (memcmp(v[UP_DATA].data, magic, sizeof magic) != 0)
			return IMAGE_BAD_MAGIC;
		if (resumes(im, v))
			return put_offset(im, w);
		rc = begin(im, v);
		if (rc != IMAGE_OK)
			return rc;
	}
	if (!im->receiving) {
		enr_put_map(w, 1);
		enr_entry_uint(w, "off", 0);
		return IMAGE_OK;
	}
	return v[UP_OFF].num == im->got ? append(im, &v[UP_DATA], w) : put_offset(im, w);
}

static void put_refusal(struct enr_writer *w, enum image_rc rc)
{
	w->len = 0;
	w->over = false;
	enr_put_map(w, 1);
	enr_put_error(w, ENR_IMAGE_GROUP, rc);
}

int enr_images_command(void *ctx, const struct enr_message *m, uint8_t *answer, size_t cap)
{
	struct enr_images *im = ctx;
	struct enr_writer w = {.buf = answer, .cap = cap};
	struct enr_value v[UP_FIELDS];
	bool writes = m->op == ENR_WRITE, marks = writes && m->cmd == STATE, uploads = writes && m->cmd == UPLOAD;
	const struct enr_field *fields = uploads ? upload_fields : mark_fields;
	size_t count = uploads ? (size_t)UP_FIELDS : marks ? (size_t)MARK_FIELDS : 0;
	enum image_rc rc;

	if (m->group != ENR_IMAGE_GROUP || (m->cmd != STATE && !(writes && (m->cmd == UPLOAD || m->cmd == ERASE))))
		return -1;
	if (!enr_cbor_read(m->payload, m->len, fields, count, v)) {
		enr_put_plain(&w, MGMT_INVALID);
		return (int)w.len;
	}
	if (uploads)
		rc = upload(im, v, &w);
	else if (marks)
		rc = mark(im, v, &w);
	else
		rc = m->cmd == ERASE ? erase(im, &w) : state(im, &w);
	if (rc != IMAGE_OK)
		put_refusal(&w, rc);
	if (w.over)
		enr_put_plain(&w, MGMT_NO_MEMORY);
	return (int)w.len;
}

#endif
