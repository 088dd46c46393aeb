// SPDX-License-Identifier: Apache-2.0
// The whole agent, from messages to storage, in each state. An input is a start,
// then messages: two bytes of flags and length, then the message itself. Its
// length field is set to what is there, or no mutation would get past it.
#include "fuzz.h"

#include "../core/smp.h"

#include <string.h>

enum { AS_IT_IS = 0x8000, PLAIN = 0x4000, LENGTH = 0x03ff, MESSAGES = 24 };

static void send_one(struct board *b, struct input *in)
{
	uint16_t head = take16(in);
	struct enr_bytes m = take(in, head & LENGTH);
	uint8_t message[LENGTH + 1];

	if (m.len > 0)
		memcpy(message, m.data, m.len);
	if (m.len >= ENR_SMP_HEADER && !(head & AS_IT_IS)) {
		message[2] = (uint8_t)((m.len - ENR_SMP_HEADER) >> 8);
		message[3] = (uint8_t)(m.len - ENR_SMP_HEADER);
	}
	fuzz_message(b, (struct enr_bytes){message, m.len}, !(head & PLAIN));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct board b;
	struct input in = {data, n};
	uint8_t start = take8(&in);

	fuzz_board(&b, (enum fuzz_start)(start % STARTS));
	if (start & 0x80 && start % STARTS < START_INSTALLED)
		b.config.root = fuzz_root();
	for (int i = 0; i < MESSAGES && in.n > 0; i++)
		send_one(&b, &in);
	fuzz_check(&b);
	return 0;
}
