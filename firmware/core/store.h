// SPDX-License-Identifier: Apache-2.0
// What a board keeps without power: state, token, key and objects, in two
// copies in flash of which at most one counts. A power cut at any byte leaves
// the record before or the record after; at boot the copy that does not count
// is wiped, so that a replaced key does not survive.
//
// Layout of a copy, version 1 (numbers big-endian):
//
//	 0  valid word, 32 bytes, written last
//	32  generation u32, state u8, alg u8, 2 x 0, token 32, five lengths u32, 4 x 0
//	96  key, SPKI, chain, anchors, rework, each padded with 0 to 32 bytes
//	 n  SHA-256 of everything from 32 to n
#ifndef ENR_STORE_H
#define ENR_STORE_H

#include "../crypto/crypto.h"
#include "port.h"

#include <stdbool.h>

enum enr_state { ENR_BLANK, ENR_KEYED, ENR_INSTALLED, ENR_LOCKED_STATE };

enum enr_part { ENR_PART_KEY, ENR_PART_SPKI, ENR_PART_CHAIN, ENR_PART_ANCHORS, ENR_PART_REWORK, ENR_PARTS };

#define ENR_STORE_PAD(n) (((n) + ENR_FLASH_UNIT - 1) / ENR_FLASH_UNIT * ENR_FLASH_UNIT)

// Bytes of a copy whose objects have up to max bytes each.
#define ENR_STORE_SIZE(max) \
	(96 + ENR_STORE_PAD(ENR_KEY_MAX) + ENR_STORE_PAD(ENR_SPKI_MAX) + 3 * ENR_STORE_PAD(max) + ENR_SHA256)

struct enr_record {
	uint32_t generation;
	uint8_t state, alg;
	uint8_t token[32];
	uint32_t len[ENR_PARTS];
};

struct enr_store {
	const struct enr_port *port;
	int active;               // the copy that counts, -1: none, the board is blank
	struct enr_record record; // of the active copy; no key bytes are kept in RAM
};

// One part of a record to be written: bytes, or those that are stored now.
struct enr_source {
	bool keep;
	const uint8_t *data;
	uint32_t len;
};

// Finds the copy that counts and wipes the other.
enum enr_rc enr_store_boot(struct enr_store *s, const struct enr_port *port);

// Replaces the record: state, alg and token from next, parts from sources. When
// it fails the state is the one before, except that it may be the one after
// when only the wiping of the old copy failed; RAM says which.
enum enr_rc enr_store_save(struct enr_store *s, const struct enr_record *next,
			   const struct enr_source sources[ENR_PARTS]);

// Reads n bytes of a stored part, which must have them.
enum enr_rc enr_store_read(const struct enr_store *s, enum enr_part part, uint32_t off, uint8_t *out, size_t n);

// SHA-256 of a stored part as flash reads it back; 32 zero bytes when absent.
enum enr_rc enr_store_digest(const struct enr_store *s, enum enr_part part, uint8_t out[ENR_SHA256]);

#endif
