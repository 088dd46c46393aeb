// SPDX-License-Identifier: Apache-2.0
#include "message.h"

#include <string.h>

static uint8_t *put(uint8_t *p, const void *data, size_t n)
{
	memcpy(p, data, n);
	return p + n;
}

size_t enr_proof_message(uint8_t out[ENR_PROOF_MAX], const struct enr_proof *p)
{
	static const char domain[] = "station-prove-v1"; // its terminator belongs to it
	uint8_t *end = put(out, domain, sizeof domain);

	end = put(end, p->nonce, 32);
	end = put(end, p->objects, sizeof p->objects);
	end = put(end, p->root, sizeof p->root);
	*end++ = p->prot;
	*end++ = p->state;
	end = put(end, p->uid.data, p->uid.len);
	return (size_t)(end - out);
}

size_t enr_rework_message(uint8_t out[ENR_REWORK_MAX], const uint8_t nonce[32], const uint8_t spki[ENR_SHA256],
			  struct enr_bytes uid)
{
	static const char domain[] = "station-rework-v1"; // its terminator belongs to it
	uint8_t *end = put(out, domain, sizeof domain);

	end = put(end, nonce, 32);
	end = put(end, spki, ENR_SHA256);
	end = put(end, uid.data, uid.len);
	return (size_t)(end - out);
}

bool enr_is_client_verify(struct enr_bytes tbs)
{
	static const char context[] = "TLS 1.3, client CertificateVerify"; // and its terminator
	enum { PAD = 64, PREFIX = PAD + sizeof context };

	if (tbs.len != PREFIX + 32 && tbs.len != PREFIX + 48)
		return false;
	for (int i = 0; i < PAD; i++) {
		if (tbs.data[i] != ' ')
			return false;
	}
	return memcmp(tbs.data + PAD, context, sizeof context) == 0;
}
