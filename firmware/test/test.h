// SPDX-License-Identifier: Apache-2.0
// The tests' own tools: a check that ends the run, and the vectors shared with
// the Go side.
#ifndef ENR_TEST_H
#define ENR_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Ends the run with a message unless ok.
#define CHECK(ok, ...)                                             \
	do {                                                       \
		if (!(ok))                                         \
			test_fail(__FILE__, __LINE__, __VA_ARGS__); \
	} while (0)

_Noreturn void test_fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

enum { VECTOR_FIELDS = 16 };

struct vector_field {
	char *key;
	uint8_t *data; // of a key that ends in _text its text, with a 0 behind
	size_t len;
};

// One block of a vector file (format: internal/vector).
struct vector {
	char *name;
	struct vector_field fields[VECTOR_FIELDS];
	int count;
};

struct vectors {
	struct vector *list;
	size_t count;
};

// Reads a file below the directory of vectors. A file that is missing, empty or
// malformed ends the run.
struct vectors vectors_read(const char *file);
void vectors_free(struct vectors *v);

// The block called name, which must be there.
const struct vector *vector_named(const struct vectors *all, const char *name);

// The field called key, NULL when the block has none.
const struct vector_field *vector_field(const struct vector *v, const char *key);

// The same, for a field that must be there, and for one of a single byte.
const struct vector_field *vector_need(const struct vector *v, const char *key);
uint8_t vector_byte(const struct vector *v, const char *key);

void test_frames(void);
void test_messages(void);
void test_cbor(void);
void test_cbor_writer(void);
void test_signatures(void);
void test_damaged_keys(void);
void test_csr(void);
void test_prove(void);
void test_tls_sign(void);
void test_commit(void);
void test_rework(void);
void test_states(void);
void test_keygen(void);
void test_put_and_get(void);
void test_commit_again(void);
void test_entropy(void);
void test_os(void);
void test_other_groups(void);
void test_config(void);
void test_power_cut(void);
void test_storage_failure(void);
void test_flash_bits(void);
void test_newer_copy_counts(void);
void test_hostile_bytes(void);
void test_image_upload(void);
void test_image_offsets(void);
void test_image_bounds(void);
void test_image_refusals(void);
void test_slots_power_cut(void);
void test_slots_refusals(void);

#endif
