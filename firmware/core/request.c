// SPDX-License-Identifier: Apache-2.0
// csr: the certification request, kept in RAM until another one is asked for.
#include "command.h"

#include <string.h>

void enr_drop_csr(struct enr_agent *a)
{
	a->csr_len = 0;
}

// The digest that tells one csr request from another.
static enum enr_rc request_digest(const struct enr_call *c, uint8_t out[ENR_SHA256])
{
	const struct enr_value *cn = &c->v[CSR_CN], *sn = &c->v[CSR_SN];
	uint8_t lengths[2] = {(uint8_t)cn->len, (uint8_t)sn->len};
	struct enr_hash h;
	enum enr_rc rc = enr_hash_start(&h);

	if (rc == ENR_OK)
		rc = enr_hash_update(&h, lengths, sizeof lengths);
	if (rc == ENR_OK)
		rc = enr_hash_update(&h, cn->data, cn->len);
	if (rc == ENR_OK)
		rc = enr_hash_update(&h, sn->data, sn->len);
	if (rc == ENR_OK)
		rc = enr_hash_update(&h, c->v[CSR_NONCE].data, 32);
	if (rc == ENR_OK)
		return enr_hash_finish(&h, out);
	enr_hash_abort(&h);
	return rc;
}

static enum enr_rc build_csr(struct enr_call *c)
{
	struct enr_agent *a = c->a;
	struct enr_spki spki;
	struct enr_sig sig;
	struct enr_csr_request r = {
		.cn = {c->v[CSR_CN].data, c->v[CSR_CN].len},
		.sn = {c->v[CSR_SN].data, c->v[CSR_SN].len},
		.nonce = c->v[CSR_NONCE].data,
	};
	enum enr_rc rc = enr_own_spki(a, &spki);
	size_t n;

	enr_drop_csr(a);
	r.spki = (struct enr_bytes){spki.data, spki.len};
	n = enr_csr_tbs(a->csr, sizeof a->csr, &r);
	if (rc == ENR_OK)
		rc = enr_sign(a, (struct enr_bytes){a->csr + sizeof a->csr - n, n}, &sig);
	if (rc == ENR_OK)
		a->csr_len = enr_csr_whole(a->csr, sizeof a->csr, &r, enr_own_alg(a), &sig);
	return rc;
}

enum enr_rc enr_cmd_csr(struct enr_call *c)
{
	struct enr_agent *a = c->a;
	uint8_t request[ENR_SHA256], sha[ENR_SHA256];
	enum enr_rc rc = request_digest(c, request);

	// A backend may sign with random numbers: a repeat gets the bytes made before.
	if (rc == ENR_OK && (a->csr_len == 0 || memcmp(request, a->csr_request, sizeof request) != 0)) {
		rc = build_csr(c);
		memcpy(a->csr_request, request, sizeof request);
	}
	if (rc == ENR_OK)
		rc = enr_sha256((struct enr_bytes){a->csr + sizeof a->csr - a->csr_len, a->csr_len}, sha);
	enr_put_map(c->w, 2);
	enr_entry_uint(c->w, "len", a->csr_len);
	enr_entry_bytes(c->w, "sha", sha, sizeof sha);
	return rc;
}
