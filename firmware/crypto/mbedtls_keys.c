// SPDX-License-Identifier: Apache-2.0
// The mbedtls backend (2.28 and 3.6): keys, signatures, hashes and random
// numbers through the PSA Crypto API 1.0.
#include "crypto.h"

#include "../core/der.h"

#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <psa/crypto.h>
#include <string.h>

enum { ES256, ES384, ALGS };

// AlgorithmIdentifiers (RFC 5758, 3.2): no parameters.
static const uint8_t ecdsa_sha256[] = {0x30, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
static const uint8_t ecdsa_sha384[] = {0x30, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03};

static const struct enr_alg algs[ALGS] = {
	{"ES256", 1, ecdsa_sha256, sizeof ecdsa_sha256},
	{"ES384", 2, ecdsa_sha384, sizeof ecdsa_sha384},
};

// A SubjectPublicKeyInfo up to the point (RFC 5480).
static const uint8_t spki_p256[] = {
	0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
	0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
};
static const uint8_t spki_p384[] = {
	0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
	0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
};

struct curve {
	uint16_t bits;
	psa_algorithm_t sign;
	struct enr_bytes spki_prefix;
};

// Deterministic ECDSA (RFC 6979): a weak random source cannot leak the key
// through its signatures, and a repeated request gives the same bytes.
static const struct curve curves[ALGS] = {
	{256, PSA_ALG_DETERMINISTIC_ECDSA(PSA_ALG_SHA_256), {spki_p256, sizeof spki_p256}},
	{384, PSA_ALG_DETERMINISTIC_ECDSA(PSA_ALG_SHA_384), {spki_p384, sizeof spki_p384}},
};

static const struct curve *curve_of(const struct enr_alg *alg)
{
	return &curves[alg - algs];
}

const struct enr_alg *enr_crypto_alg(unsigned i)
{
	return i < ALGS ? &algs[i] : NULL;
}

void enr_wipe(void *data, size_t n)
{
	mbedtls_platform_zeroize(data, n);
}

enum enr_rc enr_crypto_init(void)
{
	return psa_crypto_init() == PSA_SUCCESS ? ENR_OK : ENR_ENTROPY;
}

// PSA's own random source.
psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *context, uint8_t *output,
					     size_t output_size, size_t *output_length)
{
	(void)context;
	*output_length = output_size;
	return enr_port_random(output, output_size) == 0 ? PSA_SUCCESS : PSA_ERROR_INSUFFICIENT_ENTROPY;
}

enum enr_rc enr_random(uint8_t *out, size_t n)
{
	return psa_generate_random(out, n) == PSA_SUCCESS ? ENR_OK : ENR_ENTROPY;
}

_Static_assert(sizeof(psa_hash_operation_t) <= sizeof(struct enr_hash), "enr_hash holds a PSA hash operation");
_Static_assert(_Alignof(psa_hash_operation_t) <= _Alignof(struct enr_hash), "enr_hash is aligned for it");

static psa_hash_operation_t *operation(struct enr_hash *h)
{
	return (psa_hash_operation_t *)(void *)h->state;
}

// A hash fails only when the library or its hardware does: to the station that
// is a board whose storage cannot be trusted.
static enum enr_rc hash_rc(psa_status_t status)
{
	return status == PSA_SUCCESS ? ENR_OK : ENR_STORAGE;
}

enum enr_rc enr_hash_start(struct enr_hash *h)
{
	*operation(h) = psa_hash_operation_init();
	return hash_rc(psa_hash_setup(operation(h), PSA_ALG_SHA_256));
}

enum enr_rc enr_hash_update(struct enr_hash *h, const uint8_t *data, size_t n)
{
	return n == 0 ? ENR_OK : hash_rc(psa_hash_update(operation(h), data, n));
}

enum enr_rc enr_hash_finish(struct enr_hash *h, uint8_t out[ENR_SHA256])
{
	size_t n;

	return hash_rc(psa_hash_finish(operation(h), out, ENR_SHA256, &n));
}

void enr_hash_abort(struct enr_hash *h)
{
	psa_hash_abort(operation(h));
}

static psa_key_attributes_t attributes(const struct enr_alg *alg, psa_key_usage_t usage)
{
	psa_key_attributes_t attr = psa_key_attributes_init();

	psa_set_key_type(&attr, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1));
	psa_set_key_bits(&attr, curve_of(alg)->bits);
	psa_set_key_algorithm(&attr, curve_of(alg)->sign);
	psa_set_key_usage_flags(&attr, usage);
	return attr;
}

static psa_status_t export_pair(const struct enr_alg *alg, psa_key_id_t id, struct enr_key *key,
				struct enr_spki *spki)
{
	struct enr_bytes prefix = curve_of(alg)->spki_prefix;
	psa_status_t status = psa_export_key(id, key->data, sizeof key->data, &key->len);
	size_t point;

	if (status != PSA_SUCCESS)
		return status;
	memcpy(spki->data, prefix.data, prefix.len);
	status = psa_export_public_key(id, spki->data + prefix.len, sizeof spki->data - prefix.len, &point);
	spki->len = prefix.len + point;
	return status;
}

enum enr_rc enr_key_generate(const struct enr_alg *alg, struct enr_key *key, struct enr_spki *spki)
{
	psa_key_attributes_t attr = attributes(alg, PSA_KEY_USAGE_EXPORT);
	psa_key_id_t id;
	psa_status_t status;

	if (psa_generate_key(&attr, &id) != PSA_SUCCESS)
		return ENR_ENTROPY;
	status = export_pair(alg, id, key, spki);
	psa_destroy_key(id);
	return status == PSA_SUCCESS ? ENR_OK : ENR_ENTROPY;
}

// Turns r | s into an ECDSA-Sig-Value (RFC 3279, 2.2.3).
static void encode_signature(struct enr_sig *sig, const uint8_t *raw, size_t half)
{
	uint8_t *end = sig->data + sizeof sig->data;
	struct enr_der d = {.start = sig->data, .p = end};

	enr_der_unsigned(&d, raw + half, half);
	enr_der_unsigned(&d, raw, half);
	enr_der_wrap(&d, ENR_DER_SEQUENCE, end);
	sig->len = (size_t)(end - d.p);
	memmove(sig->data, d.p, sig->len);
}

enum enr_rc enr_key_sign(const struct enr_alg *alg, const struct enr_key *key, struct enr_bytes message,
			 struct enr_sig *sig)
{
	psa_key_attributes_t attr = attributes(alg, PSA_KEY_USAGE_SIGN_MESSAGE);
	uint8_t raw[2 * 48];
	psa_key_id_t id;
	psa_status_t status;
	size_t n;

	// A key that storage gives back and PSA does not take is damaged storage.
	if (psa_import_key(&attr, key->data, key->len, &id) != PSA_SUCCESS)
		return ENR_STORAGE;
	status = psa_sign_message(id, curve_of(alg)->sign, message.data, message.len, raw, sizeof raw, &n);
	psa_destroy_key(id);
	if (status == PSA_SUCCESS)
		encode_signature(sig, raw, n / 2);
	return status == PSA_SUCCESS ? ENR_OK : ENR_STORAGE;
}

enum enr_rc enr_p256_check(const uint8_t spki[ENR_SPKI_P256])
{
	psa_key_attributes_t attr = psa_key_attributes_init();
	psa_key_id_t id;

	psa_set_key_type(&attr, PSA_KEY_TYPE_ECC_PUBLIC_KEY(PSA_ECC_FAMILY_SECP_R1));
	if (memcmp(spki, spki_p256, sizeof spki_p256) != 0)
		return ENR_CHAIN;
	if (psa_import_key(&attr, spki + sizeof spki_p256, ENR_SPKI_P256 - sizeof spki_p256, &id) != PSA_SUCCESS)
		return ENR_CHAIN;
	psa_destroy_key(id);
	return ENR_OK;
}

enum enr_rc enr_p256_verify(const uint8_t spki[ENR_SPKI_P256], struct enr_bytes message, struct enr_bytes sig)
{
	uint8_t hash[ENR_SHA256], *p = (uint8_t *)(uintptr_t)spki; // mbedtls only reads through it
	mbedtls_pk_context pk;
	size_t n;
	bool ok;

	mbedtls_pk_init(&pk);
	ok = mbedtls_pk_parse_subpubkey(&p, spki + ENR_SPKI_P256, &pk) == 0 &&
	     psa_hash_compute(PSA_ALG_SHA_256, message.data, message.len, hash, sizeof hash, &n) == PSA_SUCCESS &&
	     mbedtls_pk_verify(&pk, MBEDTLS_MD_SHA256, hash, sizeof hash, sig.data, sig.len) == 0;
	mbedtls_pk_free(&pk);
	return ok ? ENR_OK : ENR_NOT_AUTHORISED;
}
