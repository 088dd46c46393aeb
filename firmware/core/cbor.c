// SPDX-License-Identifier: Apache-2.0
#include "cbor.h"

#include <string.h>

enum { UINT, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };
enum { INDEFINITE = 31, BREAK = 0xff, FALSE_BYTE = 0xf4, TRUE_BYTE = 0xf5 };

struct reader {
	const uint8_t *p, *end;
};

struct string {
	const uint8_t *data;
	size_t len;
};

// The first part of an item. info is 31 for an indefinite length.
struct head {
	uint8_t major, info;
	uint64_t arg;
};

static size_t left(const struct reader *r)
{
	return (size_t)(r->end - r->p);
}

static bool read_head(struct reader *r, struct head *h)
{
	size_t n;

	if (left(r) == 0)
		return false;
	h->major = *r->p >> 5;
	h->info = *r->p & 31;
	h->arg = h->info;
	r->p++;
	if (h->info < 24 || h->info == INDEFINITE)
		return true;
	if (h->info > 27)
		return false;
	n = (size_t)1 << (h->info - 24);
	if (left(r) < n)
		return false;
	for (h->arg = 0; n > 0; n--)
		h->arg = h->arg << 8 | *r->p++;
	return true;
}

static bool read_string(struct reader *r, const struct head *h, struct string *s)
{
	if (h->info == INDEFINITE || h->arg > left(r))
		return false;
	if (h->major == TEXT && h->arg > ENR_CBOR_TEXT)
		return false;
	s->data = r->p;
	s->len = (size_t)h->arg;
	r->p += s->len;
	return true;
}

// Whether a container has another element after n. Takes the break that ends
// one of indefinite length; the end of the data is left to the next read.
static bool more(struct reader *r, const struct head *h, unsigned n)
{
	if (h->info != INDEFINITE)
		return n < h->arg;
	if (left(r) == 0 || *r->p != BREAK)
		return true;
	r->p++;
	return false;
}

// Heads that are whole items. A break is none: its container takes it.
static bool plain(const struct head *h)
{
	if (h->info == INDEFINITE)
		return false;
	return h->major != SIMPLE || h->info != 24 || h->arg >= 32;
}

// Passes over one item of any kind; depth counts the containers around it. The
// recursion ends at ENR_CBOR_NESTING.
static bool skip(struct reader *r, int depth)
{
	struct string ignored;
	struct head h;
	unsigned limit;

	do {
		if (!read_head(r, &h))
			return false;
	} while (h.major == TAG && h.info != INDEFINITE);
	if (h.major == BYTES || h.major == TEXT)
		return read_string(r, &h, &ignored);
	if (h.major != ARRAY && h.major != MAP)
		return plain(&h);
	if (++depth > ENR_CBOR_NESTING)
		return false;
	limit = h.major == MAP ? ENR_CBOR_MAP : ENR_CBOR_ARRAY;
	for (unsigned n = 0; more(r, &h, n); n++) {
		if (n == limit || (h.major == MAP && !skip(r, depth)) || !skip(r, depth))
			return false;
	}
	return true;
}

// Whether s is UTF-8 (RFC 3629): no overlong form, no surrogate, nothing above
// U+10FFFF.
static bool is_utf8(const struct string *s)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};

	for (size_t i = 0; i < s->len;) {
		uint8_t c = s->data[i++];
		unsigned tail = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
		uint32_t point = c < 0x80 ? c : c & (0x3fu >> tail);

		if ((c >= 0x80 && c < 0xc0) || c > 0xf7 || tail > s->len - i)
			return false;
		for (unsigned k = 0; k < tail; k++, i++) {
			if ((s->data[i] & 0xc0) != 0x80)
				return false;
			point = point << 6 | (s->data[i] & 0x3f);
		}
		if (point < least[tail] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
			return false;
	}
	return true;
}

static bool is_printable(const struct string *s)
{
	static const char others[12] = " '()+,-./:=?"; // no terminator: 0 is none of them

	for (size_t i = 0; i < s->len; i++) {
		uint8_t c = s->data[i];
		bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

		if (!letter && !(c >= '0' && c <= '9') && memchr(others, c, sizeof others) == NULL)
			return false;
	}
	return true;
}

static bool in_range(const struct enr_field *f, uint64_t v)
{
	return v >= f->min && (v <= f->max || f->max == ENR_ANY);
}

static bool read_string_field(struct reader *r, const struct head *h, const struct enr_field *f,
			      struct enr_value *v)
{
	struct string s;

	if (h->major != (f->type == ENR_BYTES ? BYTES : TEXT) || !read_string(r, h, &s))
		return false;
	v->data = s.data;
	v->len = s.len;
	if (f->type == ENR_TEXT && !is_utf8(&s))
		return false;
	return in_range(f, s.len) && (f->type != ENR_PRINTABLE || is_printable(&s));
}

// Reads the value of a field: exactly its type, no tag around it.
static bool read_field(struct reader *r, const struct enr_field *f, struct enr_value *v)
{
	uint8_t first = left(r) > 0 ? *r->p : 0;
	struct head h;

	v->present = true;
	if (!read_head(r, &h))
		return false;
	switch (f->type) {
	case ENR_UINT32:
		if (h.arg > UINT32_MAX)
			return false;
		// fall through
	case ENR_UINT:
		v->num = h.arg;
		return h.major == UINT && h.info != INDEFINITE && in_range(f, h.arg);
	case ENR_BOOL:
		v->num = first == TRUE_BYTE;
		return first == TRUE_BYTE || first == FALSE_BYTE;
	default:
		return read_string_field(r, &h, f, v);
	}
}

static bool same(const struct string *key, const uint8_t *data, size_t n)
{
	return key->len == n && memcmp(key->data, data, n) == 0;
}

// Reads the key of entry n and refuses one that came before.
static bool read_key(struct reader *r, struct string *keys, unsigned n)
{
	struct head h;

	if (!read_head(r, &h) || h.major != TEXT || !read_string(r, &h, &keys[n]))
		return false;
	for (unsigned i = 0; i < n; i++) {
		if (same(&keys[i], keys[n].data, keys[n].len))
			return false;
	}
	return true;
}

static bool read_entry(struct reader *r, const struct string *key, const struct enr_field *fields,
		       size_t count, struct enr_value *values)
{
	for (size_t i = 0; i < count; i++) {
		if (same(key, (const uint8_t *)fields[i].name, strlen(fields[i].name)))
			return read_field(r, &fields[i], &values[i]);
	}
	return skip(r, 1);
}

bool enr_cbor_read(const uint8_t *data, size_t n, const struct enr_field *fields, size_t count,
		   struct enr_value *values)
{
	static const uint8_t empty_map = 0xa0;
	struct reader r = {n ? data : &empty_map, n ? data + n : &empty_map + 1};
	struct string keys[ENR_CBOR_MAP];
	struct head h;

	if (count > 0)
		memset(values, 0, count * sizeof *values);
	if (!read_head(&r, &h) || h.major != MAP)
		return false;
	for (unsigned i = 0; more(&r, &h, i); i++) {
		if (i == ENR_CBOR_MAP || !read_key(&r, keys, i) ||
		    !read_entry(&r, &keys[i], fields, count, values))
			return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (fields[i].required && !values[i].present)
			return false;
	}
	return left(&r) == 0;
}

static uint8_t *room(struct enr_writer *w, size_t n)
{
	uint8_t *at = w->buf + w->len;

	if (w->over || n > w->cap - w->len) {
		w->over = true;
		return NULL;
	}
	w->len += n;
	return at;
}

static void put_head(struct enr_writer *w, unsigned major, uint64_t arg)
{
	unsigned bytes = arg < 24 ? 0 : arg < 0x100 ? 1 : arg < 0x10000 ? 2 : arg <= UINT32_MAX ? 4 : 8;
	unsigned info = bytes == 0 ? (unsigned)arg : bytes == 1 ? 24 : bytes == 2 ? 25 : bytes == 4 ? 26 : 27;
	uint8_t *p = room(w, 1 + bytes);

	if (p == NULL)
		return;
	*p++ = (uint8_t)(major << 5 | info);
	while (bytes-- > 0)
		*p++ = (uint8_t)(arg >> (8 * bytes));
}

void enr_put_map(struct enr_writer *w, unsigned entries)
{
	put_head(w, MAP, entries);
}

void enr_put_array(struct enr_writer *w, unsigned elements)
{
	put_head(w, ARRAY, elements);
}

void enr_put_uint(struct enr_writer *w, uint64_t v)
{
	put_head(w, UINT, v);
}

void enr_put_bool(struct enr_writer *w, bool v)
{
	put_head(w, SIMPLE, v ? TRUE_BYTE & 31 : FALSE_BYTE & 31);
}

static void put_string(struct enr_writer *w, unsigned major, const void *data, size_t n)
{
	uint8_t *p;

	put_head(w, major, n);
	p = room(w, n);
	if (p != NULL && n > 0)
		memcpy(p, data, n);
}

void enr_put_text(struct enr_writer *w, const char *text)
{
	put_string(w, TEXT, text, strlen(text));
}

void enr_put_text_n(struct enr_writer *w, const uint8_t *text, size_t n)
{
	put_string(w, TEXT, text, n);
}

void enr_put_bytes(struct enr_writer *w, const uint8_t *data, size_t n)
{
	put_string(w, BYTES, data, n);
}

void enr_entry_uint(struct enr_writer *w, const char *key, size_t v)
{
	enr_put_text(w, key);
	enr_put_uint(w, v);
}

void enr_entry_text(struct enr_writer *w, const char *key, const char *text)
{
	enr_put_text(w, key);
	enr_put_text(w, text);
}

void enr_entry_bytes(struct enr_writer *w, const char *key, const uint8_t *data, size_t n)
{
	enr_put_text(w, key);
	enr_put_bytes(w, data, n);
}

uint8_t *enr_put_bytes_room(struct enr_writer *w, size_t n)
{
	put_head(w, BYTES, n);
	return room(w, n);
}
