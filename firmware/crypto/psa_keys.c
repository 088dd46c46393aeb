// SPDX-License-Identifier: Apache-2.0
// The backend on the PSA Crypto API 1.0 (mbedtls 2.28 and 3.6): keys,
// signatures, hashes and random numbers. A part whose PSA comes with drivers, for
// an accelerator or a secure element, has them used by this.
#include "curves.h"

#include <mbedtls/pk.h>
#include <psa/crypto.h>
#include <stdbool.h>
#include <string.h>

static psa_algorithm_t hash_of(mbedtls_md_type_t md)
{
	return md == MBEDTLS_MD_SHA384 ? PSA_ALG_SHA_384 : PSA_ALG_SHA_256;
}

// Deterministic ECDSA (RFC 6979): a weak random source cannot leak the key
// through its signatures, and a repeated request gives the same bytes.
static psa_algorithm_t signs(const struct enr_curve *c)
{
	return PSA_ALG_DETERMINISTIC_ECDSA(hash_of(c->md));
}

enum enr_rc enr_crypto_init(void)
{
	return psa_crypto_init() == PSA_SUCCESS ? ENR_OK : ENR_ENTROPY;
}

// PSA's own random source, where the configuration leaves that to us.
#ifdef MBEDTLS_PSA_CRYPTO_EXTERNAL_RNG
psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *context, uint8_t *output,
					     size_t output_size, size_t *output_length)
{
	(void)context;
	*output_length = output_size;
	return enr_port_random(output, output_size) == 0 ? PSA_SUCCESS : PSA_ERROR_INSUFFICIENT_ENTROPY;
}
#endif

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

size_t enr_digest(mbedtls_md_type_t md, struct enr_bytes message, uint8_t out[ENR_DIGEST_MAX])
{
	psa_status_t status;
	size_t n;

	status = psa_hash_compute(hash_of(md), message.data, message.len, out, ENR_DIGEST_MAX, &n);
	return status == PSA_SUCCESS ? n : 0;
}

static psa_key_attributes_t attributes(const struct enr_curve *c, psa_key_usage_t usage)
{
	psa_key_attributes_t attr = psa_key_attributes_init();

	psa_set_key_type(&attr, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1));
	psa_set_key_bits(&attr, 8 * (size_t)c->half);
	psa_set_key_algorithm(&attr, signs(c));
	psa_set_key_usage_flags(&attr, usage);
	return attr;
}

static psa_status_t export_pair(const struct enr_curve *c, psa_key_id_t id, struct enr_key *key,
				struct enr_spki *spki)
{
	struct enr_bytes prefix = c->spki_prefix;
	psa_status_t status = psa_export_key(id, key->data, sizeof key->data, &key->len);
	size_t point;

	if (status != PSA_SUCCESS)
		return status;
	memcpy(spki->data, prefix.data, prefix.len);
	status = psa_export_public_key(id, spki->data + prefix.len, sizeof spki->data - prefix.len, &point);
	if (status == PSA_SUCCESS)
		spki->len = prefix.len + point;
	return status;
}

enum enr_rc enr_key_generate(const struct enr_alg *alg, struct enr_key *key, struct enr_spki *spki)
{
	const struct enr_curve *c = enr_curve_of(alg);
	psa_key_attributes_t attr = attributes(c, PSA_KEY_USAGE_EXPORT);
	psa_key_id_t id;
	psa_status_t status;

	if (psa_generate_key(&attr, &id) != PSA_SUCCESS)
		return ENR_ENTROPY;
	status = export_pair(c, id, key, spki);
	psa_destroy_key(id);
	return status == PSA_SUCCESS ? ENR_OK : ENR_ENTROPY;
}

enum enr_rc enr_key_sign(const struct enr_alg *alg, const struct enr_key *key, struct enr_bytes message,
			 struct enr_sig *sig)
{
	const struct enr_curve *c = enr_curve_of(alg);
	psa_key_attributes_t attr = attributes(c, PSA_KEY_USAGE_SIGN_MESSAGE);
	uint8_t raw[2 * ENR_HALF_MAX];
	psa_key_id_t id;
	psa_status_t status;
	size_t n;

	// A key that storage gives back and PSA does not take is damaged storage.
	if (psa_import_key(&attr, key->data, key->len, &id) != PSA_SUCCESS)
		return ENR_STORAGE;
	status = psa_sign_message(id, signs(c), message.data, message.len, raw, sizeof raw, &n);
	psa_destroy_key(id);
	if (status == PSA_SUCCESS)
		enr_encode_signature(sig, raw, c->half);
	return status == PSA_SUCCESS ? ENR_OK : ENR_STORAGE;
}

enum enr_rc enr_p256_check(const uint8_t spki[ENR_SPKI_P256])
{
	psa_key_attributes_t attr = psa_key_attributes_init();
	struct enr_bytes point = enr_p256_point(spki);
	psa_key_id_t id;

	psa_set_key_type(&attr, PSA_KEY_TYPE_ECC_PUBLIC_KEY(PSA_ECC_FAMILY_SECP_R1));
	if (point.data == NULL || psa_import_key(&attr, point.data, point.len, &id) != PSA_SUCCESS)
		return ENR_CHAIN;
	psa_destroy_key(id);
	return ENR_OK;
}

enum enr_rc enr_p256_verify(const uint8_t spki[ENR_SPKI_P256], struct enr_bytes message, struct enr_bytes sig)
{
	uint8_t hash[ENR_DIGEST_MAX], *p = (uint8_t *)(uintptr_t)spki; // mbedtls only reads through it
	size_t n = enr_digest(MBEDTLS_MD_SHA256, message, hash);
	mbedtls_pk_context pk;
	bool ok;

	mbedtls_pk_init(&pk);
	ok = n > 0 && mbedtls_pk_parse_subpubkey(&p, spki + ENR_SPKI_P256, &pk) == 0 &&
	     mbedtls_pk_verify(&pk, MBEDTLS_MD_SHA256, hash, n, sig.data, sig.len) == 0;
	mbedtls_pk_free(&pk);
	return ok ? ENR_OK : ENR_NOT_AUTHORISED;
}
