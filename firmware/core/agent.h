// SPDX-License-Identifier: Apache-2.0
// The enrollment agent of a board: group 64 and the OS commands of SMP that a
// station needs. All memory is the caller's; there are no globals and nothing
// is allocated, so that any number of agents live side by side.
#ifndef ENR_AGENT_H
#define ENR_AGENT_H

#include "../crypto/crypto.h"
#include "csr.h"
#include "port.h"
#include "smp.h"
#include "store.h"

enum {
	ENR_GROUP = 64,       // first user group of MCUmgr
	ENR_BUFFER_MIN = 512, // info with all its fields needs it
	ENR_OBJECTS = 3,      // chain, anchors, rework
	ENR_NAME_MAX = 32,    // bytes of model, hw, fw
};

struct enr_config {
	const struct enr_port *port;
	const char *model, *hw, *fw;     // for info: UTF-8, up to ENR_NAME_MAX bytes each
	struct enr_bytes uid;            // immutable identity of the silicon, 1 to 32 bytes
	struct enr_bytes root;           // DER of the pinned root certificate; data NULL: none
	uint8_t prot;                    // what protects the key: bits 0 to 3 of the protocol
	uint16_t group;                  // 0 means ENR_GROUP
	const char *const *verify;       // NULL-terminated: a subset of enr_crypto_verifies; NULL: all of it

	// Two buffers of `buffer` bytes each, ENR_BUFFER_MIN or more: a request and
	// an answer with length and CRC (what MCUmgr calls buf_size).
	uint8_t *rx, *tx;
	uint16_t buffer;
	// 3 * max bytes for objects on their way; max is the largest one, 2048 or more.
	uint8_t *staging;
	uint32_t max;

	// Groups that are not the agent's (image upload); NULL for none. It writes
	// up to cap bytes of CBOR and returns their number, or -1 for a group or
	// command it does not know. Not asked on a locked board whose boot does not
	// verify images (prot bit 0 clear): a new image could read the key out.
	int (*other)(void *ctx, const struct enr_message *request, uint8_t *answer, size_t cap);
	void *other_ctx;
};

// An object on its way from the station, in RAM.
struct enr_staged {
	bool active;
	uint32_t len, got;
	uint8_t sha[ENR_SHA256];
};

struct enr_agent {
	const struct enr_config *cfg;
	struct enr_smp_rx rx;
	struct enr_store store;
	struct enr_staged staged[ENR_OBJECTS];
	uint8_t boot[16];

	// The request made last, at the end of csr, and the digest of what it was
	// asked for.
	uint8_t csr[ENR_CSR_MAX];
	size_t csr_len;
	uint8_t csr_request[ENR_SHA256];

	bool challenged;          // nonce was asked for since boot
	uint8_t nonce[32];
	struct enr_sig rework_sig; // of the rework since boot; len 0: none
};

// Starts an agent at boot. Not ENR_OK: ENR_MALFORMED for a config that breaks a
// limit above, ENR_STORAGE, ENR_ENTROPY; the agent may not be used then.
enum enr_rc enr_agent_init(struct enr_agent *a, const struct enr_config *cfg);

// Takes one byte from the console and may answer through port->send.
void enr_agent_rx(struct enr_agent *a, uint8_t byte);

// Takes a whole SMP message and writes the answer to out, which has room for
// ENR_BUFFER_MIN - ENR_SMP_EXTRA bytes or more. Returns the answer's size, 0 for
// none. For firmware with an SMP stack of its own.
size_t enr_agent_message(struct enr_agent *a, const uint8_t *message, size_t n, uint8_t *out, size_t cap);

#endif
