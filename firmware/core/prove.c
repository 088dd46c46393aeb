// SPDX-License-Identifier: Apache-2.0
// The signatures of an installed board: prove and tls-sign.
#include "command.h"
#include "message.h"

#include <string.h>

static enum enr_rc put_signature(struct enr_call *c, struct enr_bytes message)
{
	struct enr_sig sig = {.len = 0};
	enum enr_rc rc = enr_sign(c->a, message, &sig);

	enr_put_map(c->w, 1);
	enr_entry_bytes(c->w, "sig", sig.data, sig.len);
	return rc;
}

enum enr_rc enr_cmd_prove(struct enr_call *c)
{
	const struct enr_agent *a = c->a;
	struct enr_proof p = {
		.nonce = c->v[0].data,
		.prot = a->cfg->prot,
		.state = a->store.record.state,
		.uid = a->cfg->uid,
	};
	uint8_t message[ENR_PROOF_MAX];
	size_t n;
	enum enr_rc rc = ENR_OK;

	for (int i = 0; rc == ENR_OK && i < ENR_OBJECTS; i++)
		rc = enr_store_digest(&a->store, (enum enr_part)(ENR_PART_CHAIN + i), p.objects[i]);
	if (rc == ENR_OK && a->cfg->root.data != NULL)
		rc = enr_sha256(a->cfg->root, p.root);
	if (rc != ENR_OK)
		return rc;
	n = enr_proof_message(message, &p);
	return put_signature(c, (struct enr_bytes){message, n});
}

enum enr_rc enr_cmd_tls_sign(struct enr_call *c)
{
	struct enr_bytes tbs = {c->v[0].data, c->v[0].len};

	return enr_is_client_verify(tbs) ? put_signature(c, tbs) : ENR_MALFORMED;
}
