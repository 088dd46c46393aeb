// SPDX-License-Identifier: Apache-2.0
// The rules of states, keys and objects that the vectors do not cover.
#include "board.h"

#include <string.h>

enum { INFO, KEYGEN, CSR, GET, PUT, COMMIT, PROVE, TLS_SIGN, LOCK, CHALLENGE, REWORK };

static const uint8_t zeros[146];

// Asks a command with a well-formed request; content may be nonsense.
static int ask(struct board *b, int cmd)
{
	switch (cmd) {
	case KEYGEN:
		return board_keygen(b, "ES256", 1, false);
	case CSR:
		return board_csr(b, "cn");
	case GET:
		return board_get(b, "chain", 0);
	case PUT:
		return board_put_chunk(b, "chain", 0, (struct enr_bytes){zeros, 1}, 1, zeros);
	case COMMIT:
		return board_commit(b, zeros, NULL, NULL);
	case PROVE:
		return board_bytes(b, PROVE, "nonce", (struct enr_bytes){zeros, 32});
	case TLS_SIGN:
		return board_bytes(b, TLS_SIGN, "tbs", (struct enr_bytes){zeros, 130});
	case LOCK:
		return board_bytes(b, LOCK, "chain", (struct enr_bytes){zeros, 32});
	case REWORK:
		return board_rework(b, 0, (struct enr_bytes){zeros, 70});
	default: {
		struct request r;

		request_start(&r, 0);
		return board_do(b, (uint8_t)cmd, false, &r);
	}
	}
}

// Each command in each state: 2 and 11 where it is not allowed, else what its
// content deserves. Malformed beats state everywhere.
void test_states(void)
{
	static const int want[][4] = {
		[INFO] = {0, 0, 0, 0},	     [KEYGEN] = {0, 0, 2, 11},	[CSR] = {2, 0, 2, 11},
		[GET] = {2, 2, 0, 0},	     [PUT] = {2, 0, 0, 11},	[COMMIT] = {2, 2, 2, 11},
		[PROVE] = {2, 2, 0, 0},	     [TLS_SIGN] = {2, 2, 1, 11}, [LOCK] = {2, 2, 5, 5},
		[CHALLENGE] = {2, 2, 2, 0},  [REWORK] = {2, 2, 2, 12},
	};
	static const bool write[] = {false, true, true, false, true, true, true, true, true, false, true};
	struct vectors commit = vectors_read("commit.txt");
	static struct board b;

	for (int state = ENR_BLANK; state <= ENR_LOCKED_STATE; state++) {
		for (int cmd = INFO; cmd <= REWORK; cmd++) {
			struct request bad;
			int rc;

			board_set_state(&b, &commit, (enum enr_state)state);
			enr_put_uint(request_start(&bad, 1), 1);
			rc = board_do(&b, (uint8_t)cmd, write[cmd], &bad);
			CHECK(rc == ENR_MALFORMED, "malformed command %d in state %d: rc %d", cmd, state, rc);
			rc = board_do(&b, (uint8_t)cmd, !write[cmd], &bad);
			CHECK(rc == 108, "wrong op of command %d in state %d: rc %d", cmd, state, rc);
			rc = ask(&b, cmd);
			CHECK(rc == want[cmd][state], "command %d in state %d: rc %d", cmd, state, rc);
		}
	}
	vectors_free(&commit);
}

static void spki_of(struct board *b, uint8_t spki[32], bool *made)
{
	static const struct enr_field fields[] = {{"spki", ENR_BYTES, true, 32, 32}, {"new", ENR_BOOL, true, 0, 1}};
	struct enr_value v[2];

	board_answer(b, fields, 2, v);
	memcpy(spki, v[0].data, 32);
	*made = v[1].num != 0;
}

static void check_key(struct board *b, const char *what, int rc, const uint8_t *same_as, bool want_new)
{
	uint8_t spki[32];
	bool made;

	CHECK(rc == 0, "%s: rc %d", what, rc);
	spki_of(b, spki, &made);
	CHECK((memcmp(spki, same_as, 32) == 0) && made == want_new, "%s: another key, or new %d", what, made);
}

static void check_size(struct board *b, const char *name, size_t size, int want)
{
	struct request r;
	struct enr_writer *w = request_start(&r, 2);

	enr_put_text(w, "alg");
	enr_put_text(w, "ES256");
	enr_put_text(w, name);
	enr_put_bytes(w, zeros, size);
	CHECK(board_do(b, KEYGEN, true, &r) == want, "%s of %zu bytes", name, size);
}

void test_keygen(void)
{
	struct vectors commit = vectors_read("commit.txt");
	static struct board b;
	uint8_t first[32], other[32];
	bool made;
	long before;

	board_set_state(&b, &commit, ENR_BLANK);
	check_size(&b, "token", 31, ENR_MALFORMED);
	check_size(&b, "token", 33, ENR_MALFORMED);
	check_size(&b, "tokem", 32, ENR_MALFORMED);
	CHECK(board_keygen(&b, "EdDSA", 1, false) == ENR_ALGORITHM, "unknown algorithm");
	CHECK(board_keygen(&b, "ES256", 1, false) == 0, "keygen");
	spki_of(&b, first, &made);
	CHECK(made, "the first key is not new");
	CHECK(board_csr(&b, "cn") == 0 && ask(&b, PUT) == 0, "csr and put");

	board_power(&b, POWER_ALWAYS);
	check_key(&b, "same token", board_keygen(&b, "ES256", 1, false), first, true);
	check_key(&b, "same token, replace", board_keygen(&b, "ES256", 1, true), first, true);
	check_key(&b, "other token", board_keygen(&b, "ES256", 2, false), first, false);
	CHECK(board_keygen(&b, "ES384", 1, false) == ENR_ALGORITHM, "same token, other algorithm");
	CHECK(board_keygen(&b, "ES384", 1, true) == ENR_ALGORITHM, "same token, other algorithm, replace");
	CHECK(board_keygen(&b, "ES384", 2, false) == ENR_ALGORITHM, "other token, other algorithm");
	CHECK(board_keygen(&b, "EdDSA", 2, true) == ENR_ALGORITHM, "replace by an unknown algorithm");
	CHECK(b.changed == 0, "a repeat wrote %ld bytes", b.changed);
	CHECK(board_get(&b, "csr", 0) == 0, "a repeat dropped the CSR");
	board_boot(&b);
	check_key(&b, "after a reset", board_keygen(&b, "ES256", 1, false), first, true);
	CHECK(board_get(&b, "csr", 0) == ENR_WRONG_STATE, "the CSR outlived a reset");

	CHECK(board_csr(&b, "cn") == 0 && ask(&b, PUT) == 0, "csr and put");
	CHECK(board_keygen(&b, "ES384", 2, true) == 0, "replace");
	spki_of(&b, other, &made);
	CHECK(made && memcmp(first, other, 32) != 0, "replace made no key");
	CHECK(board_get(&b, "csr", 0) == ENR_WRONG_STATE && ask(&b, COMMIT) == ENR_WRONG_STATE, "CSR or staging kept");

	board_set_state(&b, &commit, ENR_INSTALLED);
	CHECK(board_keygen(&b, "ES256", 0xd0, false) == ENR_WRONG_STATE, "own token when installed");
	before = b.changed;
	CHECK(board_keygen(&b, "ES256", 0xd0, true) == 0 && b.changed == before, "own token and replace change nothing");
	CHECK(b.agent.store.record.state == ENR_INSTALLED, "own token and replace leave the state");
	CHECK(board_keygen(&b, "ES256", 3, true) == 0 && b.agent.store.record.state == ENR_KEYED, "replace when installed");
	CHECK(ask(&b, GET) == ENR_WRONG_STATE && ask(&b, INFO) == 0, "objects after replace");
	vectors_free(&commit);
}

// Checks the answer to a put or get: rc, and where to go on.
static void check_off(struct board *b, const char *what, int rc, int want, uint64_t off)
{
	static const struct enr_field field = {"off", ENR_UINT, true, 0, ENR_ANY};
	struct enr_value v;

	CHECK(rc == want, "%s: rc %d", what, rc);
	if (rc != 0 && rc != ENR_OFFSET)
		return;
	board_answer(b, &field, 1, &v);
	CHECK(v.num == off, "%s: off %lu", what, (unsigned long)v.num);
}

static int put(struct board *b, uint64_t off, const void *data, size_t n, uint64_t len, uint8_t sha)
{
	uint8_t digest[32];

	memset(digest, sha, sizeof digest);
	return board_put_chunk(b, "chain", off, (struct enr_bytes){data, n}, len, digest);
}

void test_put_and_get(void)
{
	struct vectors commit = vectors_read("commit.txt");
	const struct vector *v;
	static struct board b;
	uint8_t large[513] = {0};

	board_set_state(&b, &commit, ENR_KEYED);
	check_off(&b, "a gap from nothing", put(&b, 3, "abc", 3, 0, 0), ENR_OFFSET, 0);
	check_off(&b, "no bytes", put(&b, 0, "", 0, 10, 1), 0, 0);
	check_off(&b, "first", put(&b, 0, "abc", 3, 10, 1), 0, 3);
	check_off(&b, "first again", put(&b, 0, "abc", 3, 10, 1), 0, 3);
	check_off(&b, "resumed without bytes", put(&b, 0, "", 0, 10, 1), 0, 3);
	check_off(&b, "resumed with more bytes", put(&b, 0, "abcd", 4, 10, 1), 0, 3);
	check_off(&b, "first with other bytes", put(&b, 0, "abx", 3, 10, 1), ENR_OFFSET, 3);
	check_off(&b, "second", put(&b, 3, "defg", 4, 0, 0), 0, 7);
	check_off(&b, "second again", put(&b, 3, "defg", 4, 0, 0), 0, 7);
	check_off(&b, "part of the second", put(&b, 4, "ef", 2, 0, 0), 0, 7);
	check_off(&b, "second with other bytes", put(&b, 3, "dexg", 4, 0, 0), ENR_OFFSET, 7);
	check_off(&b, "overlap", put(&b, 5, "fgh", 3, 0, 0), ENR_OFFSET, 7);
	check_off(&b, "gap", put(&b, 8, "i", 1, 0, 0), ENR_OFFSET, 7);
	check_off(&b, "beyond len", put(&b, 7, "hijk", 4, 0, 0), ENR_MALFORMED, 0);
	check_off(&b, "last", put(&b, 7, "hij", 3, 0, 0), 0, 10);
	check_off(&b, "behind the last", put(&b, 10, "", 0, 0, 0), 0, 10);
	check_off(&b, "resumed when complete", put(&b, 0, "abc", 3, 10, 1), 0, 10);
	check_off(&b, "another digest starts anew", put(&b, 0, "xy", 2, 10, 2), 0, 2);
	check_off(&b, "another length starts anew", put(&b, 0, "z", 1, 9, 2), 0, 1);
	check_off(&b, "first beyond len", put(&b, 0, "abc", 3, 2, 3), ENR_MALFORMED, 0);
	check_off(&b, "len beyond max", put(&b, 0, "a", 1, BOARD_MAX + 1, 3), ENR_MALFORMED, 0);
	check_off(&b, "len of 2^64 - 1", put(&b, 0, "a", 1, UINT64_MAX, 3), ENR_MALFORMED, 0);
	check_off(&b, "off of 2^64 - 1", put(&b, UINT64_MAX, "a", 1, 0, 0), ENR_MALFORMED, 0);
	check_off(&b, "chunk too large", put(&b, 0, large, sizeof large, 600, 3), ENR_MALFORMED, 0);
	check_off(&b, "largest chunk", put(&b, 0, large, 512, 600, 3), 0, 512);
	CHECK(board_put_chunk(&b, "csr", 0, (struct enr_bytes){zeros, 1}, 1, zeros) == ENR_MALFORMED, "put of a csr");
	CHECK(board_get(&b, "nothing", 0) == ENR_MALFORMED, "get of nothing");

	v = board_set_state(&b, &commit, ENR_INSTALLED);
	check_off(&b, "get from the middle", board_get(&b, "chain", 5), 0, 5);
	check_off(&b, "get at the end", board_get(&b, "chain", vector_need(v, "chain")->len), 0, vector_need(v, "chain")->len);
	check_off(&b, "get beyond", board_get(&b, "chain", vector_need(v, "chain")->len + 1), ENR_OFFSET,
		  vector_need(v, "chain")->len);
	CHECK(board_commit(&b, vector_need(v, "chain_sha")->data, NULL, NULL) == 0, "commit again");
	vectors_free(&commit);
}

// A commit that adds to a stored chain checks the chain again: firmware that
// was updated may pin another root. With nothing to add it checks nothing.
void test_commit_again(void)
{
	struct vectors commit = vectors_read("commit.txt");
	const struct vector_field *foreign = vector_need(vector_named(&commit, "another root is pinned"), "root");
	static struct board b;
	const struct vector *v = board_set_state(&b, &commit, ENR_INSTALLED);
	const uint8_t *chain = vector_need(v, "chain_sha")->data;
	const struct vector_field *rework = vector_need(vector_named(&commit, "one rework key"), "rework");
	uint8_t sha[32];

	sha256((struct enr_bytes){rework->data, rework->len}, sha);
	board_power(&b, POWER_ALWAYS);
	CHECK(board_commit(&b, chain, NULL, NULL) == 0 && b.changed == 0, "commit of what is stored");
	b.config.root = (struct enr_bytes){foreign->data, foreign->len};
	CHECK(board_commit(&b, chain, NULL, NULL) == 0 && b.changed == 0, "commit of what is stored");
	board_put(&b, "rework", (struct enr_bytes){rework->data, rework->len});
	CHECK(board_commit(&b, chain, NULL, sha) == ENR_UNTRUSTED && b.changed == 0, "commit under another root");
	b.config.root.data = NULL;
	b.config.root.len = 0;
	CHECK(board_commit(&b, chain, NULL, sha) == 0, "commit with a rework key");
	CHECK(b.agent.store.record.len[ENR_PART_REWORK] == rework->len, "the rework key is not stored");
	CHECK(b.agent.store.record.len[ENR_PART_ANCHORS] == vector_need(v, "anchors")->len, "the anchors are gone");
	CHECK(board_commit(&b, zeros, NULL, NULL) == ENR_WRONG_STATE, "commit of what is neither");
	vectors_free(&commit);
}

// A random source that fails its health test costs no state.
void test_entropy(void)
{
	struct vectors commit = vectors_read("commit.txt");
	static struct board b;

	board_set_state(&b, &commit, ENR_BLANK);
	random_fail(true);
	CHECK(board_keygen(&b, "ES256", 1, false) == ENR_ENTROPY, "keygen");
	CHECK(b.agent.store.record.state == ENR_BLANK, "a key without entropy");
	random_fail(false);
	CHECK(board_keygen(&b, "ES256", 1, false) == 0, "keygen afterwards");
	board_set_state(&b, &commit, ENR_LOCKED_STATE);
	random_fail(true);
	CHECK(ask(&b, CHALLENGE) == ENR_ENTROPY, "challenge");
	CHECK(enr_agent_init(&b.agent, &b.config) == ENR_ENTROPY, "boot");
	random_fail(false);
	vectors_free(&commit);
}
