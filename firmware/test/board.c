// SPDX-License-Identifier: Apache-2.0
#include "board.h"

#include "../core/smp.h"

#include <psa/crypto.h>
#include <string.h>

static uint64_t random_state = 1;
static bool random_broken;

void random_seed(uint64_t seed)
{
	random_state = seed * 2 + 1;
}

void random_fail(bool fail)
{
	random_broken = fail;
}

// xorshift64*: repeatable, and good enough to make valid keys of.
static uint8_t random_byte(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint8_t)(random_state * 0x2545f4914f6cdd1d >> 56);
}

int enr_port_random(uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = random_byte();
	return random_broken ? -1 : 0;
}

static void send(void *ctx, const uint8_t *data, size_t n)
{
	struct board *b = ctx;

	CHECK(n <= sizeof b->sent - b->sent_len, "the board sends too much");
	memcpy(b->sent + b->sent_len, data, n);
	b->sent_len += n;
}

static void reset(void *ctx)
{
	struct board *b = ctx;

	b->resets++;
}

static void check_range(unsigned copy, uint32_t off, size_t n)
{
	CHECK(copy < 2 && off <= BOARD_COPY && n <= BOARD_COPY - off, "flash has no copy %u at %u + %zu", copy, off, n);
}

static int read_flash(void *ctx, unsigned copy, uint32_t off, uint8_t *data, size_t n)
{
	const struct board *b = ctx;

	check_range(copy, off, n);
	memcpy(data, b->flash[copy] + off, n);
	return b->broken ? -1 : 0;
}

// Takes one step from the power that is left.
static bool spend(struct board *b)
{
	if (b->power == 0)
		b->dead = true;
	if (b->dead)
		return false;
	if (b->power > 0)
		b->power--;
	b->changed++;
	return true;
}

static int program(void *ctx, unsigned copy, uint32_t off, const uint8_t *data, size_t n)
{
	struct board *b = ctx;

	check_range(copy, off, n);
	CHECK(off % ENR_FLASH_UNIT == 0 && n % ENR_FLASH_UNIT == 0, "program of %zu bytes at %u is not in units", n, off);
	for (size_t i = 0; i < n; i += WORD) {
		uint8_t *cell = &b->flash[copy][off + i];
		bool was_dead = b->dead, powered = spend(b);

		for (int k = 0; k < WORD && !was_dead; k++) {
			CHECK(cell[k] == 0xff, "byte %zu of copy %u is programmed twice", off + i, copy);
			// Some bits of the word under way make it before power goes.
			if (b->weak == off + i + (size_t)k && b->weak != 0)
				continue;
			cell[k] = powered ? data[i + (size_t)k] : data[i + (size_t)k] | 0xa5;
		}
		if (!powered)
			return -1;
	}
	return b->broken ? -1 : 0;
}

static int erase(void *ctx, unsigned copy)
{
	struct board *b = ctx;

	check_range(copy, 0, BOARD_COPY);
	for (size_t i = 0; i < BOARD_COPY && !b->no_erase; i += ERASE_STEP) {
		if (!spend(b))
			return -1;
		memset(b->flash[copy] + i, 0xff, ERASE_STEP);
	}
	return b->broken || b->no_erase ? -1 : 0;
}

// Sets what points from a board to itself.
static void wire(struct board *b)
{
	b->port.ctx = b;
	b->config.port = &b->port;
	b->config.uid.data = b->uid;
	b->config.rx = b->rx;
	b->config.tx = b->tx;
	b->config.staging = b->staging;
	b->agent.cfg = &b->config;
	b->agent.rx.buf = b->rx;
	b->agent.store.port = &b->port;
}

void board_init(struct board *b)
{
	memset(b, 0, sizeof *b);
	memset(b->flash, 0xff, sizeof b->flash);
	memcpy(b->uid, "uid of board", 12);
	b->power = POWER_ALWAYS;
	b->port = (struct enr_port){
		.send = send,
		.reset = reset,
		.read = read_flash,
		.program = program,
		.erase = erase,
		.copy_size = BOARD_COPY,
	};
	b->config = (struct enr_config){
		.model = "model",
		.hw = "hw",
		.fw = "1.2.3",
		.uid.len = 12,
		.buffer = BOARD_BUFFER,
		.max = BOARD_MAX,
	};
	wire(b);
}

void board_boot(struct board *b)
{
	enum enr_rc rc;

	memset(b->staging, 0xee, sizeof b->staging);
	rc = enr_agent_init(&b->agent, &b->config);
	CHECK(rc == ENR_OK, "boot failed with rc %d", rc);
}

void board_copy(struct board *to, const struct board *from)
{
	*to = *from;
	wire(to);
}

void board_power(struct board *b, long steps)
{
	b->power = steps;
	b->changed = 0;
	b->dead = false;
}

struct enr_writer *request_start(struct request *r, unsigned entries)
{
	r->w = (struct enr_writer){.buf = r->bytes, .cap = sizeof r->bytes};
	enr_put_map(&r->w, entries);
	return &r->w;
}

void board_ask(struct board *b, uint16_t group, uint8_t cmd, bool write, const uint8_t *payload, size_t n)
{
	uint8_t message[ENR_SMP_HEADER + BOARD_BUFFER];
	struct enr_message head = {
		.op = write ? ENR_WRITE : ENR_READ, .version = 1, .seq = 77, .cmd = cmd, .group = group, .len = n};
	struct enr_message got;

	enr_smp_header(message, &head);
	if (n > 0)
		memcpy(message + ENR_SMP_HEADER, payload, n);
	b->answer_len = enr_agent_message(&b->agent, message, ENR_SMP_HEADER + n, b->answer, sizeof b->answer);
	CHECK(enr_smp_parse(&got, b->answer, b->answer_len), "command %u is not answered by a message", cmd);
	CHECK(got.op == head.op + 1 && got.version == 1 && got.group == group && got.seq == 77 && got.cmd == cmd,
	      "command %u is answered under another header", cmd);
	b->answer_len -= ENR_SMP_HEADER;
	memmove(b->answer, b->answer + ENR_SMP_HEADER, b->answer_len);
}

// The rc in {"err": {"group": 64, "rc": N}, ...} as this board writes it.
static int answered_rc(const struct board *b)
{
	static const uint8_t err[] = "\x63" "err" "\xa2\x65" "group" "\x18\x40\x62" "rc";
	static const uint8_t plain[] = "\xa1\x62" "rc";
	size_t n = sizeof err - 1;

	if (b->answer_len > 1 + n && memcmp(b->answer + 1, err, n) == 0)
		return b->answer[1 + n];
	if (b->answer_len == sizeof plain && memcmp(b->answer, plain, sizeof plain - 1) == 0)
		return 100 + b->answer[sizeof plain - 1];
	return 0;
}

int board_do(struct board *b, uint8_t cmd, bool write, const struct request *r)
{
	CHECK(!r->w.over, "the request does not fit");
	board_ask(b, ENR_GROUP, cmd, write, r->bytes, r->w.len);
	return answered_rc(b);
}

void board_answer(const struct board *b, const struct enr_field *fields, size_t count, struct enr_value *v)
{
	CHECK(enr_cbor_read(b->answer, b->answer_len, fields, count, v), "the answer has not the fields expected");
}

int board_keygen(struct board *b, const char *alg, uint8_t token, bool replace)
{
	struct request r;
	struct enr_writer *w = request_start(&r, replace ? 3 : 2);
	uint8_t bytes[32];

	memset(bytes, token, sizeof bytes);
	enr_put_text(w, "alg");
	enr_put_text(w, alg);
	enr_put_text(w, "token");
	enr_put_bytes(w, bytes, sizeof bytes);
	if (replace) {
		enr_put_text(w, "replace");
		enr_put_bool(w, true);
	}
	return board_do(b, 1, true, &r);
}

int board_csr(struct board *b, const char *cn)
{
	struct request r;
	struct enr_writer *w = request_start(&r, 2);
	uint8_t nonce[32] = {7};

	enr_put_text(w, "cn");
	enr_put_text(w, cn);
	enr_put_text(w, "nonce");
	enr_put_bytes(w, nonce, sizeof nonce);
	return board_do(b, 2, true, &r);
}

int board_put_chunk(struct board *b, const char *obj, uint64_t off, struct enr_bytes data, uint64_t len,
		    const uint8_t sha[32])
{
	struct request r;
	struct enr_writer *w = request_start(&r, off == 0 ? 5 : 3);

	enr_put_text(w, "obj");
	enr_put_text(w, obj);
	enr_put_text(w, "off");
	enr_put_uint(w, off);
	enr_put_text(w, "data");
	enr_put_bytes(w, data.data, data.len);
	if (off == 0) {
		enr_put_text(w, "len");
		enr_put_uint(w, len);
		enr_put_text(w, "sha");
		enr_put_bytes(w, sha, 32);
	}
	return board_do(b, 4, true, &r);
}

int board_get(struct board *b, const char *obj, uint64_t off)
{
	struct request r;
	struct enr_writer *w = request_start(&r, 2);

	enr_put_text(w, "obj");
	enr_put_text(w, obj);
	enr_put_text(w, "off");
	enr_put_uint(w, off);
	return board_do(b, 3, false, &r);
}

int board_commit(struct board *b, const uint8_t *chain, const uint8_t *anchors, const uint8_t *rework)
{
	const uint8_t *digests[] = {chain, anchors, rework};
	static const char *const names[] = {"chain", "anchors", "rework"};
	struct request r;
	struct enr_writer *w = request_start(&r, 1u + (anchors != NULL) + (rework != NULL));

	for (int i = 0; i < 3; i++) {
		if (digests[i] == NULL)
			continue;
		enr_put_text(w, names[i]);
		enr_put_bytes(w, digests[i], 32);
	}
	return board_do(b, 5, true, &r);
}

int board_bytes(struct board *b, uint8_t cmd, const char *name, struct enr_bytes value)
{
	struct request r;
	struct enr_writer *w = request_start(&r, 1);

	enr_put_text(w, name);
	enr_put_bytes(w, value.data, value.len);
	return board_do(b, cmd, true, &r);
}

int board_rework(struct board *b, unsigned key, struct enr_bytes sig)
{
	struct request r;
	struct enr_writer *w = request_start(&r, 2);

	enr_put_text(w, "key");
	enr_put_uint(w, key);
	enr_put_text(w, "sig");
	enr_put_bytes(w, sig.data, sig.len);
	return board_do(b, 10, true, &r);
}

void sha256(struct enr_bytes data, uint8_t out[32])
{
	size_t n;
	psa_status_t status = psa_hash_compute(PSA_ALG_SHA_256, data.data, data.len, out, 32, &n);

	CHECK(status == PSA_SUCCESS && n == 32, "hash: %d", (int)status);
}

void board_put(struct board *b, const char *obj, struct enr_bytes data)
{
	enum { CHUNK = 300 };
	uint8_t sha[32];

	sha256(data, sha);
	for (size_t off = 0; off < data.len; off += CHUNK) {
		struct enr_bytes part = {data.data + off, data.len - off < CHUNK ? data.len - off : CHUNK};
		int rc = board_put_chunk(b, obj, off, part, data.len, sha);

		CHECK(rc == 0, "put %s at %zu: rc %d", obj, off, rc);
	}
}

void board_set_key(struct board *b, const uint8_t d[32], struct enr_spki *spki)
{
	static const uint8_t prefix[] = {
		0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
		0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
	};
	psa_key_attributes_t attr = psa_key_attributes_init();
	struct enr_source sources[ENR_PARTS] = {{0}};
	struct enr_record record = {.state = ENR_KEYED, .alg = 1};
	size_t point;
	psa_key_id_t id;

	psa_set_key_type(&attr, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1));
	CHECK(psa_import_key(&attr, d, 32, &id) == PSA_SUCCESS, "the scalar is no key");
	memcpy(spki->data, prefix, sizeof prefix);
	CHECK(psa_export_public_key(id, spki->data + sizeof prefix, sizeof spki->data - sizeof prefix, &point) ==
		      PSA_SUCCESS,
	      "the key has no public half");
	psa_destroy_key(id);
	spki->len = sizeof prefix + point;
	sources[ENR_PART_KEY] = (struct enr_source){.data = d, .len = 32};
	sources[ENR_PART_SPKI] = (struct enr_source){.data = spki->data, .len = (uint32_t)spki->len};
	memset(record.token, 0xd0, sizeof record.token);
	CHECK(enr_store_save(&b->agent.store, &record, sources) == ENR_OK, "the key is not stored");
}

const struct vector *board_stage_all(struct board *b, const struct vectors *commit)
{
	static const char *const names[] = {"chain", "anchors", "rework"};
	const struct vector *v = vector_named(commit, "everything named");
	struct enr_spki spki;

	board_set_key(b, vector_need(v, "d")->data, &spki);
	for (int k = 0; k < ENR_OBJECTS; k++) {
		const struct vector_field *f = vector_need(v, names[k]);

		board_put(b, names[k], (struct enr_bytes){f->data, f->len});
	}
	return v;
}

const struct vector *board_set_state(struct board *b, const struct vectors *commit, enum enr_state state)
{
	const struct vector *v = vector_named(commit, "everything named");
	const uint8_t *chain = vector_need(v, "chain_sha")->data;

	board_init(b);
	board_boot(b);
	if (state == ENR_KEYED)
		CHECK(board_keygen(b, "ES256", 9, false) == 0, "keygen");
	if (state < ENR_INSTALLED)
		return v;
	board_stage_all(b, commit);
	CHECK(board_commit(b, chain, vector_need(v, "anchors_sha")->data, vector_need(v, "rework_sha")->data) == 0, "commit");
	if (state == ENR_LOCKED_STATE)
		CHECK(board_bytes(b, 8, "chain", (struct enr_bytes){chain, ENR_SHA256}) == 0, "lock");
	return v;
}
