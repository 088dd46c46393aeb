// SPDX-License-Identifier: Apache-2.0
// The narrow waist between the agent and a crypto library or secure element:
// what a backend provides. It knows nothing of SMP, CBOR, storage or states.
#ifndef ENR_CRYPTO_H
#define ENR_CRYPTO_H

#include "rc.h"

#include <stddef.h>
#include <stdint.h>

enum {
	ENR_SHA256 = 32,     // bytes of a digest
	ENR_KEY_MAX = 64,    // of a private key, or of a secure element's handle to it
	ENR_SPKI_MAX = 120,  // of a DER SubjectPublicKeyInfo
	ENR_SIG_MAX = 104,   // of a DER ECDSA-Sig-Value on P-384
	ENR_SPKI_P256 = 91,  // of a SubjectPublicKeyInfo with an uncompressed P-256 point
	ENR_CHAIN_MAX = 4,   // certificates in a chain
};

// An algorithm that a device key can have.
struct enr_alg {
	const char *name;       // as in the protocol: "ES256"
	uint8_t id;             // in storage: never renumbered
	const uint8_t *sig_alg; // DER AlgorithmIdentifier of its signatures
	size_t sig_alg_len;
};

struct enr_bytes {
	const uint8_t *data;
	size_t len;
};

// Provided by the port: fills out with n bytes of full entropy, from a hardware
// source behind its health test or from a DRBG seeded by one. Not 0 when the
// source is not healthy; then no key is made (rc 10).
int enr_port_random(uint8_t *out, size_t n);

// Called once before everything else.
enum enr_rc enr_crypto_init(void);

// The i-th algorithm for device keys, NULL after the last.
const struct enr_alg *enr_crypto_alg(unsigned i);

// The i-th name of what enr_chain_check can verify, NULL after the last.
const char *enr_crypto_verifies(unsigned i);

enum enr_rc enr_random(uint8_t *out, size_t n);

// SHA-256 in pieces. After update or finish failed the rest may be left out;
// abort ends a hash that is not to be finished.
struct enr_hash {
	uint64_t state[40];
};
enum enr_rc enr_hash_start(struct enr_hash *h);
enum enr_rc enr_hash_update(struct enr_hash *h, const uint8_t *data, size_t n);
enum enr_rc enr_hash_finish(struct enr_hash *h, uint8_t out[ENR_SHA256]);
void enr_hash_abort(struct enr_hash *h);

struct enr_key {
	uint8_t data[ENR_KEY_MAX];
	size_t len;
};
struct enr_spki {
	uint8_t data[ENR_SPKI_MAX];
	size_t len;
};
struct enr_sig {
	uint8_t data[ENR_SIG_MAX];
	size_t len;
};

// Makes a key and its SubjectPublicKeyInfo; ENR_ENTROPY when no key was made.
enum enr_rc enr_key_generate(const struct enr_alg *alg, struct enr_key *key, struct enr_spki *spki);

// Signs a message with the algorithm's own hash. The key blob and the public
// key are the ones enr_key_generate gave.
enum enr_rc enr_key_sign(const struct enr_alg *alg, const struct enr_key *key, struct enr_bytes message,
			 struct enr_sig *sig);

// Parses DER certificates, 1 to max of them and nothing behind: ENR_OK or
// ENR_CHAIN. One with an algorithm that the backend does not know passes as
// long as its outline is whole.
enum enr_rc enr_certs_parse(struct enr_bytes certs, unsigned max);

// Checks a chain that enr_certs_parse passed, leaf first, in this order: the
// leaf's key is spki byte by byte (ENR_KEY_MISMATCH); every certificate but the
// last is issued by the next (ENR_CHAIN); the last one is issued by root, where
// root.data is not NULL (ENR_UNTRUSTED). A signature whose algorithm is not in
// the NULL-terminated list verify (NULL: all that enr_crypto_verifies names) is
// ENR_ALGORITHM at its link. Dates are not checked: a board has no clock.
enum enr_rc enr_chain_check(struct enr_bytes chain, struct enr_bytes spki, struct enr_bytes root,
			    const char *const *verify);

// ENR_OK for a SubjectPublicKeyInfo of ENR_SPKI_P256 bytes whose point is on
// the curve, else ENR_CHAIN.
enum enr_rc enr_p256_check(const uint8_t spki[ENR_SPKI_P256]);

// Verifies a DER ECDSA signature over SHA-256 of message: ENR_OK or
// ENR_NOT_AUTHORISED.
enum enr_rc enr_p256_verify(const uint8_t spki[ENR_SPKI_P256], struct enr_bytes message,
			    struct enr_bytes sig);

// Overwrites memory in a way no compiler removes.
void enr_wipe(void *data, size_t n);

#endif
