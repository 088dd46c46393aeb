// SPDX-License-Identifier: Apache-2.0
// The exact bytes that signatures of the protocol cover.
#ifndef ENR_MESSAGE_H
#define ENR_MESSAGE_H

#include "agent.h"

#include <stdbool.h>

enum {
	ENR_PROOF_MAX = 17 + 5 * 32 + 2 + 32,
	ENR_REWORK_MAX = 18 + 2 * 32 + 32,
};

// What prove signs. Digests of what is absent are 32 zero bytes.
struct enr_proof {
	const uint8_t *nonce;
	uint8_t objects[ENR_OBJECTS][ENR_SHA256]; // chain, anchors, rework
	uint8_t root[ENR_SHA256];
	uint8_t prot, state;
	struct enr_bytes uid;
};

// Writes the message to out and returns its size.
size_t enr_proof_message(uint8_t out[ENR_PROOF_MAX], const struct enr_proof *p);
size_t enr_rework_message(uint8_t out[ENR_REWORK_MAX], const uint8_t nonce[32], const uint8_t spki[ENR_SHA256],
			  struct enr_bytes uid);

// Whether tbs is the content of a TLS 1.3 client CertificateVerify (RFC 8446,
// 4.4.3) over a transcript hash of 32 or 48 bytes. Nothing else is signed with
// the device key on request.
bool enr_is_client_verify(struct enr_bytes tbs);

#endif
