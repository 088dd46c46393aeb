// SPDX-License-Identifier: Apache-2.0
#include "base64.h"

static uint8_t symbol(enum enr_base64 form, unsigned v)
{
	if (v < 26)
		return (uint8_t)('A' + v);
	if (v < 52)
		return (uint8_t)('a' + v - 26);
	if (v < 62)
		return (uint8_t)('0' + v - 52);
	if (form == ENR_BASE64_URL)
		return v == 62 ? '-' : '_';
	return v == 62 ? '+' : '/';
}

size_t enr_base64_encode(enum enr_base64 form, uint8_t *out, const uint8_t *in, size_t n)
{
	uint8_t *p = out;

	for (size_t i = 0; i < n; i += 3) {
		size_t have = n - i < 3 ? n - i : 3;
		uint32_t bits = (uint32_t)in[i] << 16;

		if (have > 1)
			bits |= (uint32_t)in[i + 1] << 8;
		if (have > 2)
			bits |= in[i + 2];
		for (size_t k = 0; k < 4; k++) {
			if (k <= have)
				*p++ = symbol(form, bits >> (18 - 6 * k) & 63);
			else if (form == ENR_BASE64_PADDED)
				*p++ = '=';
		}
	}
	return (size_t)(p - out);
}

static int value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

int enr_base64_quad(uint8_t out[3], const uint8_t in[4])
{
	int symbols = in[3] != '=' ? 4 : in[2] != '=' ? 3 : 2;
	uint32_t bits = 0;

	for (int i = 0; i < 4; i++) {
		int v = i < symbols ? value(in[i]) : 0;

		if (v < 0)
			return -1;
		bits = bits << 6 | (uint32_t)v;
	}
	out[0] = (uint8_t)(bits >> 16);
	out[1] = (uint8_t)(bits >> 8);
	out[2] = (uint8_t)bits;
	return symbols - 1;
}
