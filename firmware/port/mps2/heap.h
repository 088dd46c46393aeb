// SPDX-License-Identifier: Apache-2.0
// The heap of mbedtls; included by its configuration.
#ifndef ENR_MPS2_HEAP_H
#define ENR_MPS2_HEAP_H

#include <stddef.h>

// As calloc and free. NULL when there is no room.
void *heap_calloc(size_t count, size_t size);
void heap_free(void *data);

// Most bytes in use since boot, with what the heap itself needs.
size_t heap_peak(void);

#endif
