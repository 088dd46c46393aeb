// SPDX-License-Identifier: Apache-2.0
// What is not group 64: the OS group, other groups, versions, the config.
#include "board.h"

#include <string.h>

static void check_answer(struct board *b, const char *what, const char *want, size_t n)
{
	CHECK(b->answer_len == n && memcmp(b->answer, want, n) == 0, "%s: another answer of %zu bytes", what,
	      b->answer_len);
}

#define ANSWERS(b, group, cmd, write, request, want)                                                          \
	do {                                                                                                  \
		board_ask(b, group, cmd, write, (const uint8_t *)(request), sizeof(request) - 1);             \
		check_answer(b, #group " " #cmd " " #request, want, sizeof(want) - 1);                        \
	} while (0)

void test_os(void)
{
	static struct board b;

	board_init(&b);
	board_boot(&b);
	ANSWERS(&b, 0, 0, true, "\xa1\x61" "d" "\x62" "hi", "\xa1\x61" "r" "\x62" "hi");
	ANSWERS(&b, 0, 0, false, "\xa1\x61" "d" "\x60", "\xa1\x61" "r" "\x60");
	ANSWERS(&b, 0, 0, true, "\xa0", "\xa1\x62" "rc" "\x03");
	ANSWERS(&b, 0, 6, false, "", "\xa2\x68" "buf_size" "\x19\x02\x58\x69" "buf_count" "\x01");
	ANSWERS(&b, 0, 6, true, "", "\xa1\x62" "rc" "\x08");
	ANSWERS(&b, 0, 7, false, "\xa0", "\xa1\x66" "output" "\x6e" "station-enroll");
	ANSWERS(&b, 0, 7, false, "\xa1\x66" "format" "\x62" "vi", "\xa1\x66" "output" "\x68" "1.2.3 hw");
	ANSWERS(&b, 0, 7, false, "\xa1\x66" "format" "\x61" "?", "\xa1\x63" "err" "\xa2\x65" "group" "\x00\x62" "rc" "\x02");
	ANSWERS(&b, 0, 1, false, "\xff", "\xa1\x62" "rc" "\x08");
	ANSWERS(&b, 0, 5, false, "", "\xa1\x62" "rc" "\x08");
	CHECK(b.resets == 0, "a reset that was not asked for");
	ANSWERS(&b, 0, 5, true, "\x18", "\xa1\x62" "rc" "\x03");
	CHECK(b.resets == 0, "a reset by a malformed request");
	ANSWERS(&b, 0, 5, true, "", "\xa0");
	CHECK(b.resets == 1, "no reset");
}

static int answer_other(void *ctx, const struct enr_message *request, uint8_t *answer, size_t cap)
{
	(void)ctx;
	if (request->group != 1 || cap < 1)
		return -1;
	answer[0] = 0xa0;
	return 1;
}

// Other groups are refused unless the firmware has them, and on a locked board
// whose boot verifies no images in any case.
void test_other_groups(void)
{
	struct vectors commit = vectors_read("commit.txt");
	const struct vector *v;
	static struct board b;

	board_init(&b);
	board_boot(&b);
	ANSWERS(&b, 1, 0, false, "\xff", "\xa1\x62" "rc" "\x08");
	ANSWERS(&b, 64, 11, false, "\xff", "\xa1\x62" "rc" "\x08");
	b.config.other = answer_other;
	ANSWERS(&b, 1, 0, false, "\xff", "\xa0");
	ANSWERS(&b, 2, 0, false, "\xff", "\xa1\x62" "rc" "\x08");
	v = board_stage_all(&b, &commit);
	CHECK(board_commit(&b, vector_need(v, "chain_sha")->data, NULL, NULL) == 0, "commit");
	ANSWERS(&b, 1, 0, false, "\xff", "\xa0");
	CHECK(board_bytes(&b, 8, "chain", (struct enr_bytes){vector_need(v, "chain_sha")->data, 32}) == 0, "lock");
	ANSWERS(&b, 1, 0, false, "\xff", "\xa1\x62" "rc" "\x08");
	ANSWERS(&b, 0, 0, true, "\xa1\x61" "d" "\x60", "\xa1\x61" "r" "\x60");
	b.config.prot = 1;
	ANSWERS(&b, 1, 0, false, "\xff", "\xa0");
	vectors_free(&commit);
}

// Returns the answer to an empty request of group and version in one byte of
// first, 0 for silence.
static size_t ask_version(struct board *b, uint8_t first, uint16_t group)
{
	uint8_t message[ENR_SMP_HEADER] = {first, 0, 0, 0, (uint8_t)(group >> 8), (uint8_t)group, 0, 0};

	b->answer_len = enr_agent_message(&b->agent, message, sizeof message, b->answer, sizeof b->answer);
	return b->answer_len;
}

static void check_version(struct board *b, uint8_t first, uint8_t answer_first, uint8_t rc)
{
	uint8_t want[] = {0xa1, 0x62, 'r', 'c', rc};

	CHECK(ask_version(b, first, 64) == ENR_SMP_HEADER + sizeof want, "first byte %02x: no plain answer", first);
	CHECK(b->answer[0] == answer_first, "first byte %02x: answer begins %02x", first, b->answer[0]);
	CHECK(memcmp(b->answer + ENR_SMP_HEADER, want, sizeof want) == 0, "first byte %02x: another answer", first);
}

// Versions, ops that are no requests, a group number of one's own, and what a
// config may hold.
void test_config(void)
{
	static struct board b;

	board_init(&b);
	board_boot(&b);
	check_version(&b, 0x00, 0x01, 12);
	check_version(&b, 0x02, 0x03, 12);
	check_version(&b, 0x10, 0x09, 13);
	for (uint8_t op = 0; op < 8; op++)
		CHECK((ask_version(&b, (uint8_t)(0x08 | op), 64) > 0) == (op == 0 || op == 2), "op %u", op);
	b.config.group = 200;
	CHECK(ask_version(&b, 0x08, 200) > 100, "info under another group number");
	ANSWERS(&b, 64, 0, false, "", "\xa1\x62" "rc" "\x08");
	b.config.group = 0;

	b.config.buffer = ENR_BUFFER_MIN - 1;
	CHECK(enr_agent_init(&b.agent, &b.config) == ENR_MALFORMED, "small buffer");
	b.config.buffer = BOARD_BUFFER;
	b.config.uid.len = 33;
	CHECK(enr_agent_init(&b.agent, &b.config) == ENR_MALFORMED, "long uid");
	b.config.uid.len = 12;
	b.port.copy_size--;
	CHECK(enr_agent_init(&b.agent, &b.config) == ENR_MALFORMED, "small flash");
	b.port.copy_size++;
	b.config.prot = 16;
	CHECK(enr_agent_init(&b.agent, &b.config) == ENR_MALFORMED, "prot with bit 4");
	b.config.prot = 15;
	b.config.model = "a name of thirty-three characters";
	CHECK(enr_agent_init(&b.agent, &b.config) == ENR_MALFORMED, "long model");
}
