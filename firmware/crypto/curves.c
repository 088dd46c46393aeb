// SPDX-License-Identifier: Apache-2.0
#include "curves.h"

#include "../core/der.h"

#include <mbedtls/platform_util.h>
#include <string.h>

enum {
	ES256,
#ifdef MBEDTLS_ECP_DP_SECP384R1_ENABLED
	ES384,
#endif
	ALGS
};

// AlgorithmIdentifiers (RFC 5758, 3.2): no parameters.
static const uint8_t ecdsa_sha256[] = {0x30, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
#ifdef MBEDTLS_ECP_DP_SECP384R1_ENABLED
static const uint8_t ecdsa_sha384[] = {0x30, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03};
#endif

static const struct enr_alg algs[ALGS] = {
	{"ES256", 1, ecdsa_sha256, sizeof ecdsa_sha256},
#ifdef MBEDTLS_ECP_DP_SECP384R1_ENABLED
	{"ES384", 2, ecdsa_sha384, sizeof ecdsa_sha384},
#endif
};

// A SubjectPublicKeyInfo up to the point (RFC 5480).
static const uint8_t spki_p256[] = {
	0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
	0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
};
#ifdef MBEDTLS_ECP_DP_SECP384R1_ENABLED
static const uint8_t spki_p384[] = {
	0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
	0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
};
#endif

static const struct enr_curve curves[ALGS] = {
	{MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_MD_SHA256, 32, {spki_p256, sizeof spki_p256}},
#ifdef MBEDTLS_ECP_DP_SECP384R1_ENABLED
	{MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_MD_SHA384, 48, {spki_p384, sizeof spki_p384}},
#endif
};

const struct enr_curve *enr_curve_of(const struct enr_alg *alg)
{
	return &curves[alg - algs];
}

const struct enr_alg *enr_crypto_alg(unsigned i)
{
	return i < ALGS ? &algs[i] : NULL;
}

struct enr_bytes enr_p256_point(const uint8_t spki[ENR_SPKI_P256])
{
	if (memcmp(spki, spki_p256, sizeof spki_p256) != 0)
		return (struct enr_bytes){NULL, 0};
	return (struct enr_bytes){spki + sizeof spki_p256, ENR_SPKI_P256 - sizeof spki_p256};
}

void enr_encode_signature(struct enr_sig *sig, const uint8_t *raw, size_t half)
{
	uint8_t der[ENR_SIG_MAX], *end = der + sizeof der; // newlib's memmove is 252 bytes
	struct enr_der d = {.start = der, .p = end};

	enr_der_unsigned(&d, raw + half, half);
	enr_der_unsigned(&d, raw, half);
	enr_der_wrap(&d, ENR_DER_SEQUENCE, end);
	sig->len = (size_t)(end - d.p);
	memcpy(sig->data, d.p, sig->len);
}

void enr_wipe(void *data, size_t n)
{
	mbedtls_platform_zeroize(data, n);
}
