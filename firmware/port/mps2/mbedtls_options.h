// SPDX-License-Identifier: Apache-2.0
// crypto/mbedtls_options.h, for a small part: a heap in a buffer of ours, code
// that is small rather than fast, no RSA in chains. It stands before the other
// one in the search path.
#ifndef ENR_MPS2_MBEDTLS_OPTIONS_H
#define ENR_MPS2_MBEDTLS_OPTIONS_H

#include "heap.h"

#define MBEDTLS_PLATFORM_MEMORY
#define MBEDTLS_PLATFORM_CALLOC_MACRO heap_calloc
#define MBEDTLS_PLATFORM_FREE_MACRO heap_free

#define MBEDTLS_SHA256_SMALLER
#define MBEDTLS_SHA512_SMALLER
#define MBEDTLS_ECP_WINDOW_SIZE 2
#define MBEDTLS_ECP_FIXED_POINT_OPTIM 0
#define MBEDTLS_NO_UDBL_DIVISION // that of 64 bits is 700 bytes of libgcc

#include "../../crypto/mbedtls_options.h"

#undef MBEDTLS_RSA_C
#undef MBEDTLS_PKCS1_V15
#undef MBEDTLS_PK_WRITE_C

#endif
