// SPDX-License-Identifier: Apache-2.0
// The mbedtls backend (2.28 and 3.6): keys, signatures, hashes and random
// numbers. It calls the algorithms themselves: the PSA Crypto API around them,
// with its key store, is 6 KB of code that an agent with one key does not need.
#include "crypto.h"

#include "../core/der.h"

#include <mbedtls/ecdsa.h>
#include <mbedtls/md.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <mbedtls/version.h>
#include <stdbool.h>
#include <string.h>

#if MBEDTLS_VERSION_MAJOR < 3
#define MBEDTLS_PRIVATE(member) member
#define mbedtls_sha256_starts mbedtls_sha256_starts_ret
#define mbedtls_sha256_update mbedtls_sha256_update_ret
#define mbedtls_sha256_finish mbedtls_sha256_finish_ret
#endif

enum {
	ES256,
#ifdef MBEDTLS_ECP_DP_SECP384R1_ENABLED
	ES384,
#endif
	ALGS
};
enum { HALF_MAX = 48, HASH_MAX = 48 }; // bytes of a coordinate, of a digest

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

struct curve {
	mbedtls_ecp_group_id id;
	mbedtls_md_type_t md;
	uint8_t half; // bytes of a private key, of a coordinate
	struct enr_bytes spki_prefix;
};

static const struct curve curves[ALGS] = {
	{MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_MD_SHA256, 32, {spki_p256, sizeof spki_p256}},
#ifdef MBEDTLS_ECP_DP_SECP384R1_ENABLED
	{MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_MD_SHA384, 48, {spki_p384, sizeof spki_p384}},
#endif
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
	return ENR_OK;
}

// The random source as mbedtls calls it.
static int fill(void *ctx, unsigned char *out, size_t n)
{
	(void)ctx;
	return enr_port_random(out, n) == 0 ? 0 : MBEDTLS_ERR_ECP_RANDOM_FAILED;
}

enum enr_rc enr_random(uint8_t *out, size_t n)
{
	return enr_port_random(out, n) == 0 ? ENR_OK : ENR_ENTROPY;
}

_Static_assert(sizeof(mbedtls_sha256_context) <= sizeof(struct enr_hash), "enr_hash holds a hash of mbedtls");
_Static_assert(_Alignof(mbedtls_sha256_context) <= _Alignof(struct enr_hash), "enr_hash is aligned for it");

static mbedtls_sha256_context *context(struct enr_hash *h)
{
	return (mbedtls_sha256_context *)(void *)h->state;
}

// A hash fails only when the library or its hardware does: to the station that
// is a board whose storage cannot be trusted.
static enum enr_rc hash_rc(int err)
{
	return err == 0 ? ENR_OK : ENR_STORAGE;
}

enum enr_rc enr_hash_start(struct enr_hash *h)
{
	mbedtls_sha256_init(context(h));
	return hash_rc(mbedtls_sha256_starts(context(h), false));
}

enum enr_rc enr_hash_update(struct enr_hash *h, const uint8_t *data, size_t n)
{
	return n == 0 ? ENR_OK : hash_rc(mbedtls_sha256_update(context(h), data, n));
}

enum enr_rc enr_hash_finish(struct enr_hash *h, uint8_t out[ENR_SHA256])
{
	int err = mbedtls_sha256_finish(context(h), out);

	mbedtls_sha256_free(context(h));
	return hash_rc(err);
}

void enr_hash_abort(struct enr_hash *h)
{
	mbedtls_sha256_free(context(h));
}

// Hashes a message; returns the digest's size, 0 when that failed.
static size_t digest(mbedtls_md_type_t md, struct enr_bytes message, uint8_t out[HASH_MAX])
{
	const mbedtls_md_info_t *info = mbedtls_md_info_from_type(md);

	return mbedtls_md(info, message.data, message.len, out) == 0 ? mbedtls_md_get_size(info) : 0;
}

// A key pair of which mbedtls has group, private half d and public point Q.
static int pair_start(mbedtls_ecdsa_context *k, mbedtls_ecp_group_id id)
{
	mbedtls_ecdsa_init(k);
	return mbedtls_ecp_group_load(&k->MBEDTLS_PRIVATE(grp), id);
}

enum enr_rc enr_key_generate(const struct enr_alg *alg, struct enr_key *key, struct enr_spki *spki)
{
	const struct curve *c = curve_of(alg);
	struct enr_bytes prefix = c->spki_prefix;
	mbedtls_ecdsa_context k;
	size_t point = 0;
	int err = pair_start(&k, c->id);
	mbedtls_ecp_group *group = &k.MBEDTLS_PRIVATE(grp);

	if (err == 0)
		err = mbedtls_ecp_gen_keypair(group, &k.MBEDTLS_PRIVATE(d), &k.MBEDTLS_PRIVATE(Q), fill, NULL);
	if (err == 0)
		err = mbedtls_mpi_write_binary(&k.MBEDTLS_PRIVATE(d), key->data, c->half);
	if (err == 0)
		err = mbedtls_ecp_point_write_binary(group, &k.MBEDTLS_PRIVATE(Q), MBEDTLS_ECP_PF_UNCOMPRESSED, &point,
						     spki->data + prefix.len, sizeof spki->data - prefix.len);
	mbedtls_ecdsa_free(&k);
	key->len = c->half;
	memcpy(spki->data, prefix.data, prefix.len);
	spki->len = prefix.len + point;
	return err == 0 ? ENR_OK : ENR_ENTROPY;
}

// Turns r and s into an ECDSA-Sig-Value (RFC 3279, 2.2.3).
static int encode_signature(struct enr_sig *sig, const mbedtls_mpi *r, const mbedtls_mpi *s, size_t half)
{
	const mbedtls_mpi *const numbers[] = {s, r}; // from the back
	uint8_t der[ENR_SIG_MAX], *end = der + sizeof der, raw[HALF_MAX];
	struct enr_der d = {.start = der, .p = end};
	int err = 0;

	for (int i = 0; err == 0 && i < 2; i++) {
		err = mbedtls_mpi_write_binary(numbers[i], raw, half);
		enr_der_unsigned(&d, raw, half);
	}
	enr_der_wrap(&d, ENR_DER_SEQUENCE, end);
	sig->len = (size_t)(end - d.p);
	memcpy(sig->data, d.p, sig->len);
	return err;
}

// Deterministic ECDSA (RFC 6979): a weak random source cannot leak the key
// through its signatures, and a repeated request gives the same bytes. Random
// numbers only blind the computation.
enum enr_rc enr_key_sign(const struct enr_alg *alg, const struct enr_key *key, struct enr_bytes message,
			 struct enr_sig *sig)
{
	const struct curve *c = curve_of(alg);
	uint8_t hash[HASH_MAX];
	size_t n = digest(c->md, message, hash);
	mbedtls_ecdsa_context k;
	mbedtls_mpi r, s;
	int err = pair_start(&k, c->id);
	mbedtls_ecp_group *group = &k.MBEDTLS_PRIVATE(grp);
	mbedtls_mpi *d = &k.MBEDTLS_PRIVATE(d);

	mbedtls_mpi_init(&r);
	mbedtls_mpi_init(&s);
	if (err == 0)
		err = mbedtls_mpi_read_binary(d, key->data, key->len);
	// A key that storage gives back and that is none is damaged storage.
	if (err == 0 && (n == 0 || key->len != c->half || mbedtls_ecp_check_privkey(group, d) != 0))
		err = MBEDTLS_ERR_ECP_INVALID_KEY;
	if (err == 0)
		err = mbedtls_ecdsa_sign_det_ext(group, &r, &s, d, hash, n, c->md, fill, NULL);
	if (err == 0)
		err = encode_signature(sig, &r, &s, c->half);
	mbedtls_mpi_free(&r);
	mbedtls_mpi_free(&s);
	mbedtls_ecdsa_free(&k);
	return err == 0 ? ENR_OK : ENR_STORAGE;
}

// Reads the point of a P-256 key, and checks that it is on the curve.
static int pair_read(mbedtls_ecdsa_context *k, const uint8_t spki[ENR_SPKI_P256])
{
	mbedtls_ecp_group *group = &k->MBEDTLS_PRIVATE(grp);
	mbedtls_ecp_point *point = &k->MBEDTLS_PRIVATE(Q);
	int err = pair_start(k, MBEDTLS_ECP_DP_SECP256R1);

	if (err == 0)
		err = mbedtls_ecp_point_read_binary(group, point, spki + sizeof spki_p256, ENR_SPKI_P256 - sizeof spki_p256);
	return err == 0 ? mbedtls_ecp_check_pubkey(group, point) : err;
}

enum enr_rc enr_p256_check(const uint8_t spki[ENR_SPKI_P256])
{
	mbedtls_ecdsa_context k;
	bool ok;

	if (memcmp(spki, spki_p256, sizeof spki_p256) != 0)
		return ENR_CHAIN;
	ok = pair_read(&k, spki) == 0;
	mbedtls_ecdsa_free(&k);
	return ok ? ENR_OK : ENR_CHAIN;
}

enum enr_rc enr_p256_verify(const uint8_t spki[ENR_SPKI_P256], struct enr_bytes message, struct enr_bytes sig)
{
	uint8_t hash[HASH_MAX];
	size_t n = digest(MBEDTLS_MD_SHA256, message, hash);
	mbedtls_ecdsa_context k;
	bool ok = pair_read(&k, spki) == 0 && n > 0 && mbedtls_ecdsa_read_signature(&k, hash, n, sig.data, sig.len) == 0;

	mbedtls_ecdsa_free(&k);
	return ok ? ENR_OK : ENR_NOT_AUTHORISED;
}
