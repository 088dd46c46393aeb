// SPDX-License-Identifier: Apache-2.0
// The certification request of the csr command: PKCS#10 (RFC 2986) with CN,
// serialNumber where asked for, and the nonce as challengePassword.
#ifndef ENR_CSR_H
#define ENR_CSR_H

#include "../crypto/crypto.h"

enum { ENR_CSR_MAX = 512 }; // bytes: a P-384 key with the longest names needs 473

struct enr_csr_request {
	struct enr_bytes cn;    // UTF-8, 1 to 64 bytes
	struct enr_bytes sn;    // PrintableString; data NULL: none
	const uint8_t *nonce;   // 32 bytes
	struct enr_bytes spki;
};

// Writes the CertificationRequestInfo, which the device key signs, to the end
// of out. Returns its size, 0 when it does not fit.
size_t enr_csr_tbs(uint8_t *out, size_t cap, const struct enr_csr_request *r);

// Writes the whole request, given the signature over those bytes, to the end of
// out. Returns its size, 0 when it does not fit.
size_t enr_csr_whole(uint8_t *out, size_t cap, const struct enr_csr_request *r, const struct enr_alg *alg,
		     const struct enr_sig *sig);

#endif
