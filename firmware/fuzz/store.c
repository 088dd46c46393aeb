// SPDX-License-Identifier: Apache-2.0
// Flash that holds anything at boot. An input is flags, where the second copy
// begins, and both copies from their header on; by the flags a copy gets its
// valid word and the digest that its lengths ask for.
#include "fuzz.h"

#include <string.h>

enum { VALID = 1, DIGEST = 2, SIGN = 16, HEADER_AT = 32, LENGTHS_AT = 72, PARTS_AT = 96 };

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void set_copy(uint8_t copy[BOARD_COPY], struct enr_bytes content, unsigned flags)
{
	uint64_t end = PARTS_AT;

	if (content.len > BOARD_COPY - HEADER_AT)
		content.len = BOARD_COPY - HEADER_AT;
	if (content.len > 0)
		memcpy(copy + HEADER_AT, content.data, content.len);
	if (flags & VALID)
		memcpy(copy, "station-enroll store, version 1", 32);
	for (int i = 0; i < ENR_PARTS; i++)
		end += ENR_STORE_PAD((uint64_t)get32(copy + LENGTHS_AT + 4 * i));
	if (flags & DIGEST && end <= BOARD_COPY - ENR_SHA256)
		sha256((struct enr_bytes){copy + HEADER_AT, (size_t)end - HEADER_AT}, copy + end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct board b;
	struct input in = {data, n};
	unsigned flags = take8(&in);
	uint8_t chain[ENR_SHA256];
	struct enr_bytes first = take(&in, take16(&in));
	const struct enr_record *r = &b.agent.store.record;

	random_seed(1);
	board_init(&b);
	set_copy(b.flash[0], first, flags);
	set_copy(b.flash[1], take(&in, in.n), flags >> 2);
	board_boot(&b);
	CHECK(r->state <= ENR_LOCKED_STATE && r->len[ENR_PART_KEY] <= ENR_KEY_MAX && r->len[ENR_PART_SPKI] <= ENR_SPKI_MAX,
	      "state %u, key of %u bytes, spki of %u", r->state, r->len[ENR_PART_KEY], r->len[ENR_PART_SPKI]);
	// Whatever is stored is used by these, which may refuse. A signature takes
	// a thousand times as long as the rest: only where the input asks for it.
	board_get(&b, "chain", 0);
	board_get(&b, "rework", 0);
	if (flags & SIGN)
		board_bytes(&b, 6, "nonce", (struct enr_bytes){b.staging, 32});
	CHECK(enr_store_digest(&b.agent.store, ENR_PART_CHAIN, chain) == ENR_OK, "flash cannot be read");
	board_bytes(&b, 8, "chain", (struct enr_bytes){chain, sizeof chain});
	fuzz_check(&b);
	return 0;
}
