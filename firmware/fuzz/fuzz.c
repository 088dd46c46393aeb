// SPDX-License-Identifier: Apache-2.0
#include "fuzz.h"

#include "../core/smp.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *vector_directory;
extern const char *vector_directory;

static struct board starts[STARTS];
static struct vectors commit;

_Noreturn void test_fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "FAIL %s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

static struct enr_bytes bytes_of(const struct vector *v, const char *key)
{
	const struct vector_field *f = vector_need(v, key);

	return (struct enr_bytes){f->data, f->len};
}

static const struct vector *everything(void)
{
	return vector_named(&commit, "everything named");
}

struct enr_bytes fuzz_root(void)
{
	return bytes_of(everything(), "root");
}

static void init_keyed(struct board *b)
{
	struct enr_spki spki;

	board_init(b);
	board_boot(b);
	board_set_key(b, vector_need(everything(), "d")->data, &spki);
}

// A locked board with key, uid and rework keys of the vector, which was asked
// for a challenge and gave the vector's nonce.
static void init_rework(struct board *b, const struct vector *v)
{
	struct enr_bytes chain = bytes_of(everything(), "chain"), rework = bytes_of(v, "rework");
	struct enr_source sources[ENR_PARTS];
	struct enr_record record;
	struct enr_spki spki;

	board_init(b);
	b->config.uid.len = bytes_of(v, "uid").len;
	memcpy(b->uid, bytes_of(v, "uid").data, b->config.uid.len);
	board_boot(b);
	board_set_key(b, vector_need(v, "d")->data, &spki);
	for (int i = 0; i < ENR_PARTS; i++)
		sources[i] = (struct enr_source){.keep = true};
	sources[ENR_PART_CHAIN] = (struct enr_source){.data = chain.data, .len = (uint32_t)chain.len};
	sources[ENR_PART_REWORK] = (struct enr_source){.data = rework.data, .len = (uint32_t)rework.len};
	record = b->agent.store.record;
	record.state = ENR_LOCKED_STATE;
	CHECK(enr_store_save(&b->agent.store, &record, sources) == ENR_OK, "not stored");
	memcpy(b->agent.nonce, vector_need(v, "nonce")->data, sizeof b->agent.nonce);
	b->agent.challenged = true;
}

static const struct vector *good_rework(const struct vectors *all)
{
	for (size_t i = 0; i < all->count; i++) {
		if (vector_byte(&all->list[i], "rc") == ENR_OK)
			return &all->list[i];
	}
	test_fail(__FILE__, __LINE__, "no rework succeeds");
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct vectors rework;

	(void)argc, (void)argv;
	vector_directory = getenv("FUZZ_VECTORS");
	CHECK(vector_directory != NULL, "FUZZ_VECTORS does not name the directory of vectors");
	commit = vectors_read("commit.txt");
	rework = vectors_read("rework.txt");
	random_seed(1);
	board_init(&starts[START_BLANK]);
	board_boot(&starts[START_BLANK]);
	init_keyed(&starts[START_KEYED]);
	board_set_state(&starts[START_INSTALLED], &commit, ENR_INSTALLED);
	board_set_state(&starts[START_LOCKED], &commit, ENR_LOCKED_STATE);
	init_rework(&starts[START_REWORK], good_rework(&rework));
	vectors_free(&rework);
	return 0;
}

void fuzz_board(struct board *b, enum fuzz_start start)
{
	random_seed(1);
	board_copy(b, &starts[start]);
}

uint8_t take8(struct input *in)
{
	uint8_t v = in->n > 0 ? *in->p : 0;

	if (in->n > 0) {
		in->p++;
		in->n--;
	}
	return v;
}

uint16_t take16(struct input *in)
{
	unsigned high = take8(in);

	return (uint16_t)(high << 8 | take8(in));
}

struct enr_bytes take(struct input *in, size_t n)
{
	struct enr_bytes b = {in->p, n < in->n ? n : in->n};

	in->p += b.len;
	in->n -= b.len;
	return b;
}

uint8_t *exact_copy(struct enr_bytes data)
{
	uint8_t *p = malloc(data.len > 0 ? data.len : 1);

	CHECK(p != NULL, "out of memory");
	if (data.len > 0)
		memcpy(p, data.data, data.len);
	return p;
}

// What a station reads of frames that the board sends.
static size_t unframe(const struct board *b, uint8_t *out, size_t cap)
{
	struct enr_smp_rx rx = {.buf = out, .cap = cap};
	size_t n = 0;

	for (size_t i = 0; i < b->sent_len; i++) {
		size_t got = enr_smp_rx(&rx, b->sent[i]);

		CHECK(got == 0 || n == 0, "two answers to one message");
		n = got > 0 ? got : n;
	}
	CHECK(n > 0 || b->sent_len == 0, "what is sent is no frame");
	if (n > 0)
		memmove(out, out + ENR_SMP_PREFIX, n);
	return n;
}

static size_t ask_framed(struct board *b, struct enr_bytes message, uint8_t *out, size_t cap)
{
	static struct board wire; // what the station sends is recorded here
	uint8_t packet[BOARD_BUFFER + 64];

	if (message.len > BOARD_BUFFER)
		message.len = BOARD_BUFFER;
	if (message.len > 0)
		memcpy(packet + ENR_SMP_PREFIX, message.data, message.len);
	wire.sent_len = 0;
	enr_smp_send(&(struct enr_port){.ctx = &wire, .send = b->port.send}, packet, message.len);
	b->sent_len = 0;
	for (size_t i = 0; i < wire.sent_len; i++)
		enr_agent_rx(&b->agent, wire.sent[i]);
	return unframe(b, out, cap);
}

static size_t ask_plain(struct board *b, struct enr_bytes message, uint8_t *out, size_t cap)
{
	uint8_t *copy = exact_copy(message);
	size_t n = enr_agent_message(&b->agent, copy, message.len, out, cap);

	free(copy);
	CHECK(n <= cap, "an answer of %zu bytes where %zu fit", n, cap);
	return n;
}

static struct enr_key key_of(const struct board *b)
{
	struct enr_key key = {.len = b->agent.store.record.len[ENR_PART_KEY]};

	CHECK(key.len <= sizeof key.data, "a key of %zu bytes", key.len);
	CHECK(enr_store_read(&b->agent.store, ENR_PART_KEY, 0, key.data, key.len) == ENR_OK || key.len == 0, "no key");
	return key;
}

static void check_secret(const struct enr_key *key, const uint8_t *answer, size_t n)
{
	CHECK(key->len == 0 || memmem(answer, n, key->data, key->len) == NULL, "the answer shows the key");
}

void fuzz_check_chain(const struct board *b)
{
	const struct enr_record *r = &b->agent.store.record;
	struct enr_bytes chain = {NULL, r->len[ENR_PART_CHAIN]};
	struct enr_spki spki;
	uint8_t *bytes = malloc(chain.len);

	CHECK(bytes != NULL, "out of memory");
	CHECK(enr_store_read(&b->agent.store, ENR_PART_CHAIN, 0, bytes, chain.len) == ENR_OK, "no chain");
	CHECK(enr_store_read(&b->agent.store, ENR_PART_SPKI, 0, spki.data, r->len[ENR_PART_SPKI]) == ENR_OK, "no spki");
	chain.data = bytes;
	CHECK(enr_certs_parse(chain, ENR_CHAIN_MAX) == ENR_OK, "a chain is stored that does not parse");
	CHECK(enr_chain_check(chain, (struct enr_bytes){spki.data, r->len[ENR_PART_SPKI]}, b->config.root,
			      b->config.verify) == ENR_OK,
	      "a chain is stored that does not hold");
	free(bytes);
}

// The record after a message, given the one before it.
static void check_step(const struct board *b, const struct enr_record *before)
{
	const struct enr_record *r = &b->agent.store.record;
	bool installed = r->state >= ENR_INSTALLED;

	CHECK(r->state <= ENR_LOCKED_STATE, "state %u", r->state);
	CHECK(before->state != ENR_LOCKED_STATE || r->state == ENR_LOCKED_STATE || r->state == ENR_BLANK,
	      "from locked to state %u", r->state);
	CHECK(r->state != ENR_LOCKED_STATE || before->state >= ENR_INSTALLED, "locked from state %u", before->state);
	CHECK((r->len[ENR_PART_KEY] > 0) == (r->state != ENR_BLANK), "state %u, key of %u bytes", r->state,
	      r->len[ENR_PART_KEY]);
	CHECK((r->len[ENR_PART_CHAIN] > 0) == installed, "state %u, chain of %u bytes", r->state, r->len[ENR_PART_CHAIN]);
	for (int i = 0; i < ENR_OBJECTS; i++) {
		const struct enr_staged *s = &b->agent.staged[i];

		CHECK(s->got <= s->len && s->len <= b->config.max, "object %d: %u of %u bytes", i, s->got, s->len);
	}
	if (installed && before->state < ENR_LOCKED_STATE && r->generation != before->generation)
		fuzz_check_chain(b);
}

void fuzz_message(struct board *b, struct enr_bytes message, bool framed)
{
	uint8_t answer[BOARD_BUFFER];
	struct enr_record before = b->agent.store.record;
	struct enr_key old = key_of(b), new;
	struct enr_message m;
	size_t n = framed ? ask_framed(b, message, answer, sizeof answer) : ask_plain(b, message, answer, sizeof answer);

	if (n > 0) {
		CHECK(enr_smp_parse(&m, answer, n) && (m.op == ENR_READ_ANSWER || m.op == ENR_WRITE_ANSWER),
		      "the answer is no message");
		CHECK(m.len > 0 && enr_cbor_read(m.payload, m.len, NULL, 0, NULL), "the answer is no map");
	}
	new = key_of(b);
	check_secret(&old, answer, n);
	check_secret(&new, answer, n);
	check_step(b, &before);
}

void fuzz_check(struct board *b)
{
	static struct board again;
	// The example of the protocol, which any agent answers.
	static const uint8_t info[] = "\x06\x09" "AAsIAAABAEABAKCAGQ==\n";
	uint8_t answer[BOARD_BUFFER];
	const struct enr_record *r = &b->agent.store.record, *kept = &again.agent.store.record;

	enr_agent_rx(&b->agent, '\n'); // may end a request that was waiting for it
	b->sent_len = 0;
	for (size_t i = 0; i < sizeof info - 1; i++)
		enr_agent_rx(&b->agent, info[i]);
	CHECK(unframe(b, answer, sizeof answer) > 100, "the agent is silent");
	board_copy(&again, b);
	board_boot(&again);
	CHECK(kept->state == r->state && memcmp(kept->token, r->token, sizeof r->token) == 0 &&
		      memcmp(kept->len, r->len, sizeof r->len) == 0,
	      "another board after a reset: state %u, was %u", kept->state, r->state);
}
