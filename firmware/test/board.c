// SPDX-License-Identifier: Apache-2.0
#include "board.h"

#include <mbedtls/ecp.h>
#include <mbedtls/md.h>
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

// What of byte k of a word is stored when power goes while it is written.
static uint8_t torn(const struct board *b, int k, uint8_t data)
{
	if (b->whole == TORN_ALL)
		return data | 0xa5;
	if (k < b->whole)
		return data;
	return k == b->whole ? data | 0xa5 : 0xff;
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
			if (b->weak == off + i + (size_t)k && b->weak != 0)
				continue;
			cell[k] = data[i + (size_t)k];
			if (!powered)
				cell[k] = torn(b, k, cell[k]);
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
	b->whole = TORN_ALL;
}

void sha256(struct enr_bytes data, uint8_t out[32])
{
	CHECK(mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), data.data, data.len, out) == 0, "hash");
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

static int random_bytes(void *ctx, unsigned char *out, size_t n)
{
	(void)ctx;
	return enr_port_random(out, n);
}

void board_set_key(struct board *b, const uint8_t d[32], struct enr_spki *spki)
{
	static const uint8_t prefix[] = {
		0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
		0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
	};
	struct enr_source sources[ENR_PARTS] = {{0}};
	struct enr_record record = {.state = ENR_KEYED, .alg = 1};
	mbedtls_ecp_group group;
	mbedtls_ecp_point public;
	mbedtls_mpi private;
	size_t point;

	mbedtls_ecp_group_init(&group);
	mbedtls_ecp_point_init(&public);
	mbedtls_mpi_init(&private);
	memcpy(spki->data, prefix, sizeof prefix);
	CHECK(mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1) == 0 && mbedtls_mpi_read_binary(&private, d, 32) == 0 &&
		      mbedtls_ecp_mul(&group, &public, &private, &group.G, random_bytes, NULL) == 0 &&
		      mbedtls_ecp_point_write_binary(&group, &public, MBEDTLS_ECP_PF_UNCOMPRESSED, &point,
						     spki->data + sizeof prefix, sizeof spki->data - sizeof prefix) == 0,
	      "the scalar is no key");
	mbedtls_ecp_group_free(&group);
	mbedtls_ecp_point_free(&public);
	mbedtls_mpi_free(&private);
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
