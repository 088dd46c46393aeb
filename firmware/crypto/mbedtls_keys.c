// SPDX-License-Identifier: Apache-2.0
// The lean backend on mbedtls (2.28 and 3.6): keys, signatures, hashes and
// random numbers by the algorithms themselves, without the PSA Crypto API and
// its key store around them. For parts that are short of flash; psa_keys.c is
// the one for all others.
#include "curves.h"

#include <mbedtls/ecdsa.h>
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

size_t enr_digest(mbedtls_md_type_t md, struct enr_bytes message, uint8_t out[ENR_DIGEST_MAX])
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
	const struct enr_curve *c = enr_curve_of(alg);
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

// Deterministic ECDSA (RFC 6979): a weak random source cannot leak the key
// through its signatures, and a repeated request gives the same bytes. Random
// numbers only blind the computation.
enum enr_rc enr_key_sign(const struct enr_alg *alg, const struct enr_key *key, struct enr_bytes message,
			 struct enr_sig *sig)
{
	const struct enr_curve *c = enr_curve_of(alg);
	uint8_t hash[ENR_DIGEST_MAX], raw[2 * ENR_HALF_MAX];
	size_t n = enr_digest(c->md, message, hash);
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
		err = mbedtls_mpi_write_binary(&r, raw, c->half);
	if (err == 0)
		err = mbedtls_mpi_write_binary(&s, raw + c->half, c->half);
	if (err == 0)
		enr_encode_signature(sig, raw, c->half);
	mbedtls_mpi_free(&r);
	mbedtls_mpi_free(&s);
	mbedtls_ecdsa_free(&k);
	return err == 0 ? ENR_OK : ENR_STORAGE;
}

// Reads the point of a P-256 key, and checks that it is on the curve.
static int pair_read(mbedtls_ecdsa_context *k, struct enr_bytes spki_point)
{
	mbedtls_ecp_group *group = &k->MBEDTLS_PRIVATE(grp);
	mbedtls_ecp_point *point = &k->MBEDTLS_PRIVATE(Q);
	int err = pair_start(k, MBEDTLS_ECP_DP_SECP256R1);

	if (err == 0 && spki_point.data == NULL)
		err = MBEDTLS_ERR_ECP_INVALID_KEY;
	if (err == 0)
		err = mbedtls_ecp_point_read_binary(group, point, spki_point.data, spki_point.len);
	return err == 0 ? mbedtls_ecp_check_pubkey(group, point) : err;
}

enum enr_rc enr_p256_check(const uint8_t spki[ENR_SPKI_P256])
{
	mbedtls_ecdsa_context k;
	bool ok = pair_read(&k, enr_p256_point(spki)) == 0;

	mbedtls_ecdsa_free(&k);
	return ok ? ENR_OK : ENR_CHAIN;
}

enum enr_rc enr_p256_verify(const uint8_t spki[ENR_SPKI_P256], struct enr_bytes message, struct enr_bytes sig)
{
	uint8_t hash[ENR_DIGEST_MAX];
	size_t n = enr_digest(MBEDTLS_MD_SHA256, message, hash);
	mbedtls_ecdsa_context k;
	bool ok = pair_read(&k, enr_p256_point(spki)) == 0 && n > 0 &&
		  mbedtls_ecdsa_read_signature(&k, hash, n, sig.data, sig.len) == 0;

	mbedtls_ecdsa_free(&k);
	return ok ? ENR_OK : ENR_NOT_AUTHORISED;
}
