// SPDX-License-Identifier: Apache-2.0
// Objects of an attacker, put whole and committed: certificates and rework keys
// through every check. An input is flags, the sizes of chain and anchors in two
// bytes each, chain, anchors, and what is left is rework.
#include "fuzz.h"

#include <string.h>

enum { PINNED = 1, NAME_ANCHORS = 2, NAME_REWORK = 4, ONLY_ES384 = 8, FROM_INSTALLED = 16 };

static void put(struct board *b, const char *name, struct enr_bytes object, uint8_t sha[32])
{
	sha256(object, sha);
	if (object.len == 0)
		CHECK(board_put_chunk(b, name, 0, object, 0, sha) == ENR_OK, "nothing of %s is not taken", name);
	board_put(b, name, object);
}

static void check_stored(const struct board *b, enum enr_part part, struct enr_bytes object)
{
	uint8_t stored[BOARD_MAX];
	uint32_t len = b->agent.store.record.len[part];

	CHECK(len == object.len, "%u bytes are stored of %zu", len, object.len);
	CHECK(enr_store_read(&b->agent.store, part, 0, stored, len) == ENR_OK && memcmp(stored, object.data, len) == 0,
	      "other bytes are stored");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const es384[] = {"ES384", NULL};
	static struct board b;
	struct input in = {data, n < 3 * BOARD_MAX ? n : 3 * BOARD_MAX};
	uint8_t flags = take8(&in), sha[3][32];
	size_t chain_len = take16(&in) % (BOARD_MAX + 1), anchors_len = take16(&in) % (BOARD_MAX + 1);
	struct enr_bytes chain = take(&in, chain_len), anchors = take(&in, anchors_len), rework = take(&in, BOARD_MAX);
	uint32_t generation;
	int rc;

	fuzz_board(&b, flags & FROM_INSTALLED ? START_INSTALLED : START_KEYED);
	if (flags & PINNED)
		b.config.root = fuzz_root();
	if (flags & ONLY_ES384)
		b.config.verify = es384;
	put(&b, "chain", chain, sha[0]);
	put(&b, "anchors", anchors, sha[1]);
	put(&b, "rework", rework, sha[2]);
	generation = b.agent.store.record.generation;
	rc = board_commit(&b, sha[0], flags & NAME_ANCHORS ? sha[1] : NULL, flags & NAME_REWORK ? sha[2] : NULL);
	CHECK(rc == ENR_OK || b.agent.store.record.generation == generation, "stored, but answered with rc %d", rc);
	if (rc == ENR_OK) {
		fuzz_check_chain(&b);
		check_stored(&b, ENR_PART_CHAIN, chain);
		if (flags & NAME_ANCHORS)
			check_stored(&b, ENR_PART_ANCHORS, anchors);
		if (flags & NAME_REWORK)
			check_stored(&b, ENR_PART_REWORK, rework);
	}
	fuzz_check(&b);
	return 0;
}
