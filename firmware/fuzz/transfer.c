// SPDX-License-Identifier: Apache-2.0
// put, get and commit in any order, beside a model of what the board should
// hold. An input is a list of steps: a byte that says what, for put also offset,
// size and length in two bytes each and a byte that the data is made of.
#include "fuzz.h"

#include "../core/command.h"

#include <string.h>

enum { STEPS = 48, OBJECT = 3, WHAT = 0x1c, RESUME = 0x20, OTHER_SHA = 0x40 };
enum { PUT = 0, PUT_NEXT = 4, GET = 8, COMMIT = 12, RESET = 16, KEYGEN = 20 };

// What a station that counts along knows of one object.
struct model {
	bool active;
	uint64_t len;
	uint8_t fill; // of the digest it was announced with
	size_t got;
	uint8_t data[BOARD_MAX];
};

static const char *const names[] = {"chain", "anchors", "rework", "csr"};

// What a put is answered with by the rules of the protocol; the model follows.
static int expect(struct model *m, const struct board *b, uint64_t off, struct enr_bytes data, uint64_t len, uint8_t fill)
{
	size_t overlap;

	if (data.len > enr_chunk(&b->agent) || (off == 0 && (len > BOARD_MAX || data.len > len)))
		return ENR_MALFORMED;
	if (off == 0 && (!m->active || m->got == 0 || m->len != len || m->fill != fill))
		*m = (struct model){.active = true, .len = len, .fill = fill};
	if (!m->active)
		return ENR_OFFSET;
	if (off > m->len || data.len > m->len - off)
		return ENR_MALFORMED;
	if (off > m->got)
		return ENR_OFFSET;
	overlap = m->got - (size_t)off < data.len ? m->got - (size_t)off : data.len;
	if (overlap > 0 && memcmp(m->data + off, data.data, overlap) != 0)
		return ENR_OFFSET;
	if (off == m->got) {
		if (data.len > 0)
			memcpy(m->data + off, data.data, data.len);
		m->got += data.len;
	} else if (off != 0 && overlap < data.len) {
		return ENR_OFFSET;
	}
	return ENR_OK;
}

static void step_put(struct board *b, struct model models[3], uint8_t step, struct input *in)
{
	struct model *m = &models[step & OBJECT];
	uint8_t bytes[BOARD_BUFFER - 86], sha[32]; // one more than the largest chunk
	uint64_t off = take16(in), len;
	size_t size = take16(in) % sizeof bytes;
	uint8_t fill = step & OTHER_SHA ? 1 : 0;
	int want, rc;

	len = take16(in);
	memset(bytes, take8(in), sizeof bytes);
	if ((step & WHAT) == PUT_NEXT && m->got > 0) {
		off = m->got;
		len = m->len;
	}
	memset(sha, fill, sizeof sha);
	want = expect(m, b, off, (struct enr_bytes){bytes, size}, len, fill);
	rc = board_put_chunk(b, names[step & OBJECT], off, (struct enr_bytes){bytes, size}, len, sha);
	CHECK(rc == want, "put at %llu: rc %d, want %d", (unsigned long long)off, rc, want);
}

static void check_model(const struct board *b, const struct model models[3])
{
	for (int i = 0; i < ENR_OBJECTS; i++) {
		const struct enr_staged *s = &b->agent.staged[i];

		CHECK(s->active == models[i].active && s->got == models[i].got, "%s: %u bytes, want %zu", names[i], s->got,
		      models[i].got);
		CHECK(memcmp(enr_staging(&b->agent, i), models[i].data, s->got) == 0, "%s: other bytes", names[i]);
	}
}

static void run(struct board *b, struct model models[3], uint8_t step, struct input *in)
{
	uint8_t sha[32] = {0};

	switch (step & WHAT) {
	case PUT:
	case PUT_NEXT:
		if ((step & OBJECT) < ENR_OBJECTS)
			step_put(b, models, step, in);
		break;
	case GET:
		board_get(b, names[step & OBJECT], take16(in));
		break;
	case COMMIT:
		// Digests of zeros or ones are nothing's: it stays with a refusal, and
		// one by digest drops what is staged.
		memset(sha, step & OTHER_SHA ? 1 : 0, sizeof sha);
		if (board_commit(b, sha, step & 1 ? sha : NULL, step & 2 ? sha : NULL) == ENR_DIGEST)
			memset(models, 0, 3 * sizeof *models);
		break;
	case RESET:
		board_boot(b);
		memset(models, 0, 3 * sizeof *models);
		break;
	default:
		// Without replace an installed board refuses, a keyed one keeps its key.
		board_keygen(b, "ES256", 3, false);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct model models[3];
	static struct board b;
	struct input in = {data, n};
	uint8_t start = take8(&in);

	memset(models, 0, sizeof models);
	fuzz_board(&b, start & 1 ? START_INSTALLED : START_KEYED);
	for (int i = 0; i < STEPS && in.n > 0; i++) {
		run(&b, models, take8(&in), &in);
		check_model(&b, models);
	}
	fuzz_check(&b);
	return 0;
}
