// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets share: boards to start from, a reader of inputs, and
// what must hold of a board whatever it was sent. A target is a file that
// defines LLVMFuzzerTestOneInput; fuzz.mk links each with all of this.
#ifndef ENR_FUZZ_H
#define ENR_FUZZ_H

#include "../test/board.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A board in each state, and a locked one that waits for the rework of
// rework.txt, which may unlock it.
enum fuzz_start { START_BLANK, START_KEYED, START_INSTALLED, START_LOCKED, START_REWORK, STARTS };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

// Makes b a board of that start, with the random source at its beginning. The
// key of a board that has one is that of commit.txt's case "everything named".
void fuzz_board(struct board *b, enum fuzz_start start);

// The root certificate that issued the chain of that case.
struct enr_bytes fuzz_root(void);

// An input that is read from its front; past its end everything is 0.
struct input {
	const uint8_t *p;
	size_t n;
};

uint8_t take8(struct input *in);
uint16_t take16(struct input *in);
struct enr_bytes take(struct input *in, size_t n); // up to n bytes, as many as there are

// Sends a message, framed or as it is, and fails if its answer shows the key or
// if the board gets into a state that no command leads to.
void fuzz_message(struct board *b, struct enr_bytes message, bool framed);

// Fails unless the chain that an installed board stores passes what commit checks.
void fuzz_check_chain(const struct board *b);

// Fails unless b answers, and would be the same board after a power cut.
void fuzz_check(struct board *b);

// A copy in memory of exactly its size, so that the sanitizer sees one byte too
// many. The caller frees it.
uint8_t *exact_copy(struct enr_bytes data);

#endif
