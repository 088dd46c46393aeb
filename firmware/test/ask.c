// SPDX-License-Identifier: Apache-2.0
// Requests to a board in memory, and its answers.
#include "board.h"

#include "../core/smp.h"

#include <string.h>

struct enr_writer *request_start(struct request *r, unsigned entries)
{
	r->w = (struct enr_writer){.buf = r->bytes, .cap = sizeof r->bytes};
	enr_put_map(&r->w, entries);
	return &r->w;
}

void board_ask(struct board *b, uint16_t group, uint8_t cmd, bool write, const uint8_t *payload, size_t n)
{
	uint8_t message[ENR_SMP_HEADER + BOARD_BUFFER];
	struct enr_message head = {
		.op = write ? ENR_WRITE : ENR_READ, .version = 1, .seq = 77, .cmd = cmd, .group = group, .len = n};
	struct enr_message got;

	enr_smp_header(message, &head);
	if (n > 0)
		memcpy(message + ENR_SMP_HEADER, payload, n);
	b->answer_len = enr_agent_message(&b->agent, message, ENR_SMP_HEADER + n, b->answer, sizeof b->answer);
	CHECK(enr_smp_parse(&got, b->answer, b->answer_len), "command %u is not answered by a message", cmd);
	CHECK(got.op == head.op + 1 && got.version == 1 && got.group == group && got.seq == 77 && got.cmd == cmd,
	      "command %u is answered under another header", cmd);
	b->answer_len -= ENR_SMP_HEADER;
	memmove(b->answer, b->answer + ENR_SMP_HEADER, b->answer_len);
}

// The rc in {"err": {"group": 64, "rc": N}, ...} as this board writes it.
static int answered_rc(const struct board *b)
{
	static const uint8_t err[] = "\x63" "err" "\xa2\x65" "group" "\x18\x40\x62" "rc";
	static const uint8_t plain[] = "\xa1\x62" "rc";
	size_t n = sizeof err - 1;

	if (b->answer_len > 1 + n && memcmp(b->answer + 1, err, n) == 0)
		return b->answer[1 + n];
	if (b->answer_len == sizeof plain && memcmp(b->answer, plain, sizeof plain - 1) == 0)
		return 100 + b->answer[sizeof plain - 1];
	return 0;
}

int board_do(struct board *b, uint8_t cmd, bool write, const struct request *r)
{
	CHECK(!r->w.over, "the request does not fit");
	board_ask(b, ENR_GROUP, cmd, write, r->bytes, r->w.len);
	return answered_rc(b);
}

void board_answer(const struct board *b, const struct enr_field *fields, size_t count, struct enr_value *v)
{
	CHECK(enr_cbor_read(b->answer, b->answer_len, fields, count, v), "the answer has not the fields expected");
}

int board_keygen(struct board *b, const char *alg, uint8_t token, bool replace)
{
	struct request r;
	struct enr_writer *w = request_start(&r, replace ? 3 : 2);
	uint8_t bytes[32];

	memset(bytes, token, sizeof bytes);
	enr_put_text(w, "alg");
	enr_put_text(w, alg);
	enr_put_text(w, "token");
	enr_put_bytes(w, bytes, sizeof bytes);
	if (replace) {
		enr_put_text(w, "replace");
		enr_put_bool(w, true);
	}
	return board_do(b, 1, true, &r);
}

int board_csr(struct board *b, const char *cn)
{
	struct request r;
	struct enr_writer *w = request_start(&r, 2);
	uint8_t nonce[32] = {7};

	enr_put_text(w, "cn");
	enr_put_text(w, cn);
	enr_put_text(w, "nonce");
	enr_put_bytes(w, nonce, sizeof nonce);
	return board_do(b, 2, true, &r);
}

int board_put_chunk(struct board *b, const char *obj, uint64_t off, struct enr_bytes data, uint64_t len,
		    const uint8_t sha[32])
{
	struct request r;
	struct enr_writer *w = request_start(&r, off == 0 ? 5 : 3);

	enr_put_text(w, "obj");
	enr_put_text(w, obj);
	enr_put_text(w, "off");
	enr_put_uint(w, off);
	enr_put_text(w, "data");
	enr_put_bytes(w, data.data, data.len);
	if (off == 0) {
		enr_put_text(w, "len");
		enr_put_uint(w, len);
		enr_put_text(w, "sha");
		enr_put_bytes(w, sha, 32);
	}
	return board_do(b, 4, true, &r);
}

int board_get(struct board *b, const char *obj, uint64_t off)
{
	struct request r;
	struct enr_writer *w = request_start(&r, 2);

	enr_put_text(w, "obj");
	enr_put_text(w, obj);
	enr_put_text(w, "off");
	enr_put_uint(w, off);
	return board_do(b, 3, false, &r);
}

int board_commit(struct board *b, const uint8_t *chain, const uint8_t *anchors, const uint8_t *rework)
{
	const uint8_t *digests[] = {chain, anchors, rework};
	static const char *const names[] = {"chain", "anchors", "rework"};
	struct request r;
	struct enr_writer *w = request_start(&r, 1u + (anchors != NULL) + (rework != NULL));

	for (int i = 0; i < 3; i++) {
		if (digests[i] == NULL)
			continue;
		enr_put_text(w, names[i]);
		enr_put_bytes(w, digests[i], 32);
	}
	return board_do(b, 5, true, &r);
}

int board_bytes(struct board *b, uint8_t cmd, const char *name, struct enr_bytes value)
{
	struct request r;
	struct enr_writer *w = request_start(&r, 1);

	enr_put_text(w, name);
	enr_put_bytes(w, value.data, value.len);
	return board_do(b, cmd, true, &r);
}

int board_rework(struct board *b, unsigned key, struct enr_bytes sig)
{
	struct request r;
	struct enr_writer *w = request_start(&r, 2);

	enr_put_text(w, "key");
	enr_put_uint(w, key);
	enr_put_text(w, "sig");
	enr_put_bytes(w, sig.data, sig.len);
	return board_do(b, 10, true, &r);
}
