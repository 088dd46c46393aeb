// SPDX-License-Identifier: Apache-2.0
// What the backends on mbedtls have in common, beneath crypto.h. psa_keys.c and
// mbedtls_keys.c are those backends: a firmware has one of them, curves.c and
// mbedtls_chain.c.
#ifndef ENR_CURVES_H
#define ENR_CURVES_H

#include "crypto.h"

#include <mbedtls/ecp.h>
#include <mbedtls/md.h>

enum { ENR_HALF_MAX = 48, ENR_DIGEST_MAX = 48 }; // bytes of a coordinate, of a digest

// What an algorithm of enr_crypto_alg means.
struct enr_curve {
	mbedtls_ecp_group_id id;
	mbedtls_md_type_t md;
	uint8_t half; // bytes of a private key, of a coordinate
	struct enr_bytes spki_prefix; // a SubjectPublicKeyInfo up to the point
};

const struct enr_curve *enr_curve_of(const struct enr_alg *alg);

// The uncompressed point in a P-256 SubjectPublicKeyInfo; data is NULL when that
// is of another algorithm.
struct enr_bytes enr_p256_point(const uint8_t spki[ENR_SPKI_P256]);

// Turns r | s, of half bytes each, into an ECDSA-Sig-Value (RFC 3279, 2.2.3).
void enr_encode_signature(struct enr_sig *sig, const uint8_t *raw, size_t half);

// Provided by the backend: hashes a message with SHA-256 or SHA-384. Returns the
// digest's size, 0 when that failed.
size_t enr_digest(mbedtls_md_type_t md, struct enr_bytes message, uint8_t out[ENR_DIGEST_MAX]);

#endif
