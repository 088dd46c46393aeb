// SPDX-License-Identifier: Apache-2.0
// Base64 (RFC 4648): the standard alphabet for frames, the URL alphabet for the
// nonce in a CSR.
#ifndef ENR_BASE64_H
#define ENR_BASE64_H

#include <stddef.h>
#include <stdint.h>

enum enr_base64 { ENR_BASE64_PADDED, ENR_BASE64_URL };

// Writes the text of n bytes to out, without a terminator, and returns its
// length: 4 * ceil(n / 3) padded, ceil(4 * n / 3) for the URL form.
size_t enr_base64_encode(enum enr_base64 form, uint8_t *out, const uint8_t *in, size_t n);

// Decodes one group of four characters of the standard alphabet. Returns the
// number of bytes, 1 to 3 (less than 3 means padding), or -1.
int enr_base64_quad(uint8_t out[3], const uint8_t in[4]);

#endif
