// SPDX-License-Identifier: Apache-2.0
#include "der.h"

#include <string.h>

void enr_der_put(struct enr_der *d, const uint8_t *data, size_t n)
{
	if (d->over || n > (size_t)(d->p - d->start)) {
		d->over = true;
		return;
	}
	d->p -= n;
	if (n > 0)
		memcpy(d->p, data, n);
}

static void put_byte(struct enr_der *d, size_t byte)
{
	uint8_t b = (uint8_t)byte;

	enr_der_put(d, &b, 1);
}

void enr_der_wrap(struct enr_der *d, uint8_t tag, const uint8_t *end)
{
	size_t n = (size_t)(end - d->p), bytes = 0;

	if (n >= 0x80) {
		for (size_t rest = n; rest > 0; rest >>= 8, bytes++)
			put_byte(d, rest);
		put_byte(d, 0x80 | bytes);
	} else {
		put_byte(d, n);
	}
	put_byte(d, tag);
}

void enr_der_value(struct enr_der *d, uint8_t tag, const uint8_t *data, size_t n)
{
	const uint8_t *end = d->p;

	enr_der_put(d, data, n);
	enr_der_wrap(d, tag, end);
}

void enr_der_unsigned(struct enr_der *d, const uint8_t *number, size_t n)
{
	const uint8_t *end = d->p;

	while (n > 1 && number[0] == 0) {
		number++;
		n--;
	}
	enr_der_put(d, number, n);
	if (number[0] & 0x80)
		put_byte(d, 0);
	enr_der_wrap(d, ENR_DER_INTEGER, end);
}
