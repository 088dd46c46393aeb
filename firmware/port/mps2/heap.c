// SPDX-License-Identifier: Apache-2.0
// The heap that mbedtls works on: first fit over a fixed buffer, without
// malloc. What is freed is joined with its free neighbours by the next search.
#include "heap.h"

#include "../../crypto/crypto.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

// The measured peak of the agent is in firmware/README.md.
enum { HEAP_SIZE = 8192 };

// The units of the heap; a block is one of them and size of them behind it.
struct block {
	uint32_t size;
	uint32_t used;
};

enum { UNITS = HEAP_SIZE / sizeof(struct block) };

static struct block heap[UNITS];
static size_t used, peak;

// The free block at `at` takes in those behind it that are free.
static void join(size_t at)
{
	for (;;) {
		size_t next = at + 1 + heap[at].size;

		if (next >= UNITS || heap[next].used)
			return;
		heap[at].size += 1 + heap[next].size;
	}
}

static void take(size_t at, size_t size)
{
	if (heap[at].size > size) {
		heap[at + 1 + size] = (struct block){.size = (uint32_t)(heap[at].size - size - 1)};
		heap[at].size = (uint32_t)size;
	}
	heap[at].used = true;
	used += (1 + size) * sizeof *heap;
	if (used > peak)
		peak = used;
}

void *heap_calloc(size_t count, size_t size)
{
	size_t units;

	if (size != 0 && count > HEAP_SIZE / size)
		return NULL;
	units = (count * size + sizeof *heap - 1) / sizeof *heap;
	if (units == 0)
		units = 1;
	if (heap[0].size == 0 && !heap[0].used) // the first call: one free block
		heap[0].size = UNITS - 1;
	for (size_t at = 0; at < UNITS; at += 1 + heap[at].size) {
		if (heap[at].used)
			continue;
		join(at);
		if (heap[at].size < units)
			continue;
		take(at, units);
		return memset(&heap[at + 1], 0, units * sizeof *heap);
	}
	return NULL;
}

void heap_free(void *data)
{
	struct block *b = data;

	if (b == NULL)
		return;
	b--;
	used -= (1 + b->size) * sizeof *b;
	b->used = false;
	enr_wipe(data, b->size * sizeof *b); // it may have held a key
}

size_t heap_peak(void)
{
	return peak;
}
