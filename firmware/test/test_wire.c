// SPDX-License-Identifier: Apache-2.0
// Frames, message headers and CBOR, by the vectors shared with the Go side.
#include "board.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PACKET_MAX = 8192 };

struct line {
	uint8_t bytes[1 << 16];
	size_t len;
};

static void record(void *ctx, const uint8_t *data, size_t n)
{
	struct line *l = ctx;

	CHECK(n <= sizeof l->bytes - l->len, "the packet is too long");
	memcpy(l->bytes + l->len, data, n);
	l->len += n;
}

static bool equal(const struct vector_field *f, const uint8_t *data, size_t n)
{
	return f->len == n && (n == 0 || memcmp(f->data, data, n) == 0);
}

static void check_sent(const struct vector *v, const struct vector_field *message, const struct vector_field *want)
{
	static struct line line;
	static uint8_t packet[PACKET_MAX];
	struct enr_port port = {.ctx = &line, .send = record};

	line.len = 0;
	memcpy(packet + ENR_SMP_PREFIX, message->data, message->len);
	enr_smp_send(&port, packet, message->len);
	CHECK(line.bytes[0] == '\n' && equal(want, line.bytes + 1, line.len - 1), "%s: sent otherwise", v->name);
}

// Feeds bytes to a receiver; returns the number of messages, the last of them
// left in buf.
static int feed(uint8_t buf[PACKET_MAX], const struct vector_field *in, size_t *len)
{
	struct enr_smp_rx rx = {.buf = buf, .cap = PACKET_MAX};
	int messages = 0;

	for (size_t i = 0; i < in->len; i++) {
		size_t n = enr_smp_rx(&rx, in->data[i]);

		if (n > 0) {
			*len = n;
			messages++;
		}
	}
	return messages;
}

static void check_received(const struct vector *v, const struct vector_field *in, const struct vector_field *message)
{
	static uint8_t buf[PACKET_MAX];
	size_t len = 0;
	int got = feed(buf, in, &len);

	CHECK(got == (message != NULL), "%s: %d messages", v->name, got);
	CHECK(message == NULL || equal(message, buf + ENR_SMP_PREFIX, len), "%s: another message", v->name);
}

void test_frames(void)
{
	struct vectors all = vectors_read("frame.txt");

	for (size_t i = 0; i < all.count; i++) {
		const struct vector *v = &all.list[i];
		const struct vector_field *message = vector_field(v, "message"), *packet = vector_field(v, "packet");
		const struct vector_field *crc_in = vector_field(v, "crc_in");

		if (crc_in != NULL) {
			const struct vector_field *crc = vector_need(v, "crc");

			CHECK(enr_crc16(crc_in->data, crc_in->len) == (crc->data[0] << 8 | crc->data[1]), "%s", v->name);
		} else if (packet != NULL) {
			check_sent(v, message, packet);
			check_received(v, packet, message);
		} else {
			check_received(v, vector_need(v, "stream"), message);
			CHECK(message != NULL || vector_field(v, "refuse_text"), "%s: says nothing", v->name);
		}
	}
	vectors_free(&all);
}

void test_messages(void)
{
	struct vectors all = vectors_read("message.txt");

	for (size_t i = 0; i < all.count; i++) {
		const struct vector *v = &all.list[i];
		const struct vector_field *in = vector_need(v, "message"), *group;
		struct enr_message m;
		uint8_t header[ENR_SMP_HEADER];
		bool ok = enr_smp_parse(&m, in->data, in->len);

		CHECK(ok == (vector_field(v, "refuse_text") == NULL), "%s: parsed %d", v->name, ok);
		if (!ok)
			continue;
		group = vector_need(v, "group");
		CHECK(m.op == vector_byte(v, "op") && m.version == vector_byte(v, "version"), "%s: first byte", v->name);
		CHECK(m.group == (group->data[0] << 8 | group->data[1]), "%s: group", v->name);
		CHECK(m.seq == vector_byte(v, "seq") && m.cmd == vector_byte(v, "cmd"), "%s: seq or cmd", v->name);
		CHECK(equal(vector_need(v, "payload"), m.payload, m.len), "%s: payload", v->name);
		enr_smp_header(header, &m);
		header[1] = vector_byte(v, "flags"); // a board sends none
		CHECK(memcmp(header, in->data, sizeof header) == 0, "%s: written otherwise", v->name);
	}
	vectors_free(&all);
}

// The vectors' schema, as far as requests of the protocol have such types.
static const struct enr_field schema[] = {
	{"n", ENR_UINT, false, 0, ENR_ANY}, {"b", ENR_BYTES, false, 0, ENR_ANY},
	{"d", ENR_BYTES, false, 4, 4},	       {"t", ENR_TEXT, false, 0, ENR_CBOR_TEXT},
	{"f", ENR_BOOL, false, 0, 1},
};
enum { SCHEMA = sizeof schema / sizeof *schema };

// Refusals for what keys i, l and m carry: no request has such types, so here
// these keys are unknown ones and their values pass.
static const char *const of_other_types[] = {
	"i above 2^63-1",	  "i below -2^63",	 "i is a float",	  "l is text",
	"l is a map",		  "l with an integer in it", "l is null",	  "m is an array",
	"m is null",		  "m with a text in n",	 "an integer key in a known map",
	"a key twice in a known map",
};

static bool is_of_other_type(const char *name)
{
	for (size_t i = 0; i < sizeof of_other_types / sizeof *of_other_types; i++) {
		if (strcmp(of_other_types[i], name) == 0)
			return true;
	}
	return false;
}

// Copies the bytes so that a read past their end is seen.
static bool read_exact(const struct vector_field *f, struct enr_value v[SCHEMA], uint8_t **copy)
{
	*copy = malloc(f->len ? f->len : 1);
	CHECK(*copy != NULL, "out of memory");
	memcpy(*copy, f->data, f->len);
	return enr_cbor_read(*copy, f->len, schema, SCHEMA, v);
}

static void check_values(const struct vector *v, const struct enr_value *got, const struct enr_value *want)
{
	for (int k = 0; k < SCHEMA; k++) {
		CHECK(got[k].present == want[k].present, "%s: %s is there %d", v->name, schema[k].name, got[k].present);
		CHECK(got[k].num == want[k].num && got[k].len == want[k].len, "%s: %s", v->name, schema[k].name);
		CHECK(got[k].len == 0 || memcmp(got[k].data, want[k].data, got[k].len) == 0, "%s: %s", v->name,
		      schema[k].name);
	}
}

void test_cbor(void)
{
	struct vectors all = vectors_read("cbor.txt");
	size_t others = 0;

	for (size_t i = 0; i < all.count; i++) {
		const struct vector *v = &all.list[i];
		const struct vector_field *out = vector_field(v, "out");
		struct enr_value got[SCHEMA], want[SCHEMA];
		uint8_t *copy, *copy_out;
		bool ok = read_exact(vector_need(v, "in"), got, &copy);

		if (is_of_other_type(v->name)) {
			CHECK(ok, "%s: an unknown key with a well-formed value is refused", v->name);
			others++;
		} else {
			CHECK(ok == (out != NULL), "%s: read %d", v->name, ok);
		}
		if (out != NULL) {
			CHECK(read_exact(out, want, &copy_out), "%s: out does not parse", v->name);
			check_values(v, got, want);
			free(copy_out);
		}
		free(copy);
	}
	CHECK(others == sizeof of_other_types / sizeof *of_other_types, "a case of another type has a new name");
	vectors_free(&all);
}

// What the writer makes is what the reader takes, at every width of a number,
// and a writer that runs out of room says so.
void test_cbor_writer(void)
{
	static const uint64_t numbers[] = {
		0, 23, 24, 255, 256, 65535, 65536, UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX,
	};
	uint8_t buf[128];

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		struct enr_writer w = {.buf = buf, .cap = sizeof buf};
		struct enr_value v[SCHEMA];
		size_t need;

		enr_put_map(&w, 3);
		enr_put_text(&w, "n");
		enr_put_uint(&w, numbers[i]);
		enr_put_text(&w, "f");
		enr_put_bool(&w, i % 2 == 0);
		enr_put_text(&w, "t");
		enr_put_text(&w, "text");
		need = w.len;
		CHECK(!w.over && enr_cbor_read(buf, w.len, schema, SCHEMA, v), "number %zu", i);
		CHECK(v[0].num == numbers[i] && v[4].num == (i % 2 == 0), "number %zu", i);
		for (w.cap = 0; w.cap < need; w.cap++) {
			w.len = 0;
			w.over = false;
			enr_put_map(&w, 3);
			enr_put_text(&w, "n");
			enr_put_uint(&w, numbers[i]);
			enr_put_text(&w, "f");
			enr_put_bool(&w, true);
			enr_put_text(&w, "t");
			enr_put_text(&w, "text");
			CHECK(w.over && w.len <= w.cap, "number %zu in %zu bytes", i, w.cap);
		}
	}
}
