// SPDX-License-Identifier: Apache-2.0
#include "csr.h"

#include "base64.h"
#include "der.h"

enum { NONCE = 32, NONCE_TEXT = 43 };

// Object identifiers with their tag and length.
static const uint8_t oid_common_name[] = {0x06, 3, 0x55, 0x04, 0x03};
static const uint8_t oid_serial_number[] = {0x06, 3, 0x55, 0x04, 0x05};
static const uint8_t oid_challenge_password[] = {0x06, 9,    0x2a, 0x86, 0x48, 0x86,
						 0xf7, 0x0d, 0x01, 0x09, 0x07};

static void put_rdn(struct enr_der *d, const uint8_t oid[5], uint8_t tag, struct enr_bytes value)
{
	const uint8_t *end = d->p;

	enr_der_value(d, tag, value.data, value.len);
	enr_der_put(d, oid, 5);
	enr_der_wrap(d, ENR_DER_SEQUENCE, end);
	enr_der_wrap(d, ENR_DER_SET, end);
}

static void put_subject(struct enr_der *d, const struct enr_csr_request *r)
{
	const uint8_t *end = d->p;

	if (r->sn.data != NULL)
		put_rdn(d, oid_serial_number, ENR_DER_PRINTABLE_STRING, r->sn);
	put_rdn(d, oid_common_name, ENR_DER_UTF8_STRING, r->cn);
	enr_der_wrap(d, ENR_DER_SEQUENCE, end);
}

static void put_attributes(struct enr_der *d, const uint8_t nonce[NONCE])
{
	const uint8_t *end = d->p;
	uint8_t text[NONCE_TEXT];

	enr_base64_encode(ENR_BASE64_URL, text, nonce, NONCE);
	enr_der_value(d, ENR_DER_UTF8_STRING, text, sizeof text);
	enr_der_wrap(d, ENR_DER_SET, end);
	enr_der_put(d, oid_challenge_password, sizeof oid_challenge_password);
	enr_der_wrap(d, ENR_DER_SEQUENCE, end);
	enr_der_wrap(d, ENR_DER_CONTEXT_0, end);
}

static void put_tbs(struct enr_der *d, const struct enr_csr_request *r)
{
	static const uint8_t version_0[] = {ENR_DER_INTEGER, 1, 0};
	const uint8_t *end = d->p;

	put_attributes(d, r->nonce);
	enr_der_put(d, r->spki.data, r->spki.len);
	put_subject(d, r);
	enr_der_put(d, version_0, sizeof version_0);
	enr_der_wrap(d, ENR_DER_SEQUENCE, end);
}

size_t enr_csr_tbs(uint8_t *out, size_t cap, const struct enr_csr_request *r)
{
	struct enr_der d = {.start = out, .p = out + cap};

	put_tbs(&d, r);
	return d.over ? 0 : (size_t)(out + cap - d.p);
}

size_t enr_csr_whole(uint8_t *out, size_t cap, const struct enr_csr_request *r, const struct enr_alg *alg,
		     const struct enr_sig *sig)
{
	static const uint8_t no_unused_bits = 0;
	struct enr_der d = {.start = out, .p = out + cap};
	const uint8_t *end = d.p;

	enr_der_put(&d, sig->data, sig->len);
	enr_der_put(&d, &no_unused_bits, 1);
	enr_der_wrap(&d, ENR_DER_BIT_STRING, end);
	enr_der_put(&d, alg->sig_alg, alg->sig_alg_len);
	put_tbs(&d, r);
	enr_der_wrap(&d, ENR_DER_SEQUENCE, end);
	return d.over ? 0 : (size_t)(out + cap - d.p);
}
