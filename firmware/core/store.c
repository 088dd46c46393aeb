// SPDX-License-Identifier: Apache-2.0
#include "store.h"

#include <string.h>

enum { HEADER_AT = 32, HEADER_SIZE = 64, PARTS_AT = HEADER_AT + HEADER_SIZE, PIECE = 64 };

static const uint8_t valid_word[ENR_FLASH_UNIT] = "station-enroll store, version 1";

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 3; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void header_encode(uint8_t out[HEADER_SIZE], const struct enr_record *r)
{
	memset(out, 0, HEADER_SIZE);
	put32(out, r->generation);
	out[4] = r->state;
	out[5] = r->alg;
	memcpy(out + 8, r->token, sizeof r->token);
	for (int i = 0; i < ENR_PARTS; i++)
		put32(out + 40 + 4 * i, r->len[i]);
}

static void header_decode(struct enr_record *r, const uint8_t in[HEADER_SIZE])
{
	r->generation = get32(in);
	r->state = in[4];
	r->alg = in[5];
	memcpy(r->token, in + 8, sizeof r->token);
	for (int i = 0; i < ENR_PARTS; i++)
		r->len[i] = get32(in + 40 + 4 * i);
}

// Where a part begins; for ENR_PARTS where the digest does. 0 if the lengths do
// not fit into a copy.
static uint32_t part_at(const struct enr_store *s, const struct enr_record *r, int part)
{
	uint32_t at = PARTS_AT, size = s->port->copy_size;

	for (int i = 0; i < part; i++) {
		if (r->len[i] > size || ENR_STORE_PAD(r->len[i]) > size - at)
			return 0;
		at += ENR_STORE_PAD(r->len[i]);
	}
	return size - at >= ENR_SHA256 ? at : 0;
}

static enum enr_rc read_copy(const struct enr_store *s, unsigned copy, uint32_t off, uint8_t *out, size_t n)
{
	return s->port->read(s->port->ctx, copy, off, out, n) == 0 ? ENR_OK : ENR_STORAGE;
}

static enum enr_rc sync_port(const struct enr_store *s)
{
	return s->port->sync == NULL || s->port->sync(s->port->ctx) == 0 ? ENR_OK : ENR_STORAGE;
}

static enum enr_rc digest_copy(const struct enr_store *s, unsigned copy, uint32_t from, uint32_t to,
			       uint8_t out[ENR_SHA256])
{
	struct enr_hash h;
	uint8_t piece[PIECE];
	enum enr_rc rc = enr_hash_start(&h);

	while (rc == ENR_OK && from < to) {
		uint32_t n = smaller(to - from, PIECE);

		rc = read_copy(s, copy, from, piece, n);
		if (rc == ENR_OK)
			rc = enr_hash_update(&h, piece, n);
		from += n;
	}
	if (rc == ENR_OK)
		rc = enr_hash_finish(&h, out);
	else
		enr_hash_abort(&h);
	enr_wipe(piece, sizeof piece);
	return rc;
}

// Reads the record of a copy and checks its digest. whole is false for anything
// that a power cut may have left.
static enum enr_rc load(const struct enr_store *s, unsigned copy, struct enr_record *r, bool *whole)
{
	uint8_t header[HEADER_SIZE], want[ENR_SHA256], have[ENR_SHA256];
	enum enr_rc rc = read_copy(s, copy, HEADER_AT, header, sizeof header);
	uint32_t end;

	*whole = false;
	if (rc != ENR_OK)
		return rc;
	header_decode(r, header);
	end = part_at(s, r, ENR_PARTS);
	if (end == 0 || r->state > ENR_LOCKED_STATE || r->len[ENR_PART_KEY] > ENR_KEY_MAX ||
	    r->len[ENR_PART_SPKI] > ENR_SPKI_MAX)
		return ENR_OK;
	rc = read_copy(s, copy, end, want, sizeof want);
	if (rc == ENR_OK)
		rc = digest_copy(s, copy, HEADER_AT, end, have);
	*whole = rc == ENR_OK && memcmp(want, have, sizeof want) == 0;
	return rc;
}

static enum enr_rc load_valid(const struct enr_store *s, unsigned copy, struct enr_record *r, bool *valid)
{
	uint8_t word[ENR_FLASH_UNIT];
	enum enr_rc rc = read_copy(s, copy, 0, word, sizeof word);

	*valid = false;
	if (rc != ENR_OK || memcmp(word, valid_word, sizeof word) != 0)
		return rc;
	return load(s, copy, r, valid);
}

// Erases a copy unless every byte of it is FF already, which spares the flash.
static enum enr_rc wipe(const struct enr_store *s, unsigned copy)
{
	uint32_t off = 0, n;
	uint8_t piece[PIECE];
	bool blank = true;

	for (; blank && off < s->port->copy_size; off += n) {
		n = smaller(s->port->copy_size - off, PIECE);
		if (read_copy(s, copy, off, piece, n) != ENR_OK)
			return ENR_STORAGE;
		for (uint32_t i = 0; i < n; i++)
			blank = blank && piece[i] == 0xff;
	}
	enr_wipe(piece, sizeof piece);
	if (blank)
		return ENR_OK;
	if (s->port->erase(s->port->ctx, copy) != 0)
		return ENR_STORAGE;
	return sync_port(s);
}

enum enr_rc enr_store_boot(struct enr_store *s, const struct enr_port *port)
{
	struct enr_record r[2];
	bool valid[2];
	enum enr_rc rc;

	memset(s, 0, sizeof *s);
	memset(r, 0, sizeof r);
	s->port = port;
	s->active = -1;
	for (unsigned copy = 0; copy < 2; copy++) {
		rc = load_valid(s, copy, &r[copy], &valid[copy]);
		if (rc != ENR_OK)
			return rc;
	}
	// Both count when power was cut before the old one was wiped: the newer wins.
	if (valid[0] && valid[1])
		s->active = (int32_t)(r[1].generation - r[0].generation) > 0;
	else if (valid[0] || valid[1])
		s->active = valid[1];
	if (s->active >= 0)
		s->record = r[s->active];
	for (int copy = 0; copy < 2; copy++) {
		if (copy != s->active && wipe(s, (unsigned)copy) != ENR_OK)
			return ENR_STORAGE;
	}
	return ENR_OK;
}

// Programs a copy from front to back in whole units, hashing what it writes.
struct stream {
	const struct enr_store *s;
	unsigned copy;
	uint32_t at;
	uint8_t piece[PIECE];
	uint32_t fill;
	struct enr_hash hash;
};

static enum enr_rc flush(struct stream *w)
{
	const struct enr_port *port = w->s->port;
	uint32_t n = w->fill;
	enum enr_rc rc = enr_hash_update(&w->hash, w->piece, n);

	if (rc == ENR_OK && port->program(port->ctx, w->copy, w->at, w->piece, n) != 0)
		rc = ENR_STORAGE;
	w->at += n;
	w->fill = 0;
	return rc;
}

// Adds n bytes of a source from its offset off.
static enum enr_rc add(struct stream *w, const struct enr_source *src, enum enr_part part, uint32_t off, uint32_t n)
{
	uint8_t *to = w->piece + w->fill;

	w->fill += n;
	if (src->keep)
		return enr_store_read(w->s, part, off, to, n);
	memcpy(to, src->data + off, n);
	return ENR_OK;
}

static enum enr_rc add_part(struct stream *w, const struct enr_source *src, enum enr_part part, uint32_t len)
{
	enum enr_rc rc = ENR_OK;
	uint32_t n, pad;

	for (uint32_t off = 0; rc == ENR_OK && off < len; off += n) {
		n = smaller(len - off, PIECE);
		rc = add(w, src, part, off, n);
		pad = ENR_STORE_PAD(n) - n;
		memset(w->piece + w->fill, 0, pad);
		w->fill += pad;
		if (rc == ENR_OK)
			rc = flush(w);
	}
	return rc;
}

static enum enr_rc write_record(struct stream *w, const struct enr_record *r,
				const struct enr_source sources[ENR_PARTS])
{
	const struct enr_port *port = w->s->port;
	uint8_t digest[ENR_SHA256];
	enum enr_rc rc;

	header_encode(w->piece, r);
	w->fill = HEADER_SIZE;
	rc = flush(w);
	for (int i = 0; rc == ENR_OK && i < ENR_PARTS; i++)
		rc = add_part(w, &sources[i], (enum enr_part)i, r->len[i]);
	if (rc == ENR_OK)
		rc = enr_hash_finish(&w->hash, digest);
	if (rc == ENR_OK && port->program(port->ctx, w->copy, w->at, digest, sizeof digest) != 0)
		rc = ENR_STORAGE;
	return rc;
}

// Writes all of a record but its valid word, and reads it back.
static enum enr_rc write_copy(const struct enr_store *s, unsigned copy, const struct enr_record *r,
			      const struct enr_source sources[ENR_PARTS])
{
	struct stream w = {.s = s, .copy = copy, .at = HEADER_AT};
	struct enr_record back;
	bool whole = false;
	enum enr_rc rc = wipe(s, copy);

	if (rc == ENR_OK)
		rc = enr_hash_start(&w.hash);
	if (rc == ENR_OK) {
		rc = write_record(&w, r, sources);
		if (rc != ENR_OK)
			enr_hash_abort(&w.hash);
	}
	enr_wipe(&w, sizeof w);
	if (rc == ENR_OK)
		rc = sync_port(s);
	if (rc == ENR_OK)
		rc = load(s, copy, &back, &whole);
	return rc == ENR_OK && !whole ? ENR_STORAGE : rc;
}

enum enr_rc enr_store_save(struct enr_store *s, const struct enr_record *next,
			   const struct enr_source sources[ENR_PARTS])
{
	unsigned copy = s->active == 0 ? 1 : 0;
	struct enr_record r = *next;
	enum enr_rc rc;

	r.generation = s->record.generation + 1;
	for (int i = 0; i < ENR_PARTS; i++)
		r.len[i] = sources[i].keep ? s->record.len[i] : sources[i].len;
	if (part_at(s, &r, ENR_PARTS) == 0)
		return ENR_STORAGE;
	rc = write_copy(s, copy, &r, sources);
	if (rc != ENR_OK)
		return rc;
	// Up to here a power cut leaves the old record, from here on the new one.
	if (s->port->program(s->port->ctx, copy, 0, valid_word, sizeof valid_word) != 0)
		return ENR_STORAGE;
	s->active = (int)copy;
	s->record = r;
	rc = sync_port(s);
	return rc == ENR_OK ? wipe(s, 1 - copy) : rc;
}

enum enr_rc enr_store_read(const struct enr_store *s, enum enr_part part, uint32_t off, uint8_t *out, size_t n)
{
	if (s->active < 0)
		return ENR_STORAGE;
	return read_copy(s, (unsigned)s->active, part_at(s, &s->record, part) + off, out, n);
}

enum enr_rc enr_store_digest(const struct enr_store *s, enum enr_part part, uint8_t out[ENR_SHA256])
{
	uint32_t at = part_at(s, &s->record, part), len = s->record.len[part];

	memset(out, 0, ENR_SHA256);
	if (len == 0 || s->active < 0)
		return ENR_OK;
	return digest_copy(s, (unsigned)s->active, at, at + len, out);
}
