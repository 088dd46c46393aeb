// SPDX-License-Identifier: Apache-2.0
// What the agent needs of mbedtls, 2.28 or 3.6, and nothing else. A firmware
// that has an mbedtls already uses its own configuration with at least these.
// The name differs from that of mbedtls's own, which would be found first.
#ifndef ENR_MBEDTLS_OPTIONS_H
#define ENR_MBEDTLS_OPTIONS_H

#define MBEDTLS_HAVE_ASM
#define MBEDTLS_PLATFORM_C

// Keys, signatures, hashes and random numbers go through PSA, whose random
// source is enr_port_random. The lean backend (mbedtls_keys.c) needs none of it.
#ifndef ENR_LEAN
#define MBEDTLS_PSA_CRYPTO_C
#define MBEDTLS_PSA_CRYPTO_EXTERNAL_RNG
#define MBEDTLS_CIPHER_C   // of no use here, but 2.28 does not compile PSA without
#define MBEDTLS_PK_WRITE_C // PSA asks for it where there is RSA
#endif

#define MBEDTLS_MD_C
#define MBEDTLS_SHA224_C
#define MBEDTLS_SHA256_C
#define MBEDTLS_SHA384_C
#define MBEDTLS_SHA512_C
#define MBEDTLS_HMAC_DRBG_C
#define MBEDTLS_BIGNUM_C
#define MBEDTLS_ECP_C
#define MBEDTLS_ECP_DP_SECP256R1_ENABLED
#define MBEDTLS_ECP_DP_SECP384R1_ENABLED
#define MBEDTLS_ECP_NIST_OPTIM
#define MBEDTLS_ECP_NO_INTERNAL_RNG // of 2.28: what works on a secret is given one
#define MBEDTLS_ECDSA_C
#define MBEDTLS_ECDSA_DETERMINISTIC

// X.509: parsing and the signatures in a chain.
#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C
#define MBEDTLS_OID_C
#define MBEDTLS_PK_C
#define MBEDTLS_PK_PARSE_C
#define MBEDTLS_RSA_C // for RS256 in "verify" only
#define MBEDTLS_PKCS1_V15
#define MBEDTLS_X509_USE_C
#define MBEDTLS_X509_CRT_PARSE_C
#define MBEDTLS_X509_REMOVE_INFO
#define MBEDTLS_X509_CHECK_KEY_USAGE // an option in 2.28, always there in 3.6

// 3.6 checks its configuration by itself, after completing it.
#ifndef MBEDTLS_BUILD_INFO_H
#include "mbedtls/check_config.h"
#endif

#endif
