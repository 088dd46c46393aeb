// SPDX-License-Identifier: Apache-2.0
// A DER writer that works from the back of a buffer to its front, so that every
// length is known when its header is written.
#ifndef ENR_DER_H
#define ENR_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ENR_DER_INTEGER = 0x02,
	ENR_DER_BIT_STRING = 0x03,
	ENR_DER_UTF8_STRING = 0x0c,
	ENR_DER_PRINTABLE_STRING = 0x13,
	ENR_DER_SEQUENCE = 0x30,
	ENR_DER_SET = 0x31,
	ENR_DER_CONTEXT_0 = 0xa0,
};

struct enr_der {
	uint8_t *start, *p; // p goes down to start
	bool over;          // something did not fit: what stands at p is worthless
};

// Puts n bytes in front of what is there.
void enr_der_put(struct enr_der *d, const uint8_t *data, size_t n);

// Puts tag and length in front of everything from p to end.
void enr_der_wrap(struct enr_der *d, uint8_t tag, const uint8_t *end);

// Puts a whole value of n bytes with its tag in front.
void enr_der_value(struct enr_der *d, uint8_t tag, const uint8_t *data, size_t n);

// Puts an INTEGER from an unsigned number, big-endian, in front.
void enr_der_unsigned(struct enr_der *d, const uint8_t *number, size_t n);

#endif
