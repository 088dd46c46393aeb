// SPDX-License-Identifier: Apache-2.0
// Certificates, by mbedtls (2.28 and 3.6) in every backend; what they sign is
// hashed by the backend.
#include "curves.h"

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <stdbool.h>
#include <string.h>

#if MBEDTLS_VERSION_MAJOR < 3
#define MBEDTLS_PRIVATE(member) member
#endif

// Error codes of mbedtls: the module's in these bits, the cause's below.
enum { MODULE_ERROR = 0xff80, RSA_BITS_MIN = 2048 };

// A name in "verify" means hash, type and curve of the key all together.
struct verifier {
	const char *name;
	uint8_t oid[9];
	uint8_t oid_len;
	mbedtls_md_type_t md;
	mbedtls_ecp_group_id curve; // MBEDTLS_ECP_DP_NONE: RSA
};

static const struct verifier verifiers[] = {
	{"ES256", {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02}, 8, MBEDTLS_MD_SHA256,
	 MBEDTLS_ECP_DP_SECP256R1},
#ifdef MBEDTLS_ECP_DP_SECP384R1_ENABLED
	{"ES384", {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03}, 8, MBEDTLS_MD_SHA384,
	 MBEDTLS_ECP_DP_SECP384R1},
#endif
#ifdef MBEDTLS_RSA_C
	{"RS256", {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b}, 9, MBEDTLS_MD_SHA256,
	 MBEDTLS_ECP_DP_NONE},
#endif
};

enum { VERIFIERS = sizeof verifiers / sizeof *verifiers };

const char *enr_crypto_verifies(unsigned i)
{
	return i < VERIFIERS ? verifiers[i].name : NULL;
}

// A certificate in its outline (RFC 5280, 4.1), and parsed where mbedtls knows
// its algorithms.
struct cert {
	struct enr_bytes der, tbs, alg_oid, sig, spki;
	bool known;
	mbedtls_x509_crt crt; // initialised, for mbedtls_x509_crt_free
};

// Enters an element and gives its content; p stays at it.
static bool enter(uint8_t **p, const uint8_t *end, int tag, struct enr_bytes *content)
{
	if (mbedtls_asn1_get_tag(p, end, &content->len, tag) != 0)
		return false;
	content->data = *p;
	return true;
}

// Passes over an element; whole is all of it, with tag and length.
static bool pass(uint8_t **p, const uint8_t *end, int tag, struct enr_bytes *whole)
{
	struct enr_bytes content;

	whole->data = *p;
	if (!enter(p, end, tag, &content))
		return false;
	*p += content.len;
	whole->len = (size_t)(*p - whole->data);
	return true;
}

enum { SEQUENCE = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE };
enum { VERSION_TAG = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED };

// Finds the key in a TBSCertificate. What is passed over mbedtls reads.
static bool outline_tbs(struct cert *c)
{
	struct enr_bytes content, ignored;
	uint8_t *p = (uint8_t *)(uintptr_t)c->tbs.data;
	const uint8_t *end = p + c->tbs.len;

	if (!enter(&p, end, SEQUENCE, &content))
		return false;
	if (p < end && *p == VERSION_TAG && !pass(&p, end, VERSION_TAG, &ignored))
		return false;
	return pass(&p, end, MBEDTLS_ASN1_INTEGER, &ignored) && pass(&p, end, SEQUENCE, &ignored) &&
	       pass(&p, end, SEQUENCE, &ignored) && pass(&p, end, SEQUENCE, &ignored) &&
	       pass(&p, end, SEQUENCE, &ignored) && pass(&p, end, SEQUENCE, &c->spki);
}

// Cuts the first certificate off certs. mbedtls takes pointers that are not
// const and only reads through them.
static bool outline(struct cert *c, struct enr_bytes *certs)
{
	struct enr_bytes content, alg;
	uint8_t *p = (uint8_t *)(uintptr_t)certs->data;
	const uint8_t *end = p + certs->len;

	if (!pass(&p, end, SEQUENCE, &c->der))
		return false;
	certs->data = p;
	certs->len = (size_t)(end - p);
	end = p;
	p = (uint8_t *)(uintptr_t)c->der.data;
	if (!enter(&p, end, SEQUENCE, &content) || !pass(&p, end, SEQUENCE, &c->tbs) || !pass(&p, end, SEQUENCE, &alg))
		return false;
	if (!enter(&p, end, MBEDTLS_ASN1_BIT_STRING, &c->sig) || c->sig.len < 1 || *c->sig.data != 0)
		return false;
	if (c->sig.data + c->sig.len != end)
		return false;
	c->sig.data++; // the number of unused bits
	c->sig.len--;
	p = (uint8_t *)(uintptr_t)alg.data;
	end = p + alg.len;
	return enter(&p, end, SEQUENCE, &content) && enter(&p, end, MBEDTLS_ASN1_OID, &c->alg_oid) && outline_tbs(c);
}

static bool is_unknown_algorithm(int err)
{
	int module = -(-err & MODULE_ERROR);

	return module == MBEDTLS_ERR_X509_UNKNOWN_SIG_ALG || module == MBEDTLS_ERR_PK_UNKNOWN_PK_ALG ||
	       module == MBEDTLS_ERR_PK_UNKNOWN_NAMED_CURVE;
}

// Critical extensions that mbedtls does not know are the verifier's business,
// not a board's that only checks what it is given to keep.
static int accept_extension(void *ctx, mbedtls_x509_crt const *crt, mbedtls_x509_buf const *oid, int critical,
			    const unsigned char *p, const unsigned char *end)
{
	(void)ctx, (void)crt, (void)oid, (void)critical, (void)p, (void)end;
	return 0;
}

// Parses the first certificate of certs and moves on. The caller frees c->crt
// in any case.
static bool parse(struct cert *c, struct enr_bytes *certs)
{
	int err;

	mbedtls_x509_crt_init(&c->crt);
	if (!outline(c, certs))
		return false;
	err = mbedtls_x509_crt_parse_der_with_ext_cb(&c->crt, c->der.data, c->der.len, 0, accept_extension, NULL);
	c->known = err == 0;
	return err == 0 || is_unknown_algorithm(err);
}

enum enr_rc enr_certs_parse(struct enr_bytes certs, unsigned max)
{
	struct cert c;
	bool ok = certs.len > 0;

	for (unsigned n = 0; ok && certs.len > 0; n++) {
		ok = n < max && parse(&c, &certs);
		if (n < max)
			mbedtls_x509_crt_free(&c.crt);
	}
	return ok ? ENR_OK : ENR_CHAIN;
}

static bool same(struct enr_bytes a, const uint8_t *data, size_t n)
{
	return a.len == n && memcmp(a.data, data, n) == 0;
}

static bool has_key(const struct verifier *v, mbedtls_pk_context *pk)
{
	if (v->curve == MBEDTLS_ECP_DP_NONE)
		return mbedtls_pk_can_do(pk, MBEDTLS_PK_RSA) && mbedtls_pk_get_bitlen(pk) >= RSA_BITS_MIN;
	return mbedtls_pk_can_do(pk, MBEDTLS_PK_ECKEY) &&
	       mbedtls_pk_ec(*pk)->MBEDTLS_PRIVATE(grp).id == v->curve;
}

static bool is_listed(const char *name, const char *const *list)
{
	if (list == NULL)
		return true;
	for (; *list != NULL; list++) {
		if (same((struct enr_bytes){(const uint8_t *)*list, strlen(*list)}, (const uint8_t *)name, strlen(name)))
			return true;
	}
	return false;
}

static const struct verifier *verifier_of(const struct cert *child, struct cert *issuer, const char *const *verify)
{
	for (int i = 0; i < VERIFIERS; i++) {
		const struct verifier *v = &verifiers[i];

		if (same(child->alg_oid, v->oid, v->oid_len) && has_key(v, &issuer->crt.pk))
			return is_listed(v->name, verify) ? v : NULL;
	}
	return NULL;
}

static bool verified(const struct verifier *v, mbedtls_pk_context *pk, struct enr_bytes message,
		     struct enr_bytes sig)
{
	uint8_t hash[ENR_DIGEST_MAX];
	size_t n = enr_digest(v->md, message, hash);

	return n > 0 && mbedtls_pk_verify(pk, v->md, hash, n, sig.data, sig.len) == 0;
}

// Whether issuer may issue certificates at all, with `below` of CAs under it.
static bool is_authority(const mbedtls_x509_crt *issuer, int below)
{
	// mbedtls keeps pathLenConstraint + 1, and 0 where there is none.
	int path = issuer->MBEDTLS_PRIVATE(max_pathlen);

	return issuer->MBEDTLS_PRIVATE(ca_istrue) &&
	       (issuer->MBEDTLS_PRIVATE(ext_types) & MBEDTLS_X509_EXT_KEY_USAGE) &&
	       mbedtls_x509_crt_check_key_usage(issuer, MBEDTLS_X509_KU_KEY_CERT_SIGN) == 0 &&
	       (path == 0 || below < path);
}

// Checks that issuer issued child; what does not hold is `bad`.
static enum enr_rc check_link(struct cert *child, struct cert *issuer, int below, const char *const *verify,
			      enum enr_rc bad)
{
	const struct verifier *v;

	if (!child->known || !issuer->known)
		return ENR_ALGORITHM;
	if (!same((struct enr_bytes){child->crt.issuer_raw.p, child->crt.issuer_raw.len}, issuer->crt.subject_raw.p,
		  issuer->crt.subject_raw.len))
		return bad;
	if (!is_authority(&issuer->crt, below))
		return bad;
	v = verifier_of(child, issuer, verify);
	if (v == NULL)
		return ENR_ALGORITHM;
	return verified(v, &issuer->crt.pk, child->tbs, child->sig) ? ENR_OK : bad;
}

enum enr_rc enr_chain_check(struct enr_bytes chain, struct enr_bytes spki, struct enr_bytes root,
			    const char *const *verify)
{
	struct cert pair[2]; // a certificate and its issuer: two at a time spare the heap
	enum enr_rc rc = parse(&pair[0], &chain) ? ENR_OK : ENR_CHAIN;
	int at = 0;

	if (rc == ENR_OK && !same(spki, pair[0].spki.data, pair[0].spki.len))
		rc = ENR_KEY_MISMATCH;
	for (int below = 0; rc == ENR_OK && chain.len + root.len > 0; below++) {
		// The pinned root comes last, as the issuer of the chain's end.
		enum enr_rc bad = chain.len > 0 ? ENR_CHAIN : ENR_UNTRUSTED;
		struct cert *child = &pair[at], *issuer = &pair[1 - at];

		rc = parse(issuer, chain.len > 0 ? &chain : &root) ? check_link(child, issuer, below, verify, bad)
								   : bad;
		mbedtls_x509_crt_free(&child->crt);
		at = 1 - at;
	}
	mbedtls_x509_crt_free(&pair[at].crt);
	return rc;
}
