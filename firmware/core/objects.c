// SPDX-License-Identifier: Apache-2.0
// put and get: objects to and from a board in chunks.
#include "command.h"

#include <string.h>

// What a put needs in a packet besides its data, at most.
enum { PUT_OVERHEAD = 88, CHUNK_MAX = 2048 };

const char *const enr_object_names[ENR_OBJECTS] = {"chain", "anchors", "rework"};

size_t enr_chunk(const struct enr_agent *a)
{
	size_t room = a->cfg->buffer - PUT_OVERHEAD;

	return room < CHUNK_MAX ? room : CHUNK_MAX;
}

uint8_t *enr_staging(const struct enr_agent *a, int object)
{
	return a->cfg->staging + (size_t)object * a->cfg->max;
}

void enr_drop_staging(struct enr_agent *a)
{
	memset(a->staged, 0, sizeof a->staged);
}

static bool is_name(const struct enr_value *v, const char *name)
{
	return v->len == strlen(name) && memcmp(v->data, name, v->len) == 0;
}

static int object_named(const struct enr_value *v)
{
	for (int i = 0; i < ENR_OBJECTS; i++) {
		if (is_name(v, enr_object_names[i]))
			return i;
	}
	return -1;
}

static enum enr_rc offset_refusal(struct enr_call *c, uint32_t off)
{
	c->has_off = true;
	c->off = off;
	return ENR_OFFSET;
}

static bool fresh(const struct enr_staged *s, const struct enr_call *c)
{
	// A staging that holds nothing yet is no progress to resume from: if its
	// first chunk were answered without being taken, it would never grow.
	return !s->active || s->got == 0 || s->len != c->v[PUT_LEN].num ||
	       memcmp(s->sha, c->v[PUT_SHA].data, sizeof s->sha) != 0;
}

static void start(struct enr_staged *s, const struct enr_call *c)
{
	s->active = true;
	s->got = 0;
	s->len = (uint32_t)c->v[PUT_LEN].num;
	memcpy(s->sha, c->v[PUT_SHA].data, sizeof s->sha);
}

// Takes a chunk that continues, or compares one that repeats.
static enum enr_rc take(struct enr_call *c, struct enr_staged *s, uint8_t *to)
{
	const struct enr_value *data = &c->v[PUT_DATA];
	uint64_t off = c->v[PUT_OFF].num;
	size_t known;

	if (!s->active)
		return offset_refusal(c, 0);
	if (off > s->len || data->len > s->len - off)
		return ENR_MALFORMED;
	if (off == s->got) {
		if (data->len > 0)
			memcpy(to + off, data->data, data->len);
		s->got += (uint32_t)data->len;
		return ENR_OK;
	}
	if (off > s->got)
		return offset_refusal(c, s->got);
	known = s->got - (size_t)off;
	// At 0 a put resumes, however long its data; elsewhere an overlap is refused.
	if (data->len > known && off != 0)
		return offset_refusal(c, s->got);
	if (data->len < known)
		known = data->len;
	return known == 0 || memcmp(to + off, data->data, known) == 0 ? ENR_OK : offset_refusal(c, s->got);
}

static bool put_well_formed(const struct enr_call *c, int object)
{
	if (object < 0 || c->v[PUT_DATA].len > enr_chunk(c->a))
		return false;
	if (c->v[PUT_OFF].num > 0)
		return true;
	return c->v[PUT_LEN].present && c->v[PUT_SHA].present && c->v[PUT_LEN].num <= c->a->cfg->max &&
	       c->v[PUT_DATA].len <= c->v[PUT_LEN].num;
}

enum enr_rc enr_cmd_put(struct enr_call *c)
{
	int object = object_named(&c->v[PUT_OBJ]);
	struct enr_staged *s;
	enum enr_rc rc;

	if (!put_well_formed(c, object))
		return ENR_MALFORMED;
	rc = enr_check_state(c->a, ENR_IN_KEYED | ENR_IN_INSTALLED);
	if (rc != ENR_OK)
		return rc;
	s = &c->a->staged[object];
	if (c->v[PUT_OFF].num == 0 && fresh(s, c))
		start(s, c);
	rc = take(c, s, enr_staging(c->a, object));
	enr_put_map(c->w, 1);
	enr_entry_uint(c->w, "off", s->got);
	return rc;
}

// Reads n bytes of an object at off; object -1 is the CSR.
static enum enr_rc read_object(const struct enr_agent *a, int object, uint32_t off, uint8_t *out, size_t n)
{
	if (object >= 0)
		return enr_store_read(&a->store, (enum enr_part)(ENR_PART_CHAIN + object), off, out, n);
	memcpy(out, a->csr + sizeof a->csr - a->csr_len + off, n);
	return ENR_OK;
}

enum enr_rc enr_cmd_get(struct enr_call *c)
{
	struct enr_agent *a = c->a;
	int object = object_named(&c->v[GET_OBJ]);
	uint64_t off = c->v[GET_OFF].num;
	uint32_t len;
	size_t n;
	uint8_t *out;
	enum enr_rc rc;

	if (object < 0 && !is_name(&c->v[GET_OBJ], "csr"))
		return ENR_MALFORMED;
	rc = enr_check_state(a, object < 0 ? ENR_IN_KEYED : ENR_IN_INSTALLED | ENR_IN_LOCKED);
	if (rc != ENR_OK)
		return rc;
	len = object < 0 ? (uint32_t)a->csr_len : a->store.record.len[ENR_PART_CHAIN + object];
	if (len == 0)
		return ENR_WRONG_STATE;
	if (off > len)
		return offset_refusal(c, len);
	n = len - (uint32_t)off < enr_chunk(a) ? len - (uint32_t)off : enr_chunk(a);
	enr_put_map(c->w, 3);
	enr_entry_uint(c->w, "off", (size_t)off);
	enr_entry_uint(c->w, "len", len);
	enr_put_text(c->w, "data");
	out = enr_put_bytes_room(c->w, n);
	return out == NULL ? ENR_OK : read_object(a, object, (uint32_t)off, out, n);
}
