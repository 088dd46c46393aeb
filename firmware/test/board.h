// SPDX-License-Identifier: Apache-2.0
// A board in memory: NOR flash that can lose power at any write, a console that
// is recorded, a random source that is repeatable and can fail.
#ifndef ENR_TEST_BOARD_H
#define ENR_TEST_BOARD_H

#include "../core/agent.h"
#include "../core/cbor.h"
#include "test.h"

enum { BOARD_BUFFER = 600, BOARD_MAX = 2048, BOARD_COPY = ENR_STORE_SIZE(BOARD_MAX) };
enum { BOARD_SENT = 1 << 16 };
enum { POWER_ALWAYS = -1 };
enum { TORN_ALL = 4 }; // bits of every byte of a word

// A step of flash: a word programmed, or so many bytes erased.
enum { WORD = 4, ERASE_STEP = 32 };

struct board {
	struct enr_port port;
	struct enr_config config;
	struct enr_agent agent;
	uint8_t flash[2][BOARD_COPY];
	long power;      // steps of flash that may still be made; POWER_ALWAYS
	long changed;    // steps made since board_power
	int whole;       // bytes of the word under way that are stored whole when power goes, the next one in part; or TORN_ALL
	bool dead;       // power is gone: flash changes no more
	bool broken;     // flash answers with errors
	bool no_erase;   // erase does nothing but fail
	uint32_t weak;   // byte of each copy that stays FF; 0: none
	int resets;      // asked for
	uint8_t sent[BOARD_SENT];
	size_t sent_len;

	uint8_t uid[32];
	uint8_t rx[BOARD_BUFFER], tx[BOARD_BUFFER], staging[3 * BOARD_MAX];
	uint8_t answer[BOARD_BUFFER];
	size_t answer_len;
};

// The random source of all boards: a repeatable stream, or a failure.
void random_seed(uint64_t seed);
void random_fail(bool fail);

// A blank board, not booted, with a uid of 12 bytes.
void board_init(struct board *b);

// Boots, or reboots: RAM is lost.
void board_boot(struct board *b);

// Makes a board as another one is, RAM and all.
void board_copy(struct board *to, const struct board *from);

// From now on flash makes only so many steps; in the next one power goes, and
// nothing changes any more. POWER_ALWAYS ends that.
void board_power(struct board *b, long steps);

// A request in the making.
struct request {
	uint8_t bytes[BOARD_BUFFER];
	struct enr_writer w;
};

// Starts a request of group 64 with that many entries in its map.
struct enr_writer *request_start(struct request *r, unsigned entries);

// Sends payload to a command of a group and keeps the answer's payload.
void board_ask(struct board *b, uint16_t group, uint8_t cmd, bool write, const uint8_t *payload, size_t n);

// Sends a request to a command of group 64. Returns the rc of the answer, or
// 100 + rc for a transport error.
int board_do(struct board *b, uint8_t cmd, bool write, const struct request *r);

// Reads the answer kept; the fields must be there.
void board_answer(const struct board *b, const struct enr_field *fields, size_t count, struct enr_value *v);

// Commands of group 64, with the rc they are answered with.
int board_keygen(struct board *b, const char *alg, uint8_t token, bool replace);
int board_csr(struct board *b, const char *cn);
int board_put_chunk(struct board *b, const char *obj, uint64_t off, struct enr_bytes data, uint64_t len,
		    const uint8_t sha[32]);
int board_get(struct board *b, const char *obj, uint64_t off);
int board_commit(struct board *b, const uint8_t *chain, const uint8_t *anchors, const uint8_t *rework);
int board_bytes(struct board *b, uint8_t cmd, const char *name, struct enr_bytes value); // one byte string
int board_rework(struct board *b, unsigned key, struct enr_bytes sig);

// Puts an object in whole, in chunks; the digest is its own.
void board_put(struct board *b, const char *obj, struct enr_bytes data);

// Stores the P-256 key with scalar d, as keygen would have; fills spki.
void board_set_key(struct board *b, const uint8_t d[32], struct enr_spki *spki);

// Gives the board the key of commit.txt's case "everything named" and stages its
// objects. Returns the case.
const struct vector *board_stage_all(struct board *b, const struct vectors *commit);

// Brings a new board to a state; from installed on by that case, which is
// returned.
const struct vector *board_set_state(struct board *b, const struct vectors *commit, enum enr_state state);

void sha256(struct enr_bytes data, uint8_t out[32]);

#endif
