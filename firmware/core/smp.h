// SPDX-License-Identifier: Apache-2.0
// SMP over a serial console: lines, packets and message headers (protocol,
// section 1). A firmware whose own SMP stack frames packets (Zephyr, NuttX)
// leaves this file out and calls enr_agent_message itself.
#ifndef ENR_SMP_H
#define ENR_SMP_H

#include "port.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENR_SMP_HEADER 8 // bytes of a message before its payload
#define ENR_SMP_PREFIX 2 // length in front of the message in a packet
#define ENR_SMP_EXTRA 4  // what a packet adds to a message: length and CRC

enum enr_smp_op { ENR_READ, ENR_READ_ANSWER, ENR_WRITE, ENR_WRITE_ANSWER };

struct enr_message {
	uint8_t op, version, seq, cmd;
	uint16_t group;
	const uint8_t *payload;
	size_t len;
};

// A receiver of packets. The owner sets buf and cap and clears the rest.
struct enr_smp_rx {
	uint8_t *buf;       // of the packet: length, message, CRC
	size_t cap;         // bytes in buf
	size_t got;         // bytes of the present packet
	bool open;          // a first line came and no bad one since
	bool padded;        // base64 ended: no line may follow
	uint8_t last;       // the byte before, for the two-byte markers
	uint8_t marker;     // of this line: 06, 04, or 0 while it is text
	uint8_t line[125];  // what follows the marker: 124 characters and 0D
	uint8_t line_len;   // more than sizeof line: too long
	uint16_t column;    // bytes of this line, text included
};

// Takes one byte. Returns the size of the message that this byte completes, at
// buf + ENR_SMP_PREFIX and valid until the next call, else 0.
size_t enr_smp_rx(struct enr_smp_rx *rx, uint8_t byte);

// Sends the message of n bytes at packet + ENR_SMP_PREFIX; packet has room for
// n + ENR_SMP_EXTRA. A line end goes first: the column is never known to be 0,
// since the firmware's log shares the console.
void enr_smp_send(const struct enr_port *port, uint8_t *packet, size_t n);

// Parses a header; false where the message is not one of SMP.
bool enr_smp_parse(struct enr_message *m, const uint8_t *data, size_t n);

// Writes the header of m, whose payload has m->len bytes.
void enr_smp_header(uint8_t out[ENR_SMP_HEADER], const struct enr_message *m);

// CRC-16/XMODEM; check value of "123456789": 31C3.
uint16_t enr_crc16(const uint8_t *data, size_t n);

#endif
