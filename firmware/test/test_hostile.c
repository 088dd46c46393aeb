// SPDX-License-Identifier: Apache-2.0
// Bytes that no station sends, the same ones in every run. The sanitizers are
// what judges; after each round the agent must still answer.
#include "../core/smp.h"
#include "board.h"

#include <string.h>

enum { ROUNDS = 1500, COMMANDS = 12 };

static uint64_t noise_state = 88172645463325252u;

static uint32_t next(uint32_t below)
{
	noise_state ^= noise_state << 13;
	noise_state ^= noise_state >> 7;
	noise_state ^= noise_state << 17;
	return (uint32_t)(noise_state >> 32) % below;
}

struct wire {
	uint8_t bytes[4096];
	size_t len;
};

static void keep(void *ctx, const uint8_t *data, size_t n)
{
	struct wire *w = ctx;

	CHECK(n <= sizeof w->bytes - w->len, "the frame is too long");
	memcpy(w->bytes + w->len, data, n);
	w->len += n;
}

// Bytes that look like CBOR more often than chance has it.
static size_t random_payload(uint8_t *out, size_t cap)
{
	static const char *const keys[] = {"alg", "token", "replace", "cn", "sn", "nonce", "obj", "off",
					   "data", "len", "sha", "chain", "anchors", "rework", "tbs", "key", "sig"};
	struct enr_writer w = {.buf = out, .cap = cap};
	unsigned entries = next(6);

	enr_put_map(&w, next(8) == 0 ? next(40) : entries);
	for (unsigned i = 0; i < entries; i++) {
		enr_put_text(&w, keys[next(sizeof keys / sizeof *keys)]);
		switch (next(5)) {
		case 0:
			enr_put_uint(&w, next(4) == 0 ? (uint64_t)next(UINT32_MAX) << 31 : next(600));
			break;
		case 1:
			enr_put_bool(&w, next(2));
			break;
		case 2:
			enr_put_text(&w, keys[next(sizeof keys / sizeof *keys)]);
			break;
		default: {
			size_t n = next(3) == 0 ? next(200) : 32;
			uint8_t *at = enr_put_bytes_room(&w, n);

			for (size_t k = 0; at != NULL && k < n; k++)
				at[k] = (uint8_t)next(256);
		}
		}
	}
	return w.len;
}

static void flip(uint8_t *bytes, size_t n, uint32_t times)
{
	while (n > 0 && times-- > 0)
		bytes[next((uint32_t)n)] ^= (uint8_t)(1u << next(8));
}

static void random_frame(struct wire *out)
{
	uint8_t packet[BOARD_BUFFER];
	struct enr_port port = {.ctx = out, .send = keep};
	uint8_t *message = packet + ENR_SMP_PREFIX;
	struct enr_message m = {
		.op = next(2) ? ENR_WRITE : ENR_READ, .version = 1, .seq = (uint8_t)next(256), .cmd = (uint8_t)next(COMMANDS)};

	m.group = next(6) ? ENR_GROUP : (uint16_t)next(3);
	m.len = random_payload(message + ENR_SMP_HEADER, sizeof packet - ENR_SMP_EXTRA - ENR_SMP_HEADER);
	flip(message + ENR_SMP_HEADER, m.len, next(3));
	enr_smp_header(message, &m);
	out->len = 0;
	enr_smp_send(&port, packet, ENR_SMP_HEADER + m.len);
}

static void feed(struct board *b, const uint8_t *bytes, size_t n)
{
	b->sent_len = 0;
	for (size_t i = 0; i < n; i++)
		enr_agent_rx(&b->agent, bytes[i]);
}

// The example of the protocol, which any agent answers.
static void check_alive(struct board *b)
{
	static const uint8_t info[] = "\n\x06\x09" "AAsIAAABAEABAKCAGQ==\n";

	feed(b, info, sizeof info - 1);
	CHECK(b->sent_len > 100 && b->sent[1] == 0x06 && b->sent[2] == 0x09, "the agent is silent");
}

static void send_random_frames(struct board *b)
{
	struct wire w;

	for (int round = 0; round < ROUNDS; round++) {
		random_frame(&w);
		if (next(4) == 0)
			flip(w.bytes, w.len, 1 + next(4));
		if (next(16) == 0)
			w.len = next((uint32_t)w.len);
		feed(b, w.bytes, w.len);
		check_alive(b);
		if (next(256) == 0)
			board_boot(b);
	}
}

static void send_noise(struct board *b)
{
	uint8_t noise[256];

	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < sizeof noise; i++)
			noise[i] = (uint8_t)next(256);
		feed(b, noise, sizeof noise);
	}
	check_alive(b);
}

void test_hostile_bytes(void)
{
	struct vectors commit = vectors_read("commit.txt");
	static struct board b;

	random_seed(5);
	for (int state = ENR_BLANK; state <= ENR_LOCKED_STATE; state++) {
		board_set_state(&b, &commit, (enum enr_state)state);
		send_random_frames(&b);
		send_noise(&b);
	}
	CHECK(b.agent.store.record.state == ENR_LOCKED_STATE, "noise unlocked a board");
	vectors_free(&commit);
}
