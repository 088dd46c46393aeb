// SPDX-License-Identifier: Apache-2.0
#include "smp.h"

#include "base64.h"

#include <string.h>

enum { FIRST_LINE = 0x06, NEXT_LINE = 0x04 };
enum { LINE_MAX = 4096 };      // bytes before 0A, text included: a longer one is thrown away
enum { BYTES_PER_LINE = 93 };  // 124 characters, with markers and 0A 127 bytes

uint16_t enr_crc16(const uint8_t *data, size_t n)
{
	uint16_t crc = 0;

	for (size_t i = 0; i < n; i++) {
		crc ^= (uint16_t)(data[i] << 8);
		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
	}
	return crc;
}

static size_t get16(const uint8_t *p)
{
	return (size_t)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

// Appends the base64 of one line to the packet; false where it spoils it.
static bool decode_line(struct enr_smp_rx *rx)
{
	if (rx->line_len > sizeof rx->line - 1 || rx->line_len % 4 != 0)
		return false;
	for (size_t i = 0; i < rx->line_len; i += 4) {
		uint8_t bytes[3];
		int n = enr_base64_quad(bytes, rx->line + i);

		if (n < 0 || rx->padded || (size_t)n > rx->cap - rx->got)
			return false;
		memcpy(rx->buf + rx->got, bytes, (size_t)n);
		rx->got += (size_t)n;
		rx->padded = n < 3;
	}
	return true;
}

// The size of the message if the packet is complete and whole, else 0. A packet
// that cannot become whole is closed.
static size_t finish(struct enr_smp_rx *rx)
{
	size_t body;

	if (rx->got < ENR_SMP_PREFIX)
		return 0;
	body = get16(rx->buf);
	if (rx->got < ENR_SMP_PREFIX + body)
		return 0;
	rx->open = false;
	if (rx->got != ENR_SMP_PREFIX + body || body < ENR_SMP_HEADER + 2)
		return 0;
	body -= 2;
	if (enr_crc16(rx->buf + ENR_SMP_PREFIX, body) != get16(rx->buf + ENR_SMP_PREFIX + body))
		return 0;
	return body;
}

static size_t end_of_line(struct enr_smp_rx *rx)
{
	if (rx->marker == 0 || rx->column > LINE_MAX)
		return 0;
	if (rx->line_len > 0 && rx->line_len <= sizeof rx->line && rx->line[rx->line_len - 1] == '\r')
		rx->line_len--;
	if (rx->marker == FIRST_LINE) {
		rx->open = true;
		rx->padded = false;
		rx->got = 0;
	}
	if (!rx->open)
		return 0;
	rx->open = decode_line(rx);
	return rx->open ? finish(rx) : 0;
}

static bool is_marker(uint8_t first, uint8_t second)
{
	return (first == FIRST_LINE && second == 0x09) || (first == NEXT_LINE && second == 0x14);
}

size_t enr_smp_rx(struct enr_smp_rx *rx, uint8_t byte)
{
	size_t message = 0;

	if (byte != '\n' && rx->column <= LINE_MAX)
		rx->column++;
	if (byte == '\n') {
		message = end_of_line(rx);
		rx->column = 0;
		rx->marker = 0;
	} else if (is_marker(rx->last, byte)) {
		// The last pair of a line counts: what stood before it was text.
		rx->marker = rx->last;
		rx->line_len = 0;
	} else if (rx->line_len < sizeof rx->line) {
		rx->line[rx->line_len++] = byte;
	} else {
		rx->line_len = sizeof rx->line + 1;
	}
	rx->last = byte;
	return message;
}

void enr_smp_send(const struct enr_port *port, uint8_t *packet, size_t n)
{
	size_t total = n + ENR_SMP_EXTRA;
	uint8_t line[128];

	put16(packet, n + 2);
	put16(packet + ENR_SMP_PREFIX + n, enr_crc16(packet + ENR_SMP_PREFIX, n));
	port->send(port->ctx, (const uint8_t *)"\n", 1);
	for (size_t at = 0; at < total; at += BYTES_PER_LINE) {
		size_t part = total - at < BYTES_PER_LINE ? total - at : BYTES_PER_LINE;
		size_t len;

		line[0] = at == 0 ? FIRST_LINE : NEXT_LINE;
		line[1] = at == 0 ? 0x09 : 0x14;
		len = 2 + enr_base64_encode(ENR_BASE64_PADDED, line + 2, packet + at, part);
		line[len++] = '\n';
		port->send(port->ctx, line, len);
	}
}

bool enr_smp_parse(struct enr_message *m, const uint8_t *data, size_t n)
{
	if (n < ENR_SMP_HEADER || data[0] >> 5 != 0 || get16(data + 2) != n - ENR_SMP_HEADER)
		return false;
	m->op = data[0] & 7;
	m->version = data[0] >> 3;
	m->group = (uint16_t)get16(data + 4);
	m->seq = data[6];
	m->cmd = data[7];
	m->payload = data + ENR_SMP_HEADER;
	m->len = n - ENR_SMP_HEADER;
	return true;
}

void enr_smp_header(uint8_t out[ENR_SMP_HEADER], const struct enr_message *m)
{
	out[0] = (uint8_t)(m->op | m->version << 3);
	out[1] = 0;
	put16(out + 2, m->len);
	put16(out + 4, m->group);
	out[6] = m->seq;
	out[7] = m->cmd;
}
