// SPDX-License-Identifier: Apache-2.0
// The part of CBOR (RFC 8949) that a request is made of, checked against a
// table of fields, and a writer for answers. Nothing is copied or allocated.
#ifndef ENR_CBOR_H
#define ENR_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ENR_CBOR_NESTING = 4, ENR_CBOR_MAP = 32, ENR_CBOR_ARRAY = 16, ENR_CBOR_TEXT = 128 };

// ENR_UINT32 is a number of up to 32 bits; ENR_PRINTABLE is text of the
// characters of ASN.1's PrintableString.
enum enr_cbor_type { ENR_UINT, ENR_UINT32, ENR_BYTES, ENR_TEXT, ENR_PRINTABLE, ENR_BOOL };

enum { ENR_ANY = 255 }; // as a field's max: no bound but its type's

struct enr_field {
	const char *name;
	uint8_t type; // enum enr_cbor_type
	bool required;
	uint8_t min, max; // of a number its value, of a string its size in bytes
};

// A field that came: num for numbers and booleans, data and len for strings.
// data points into the payload; it is NULL when the field did not come.
struct enr_value {
	bool present;
	uint64_t num;
	const uint8_t *data;
	size_t len;
};

// Reads a payload: one map with text keys, each once, nothing behind it; no
// bytes at all mean {}. A key without a field is ignored whatever well-formed
// value it carries; maps and arrays may be of indefinite length, strings not.
// Fills values[i] for fields[i] and returns true if the payload is so and every
// field has its type and range.
bool enr_cbor_read(const uint8_t *data, size_t n, const struct enr_field *fields, size_t count,
		   struct enr_value *values);

// A writer that never runs over: past its end it only sets over.
struct enr_writer {
	uint8_t *buf;
	size_t cap, len;
	bool over;
};

void enr_put_map(struct enr_writer *w, unsigned entries);
void enr_put_array(struct enr_writer *w, unsigned elements);
void enr_put_uint(struct enr_writer *w, uint64_t v);
void enr_put_bool(struct enr_writer *w, bool v);
void enr_put_text(struct enr_writer *w, const char *text);
void enr_put_text_n(struct enr_writer *w, const uint8_t *text, size_t n);
void enr_put_bytes(struct enr_writer *w, const uint8_t *data, size_t n);

// An entry of a map: its key, and its value.
void enr_entry_uint(struct enr_writer *w, const char *key, size_t v);
void enr_entry_text(struct enr_writer *w, const char *key, const char *text);
void enr_entry_bytes(struct enr_writer *w, const char *key, const uint8_t *data, size_t n);

// Writes the head of a byte string of n bytes and returns where they belong,
// NULL when there is no room.
uint8_t *enr_put_bytes_room(struct enr_writer *w, size_t n);

#endif
