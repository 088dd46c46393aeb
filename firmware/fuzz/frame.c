// SPDX-License-Identifier: Apache-2.0
// Bytes of a console: through the agent in each state, and through a receiver
// alone whose every message must survive another round. An input is a start and
// the bytes.
#include "fuzz.h"

#include "../core/smp.h"

#include <stdlib.h>
#include <string.h>

enum { CAP = 700 };

// Sends a message again and fails unless the same comes back.
static void check_round(const struct board *b, const uint8_t *message, size_t n)
{
	static struct board wire;
	uint8_t packet[CAP + ENR_SMP_EXTRA], again[CAP];
	struct enr_smp_rx rx = {.buf = again, .cap = sizeof again};
	size_t got = 0, rounds = 0;

	memcpy(packet + ENR_SMP_PREFIX, message, n);
	wire.sent_len = 0;
	enr_smp_send(&(struct enr_port){.ctx = &wire, .send = b->port.send}, packet, n);
	for (size_t i = 0; i < wire.sent_len; i++) {
		got = enr_smp_rx(&rx, wire.sent[i]);
		rounds += got > 0;
	}
	CHECK(rounds == 1 && got == n && memcmp(again + ENR_SMP_PREFIX, message, n) == 0, "%zu bytes came back as %zu", n,
	      got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct board b;
	struct input in = {data, n};
	uint8_t start = take8(&in), *buf;
	struct enr_smp_rx rx = {.cap = CAP - start};

	fuzz_board(&b, (enum fuzz_start)(start % STARTS));
	buf = malloc(rx.cap);
	CHECK(buf != NULL, "out of memory");
	rx.buf = buf;
	for (size_t i = 0; i < in.n; i++) {
		size_t got = enr_smp_rx(&rx, in.p[i]);

		CHECK(got <= rx.cap, "a message of %zu bytes", got);
		if (got > 0)
			check_round(&b, buf + ENR_SMP_PREFIX, got);
		b.sent_len = 0;
		enr_agent_rx(&b.agent, in.p[i]);
	}
	free(buf);
	fuzz_check(&b);
	return 0;
}
