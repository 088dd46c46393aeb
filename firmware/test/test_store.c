// SPDX-License-Identifier: Apache-2.0
// Storage without power: every command that writes is cut off at every byte it
// writes and every piece it erases, with a second cut in the boot that cleans up. What is left is the
// record before or the record after, and of the key that does not count not a
// byte.
#include "board.h"

#include <stdio.h>
#include <string.h>

enum { PUT_TOKEN = 0x51, KEY_AT = 96, KEY_LEN = 32 };
enum { LOCK = 8, CHALLENGE = 9 };

// What a command starts from: a board that is made once and copied for each cut.
struct scene {
	const char *name;
	void (*prepare)(struct board *b, const struct vectors *commit);
	int (*run)(struct board *b);
};

// What the station would hold on to between commands.
static struct {
	uint8_t chain[32], anchors[32], rework[32];
	struct enr_sig sig;
} station;

static void remember(const struct vector *v)
{
	memcpy(station.chain, vector_need(v, "chain_sha")->data, 32);
	memcpy(station.anchors, vector_need(v, "anchors_sha")->data, 32);
	memcpy(station.rework, vector_need(v, "rework_sha")->data, 32);
}

static void blank(struct board *b, const struct vectors *commit)
{
	(void)b, (void)commit;
}

static void keyed(struct board *b, const struct vectors *commit)
{
	(void)commit;
	CHECK(board_keygen(b, "ES256", PUT_TOKEN, false) == 0, "keygen");
}

static void staged(struct board *b, const struct vectors *commit)
{
	remember(board_stage_all(b, commit));
}

static void installed(struct board *b, const struct vectors *commit)
{
	staged(b, commit);
	CHECK(board_commit(b, station.chain, NULL, NULL) == 0, "commit");
}

static void installed_and_staged(struct board *b, const struct vectors *commit)
{
	const struct vector_field *anchors = vector_need(vector_named(commit, "everything named"), "anchors");

	installed(b, commit);
	board_put(b, "anchors", (struct enr_bytes){anchors->data, anchors->len});
}

// Locks a board with a rework key of the test's own, and signs its challenge.
static void challenged(struct board *b, const struct vectors *commit)
{
	struct enr_key key;
	struct enr_spki spki;
	uint8_t object[32], message[256];
	struct enr_bytes m = {message, 0};
	size_t n = sizeof "station-rework-v1";

	staged(b, commit);
	CHECK(enr_key_generate(enr_crypto_alg(0), &key, &spki) == ENR_OK, "rework key");
	board_put(b, "rework", (struct enr_bytes){spki.data, spki.len});
	sha256((struct enr_bytes){spki.data, spki.len}, object);
	CHECK(board_commit(b, station.chain, station.anchors, object) == 0, "commit");
	CHECK(board_bytes(b, LOCK, "chain", (struct enr_bytes){station.chain, 32}) == 0, "lock");
	board_ask(b, ENR_GROUP, CHALLENGE, false, NULL, 0);
	memcpy(message, "station-rework-v1", n);
	memcpy(message + n, b->agent.nonce, 32);
	CHECK(enr_store_digest(&b->agent.store, ENR_PART_SPKI, message + n + 32) == ENR_OK, "digest");
	memcpy(message + n + 64, b->uid, 12);
	m.len = n + 64 + 12;
	CHECK(enr_key_sign(enr_crypto_alg(0), &key, m, &station.sig) == ENR_OK, "sign");
}

static int run_keygen(struct board *b)
{
	return board_keygen(b, "ES256", 0x77, false);
}

static int run_replace(struct board *b)
{
	return board_keygen(b, "ES256", 0x77, true);
}

static int run_commit(struct board *b)
{
	return board_commit(b, station.chain, station.anchors, station.rework);
}

static int run_commit_anchors(struct board *b)
{
	return board_commit(b, station.chain, station.anchors, NULL);
}

static int run_lock(struct board *b)
{
	return board_bytes(b, LOCK, "chain", (struct enr_bytes){station.chain, 32});
}

static int run_rework(struct board *b)
{
	return board_rework(b, 0, (struct enr_bytes){station.sig.data, station.sig.len});
}

static const struct scene scenes[] = {
	{"keygen", blank, run_keygen},
	{"keygen that replaces", keyed, run_replace},
	{"keygen that replaces an installed key", installed, run_replace},
	{"commit", staged, run_commit},
	{"commit of anchors alone", installed_and_staged, run_commit_anchors},
	{"lock", installed, run_lock},
	{"rework", challenged, run_rework},
};

// A record as a station can see it, and the key.
struct sight {
	struct enr_record record;
	uint8_t digests[ENR_PARTS][32];
	uint8_t key[KEY_LEN];
	bool has_key;
};

static void look(const struct board *b, struct sight *s)
{
	memset(s, 0, sizeof *s);
	s->record = b->agent.store.record;
	s->record.generation = 0;
	for (int i = 0; i < ENR_PARTS; i++)
		CHECK(enr_store_digest(&b->agent.store, (enum enr_part)i, s->digests[i]) == ENR_OK, "digest");
	s->has_key = s->record.len[ENR_PART_KEY] > 0;
	if (s->has_key)
		memcpy(s->key, b->flash[b->agent.store.active] + KEY_AT, KEY_LEN);
}

static bool same(const struct sight *a, const struct sight *b)
{
	return memcmp(&a->record, &b->record, sizeof a->record) == 0 &&
	       memcmp(a->digests, b->digests, sizeof a->digests) == 0;
}

// Whether any eight bytes of a key are in flash.
static bool has_trace(const struct board *b, const struct sight *of)
{
	for (int copy = 0; copy < 2; copy++) {
		for (size_t i = 0; i + 8 <= BOARD_COPY; i++) {
			for (size_t k = 0; of->has_key && k + 8 <= KEY_LEN; k += 8) {
				if (memcmp(b->flash[copy] + i, of->key + k, 8) == 0)
					return true;
			}
		}
	}
	return false;
}

static void power_up(struct board *b)
{
	board_power(b, POWER_ALWAYS);
	board_boot(b);
}

static void check_cut(const struct scene *s, const struct board *start, long cut, int whole, const struct sight *before,
		      const struct sight *after, long commit_point)
{
	static struct board b;
	struct sight now;
	bool is_after, want_after;

	board_copy(&b, start);
	random_seed(99); // the same new key at every cut
	board_power(&b, cut);
	b.whole = whole;
	CHECK(s->run(&b) != 0 && b.dead, "%s: cut at %ld: success without power", s->name, cut);
	// Power goes again while the boot wipes what does not count.
	board_power(&b, cut * 7 % 500);
	(void)enr_agent_init(&b.agent, &b.config);
	power_up(&b);
	look(&b, &now);
	is_after = same(&now, after);
	want_after = cut >= commit_point;
	CHECK(is_after || same(&now, before), "%s: cut at %ld leaves neither before nor after", s->name, cut);
	CHECK(is_after == want_after, "%s: cut at %ld of %ld: after %d", s->name, cut, commit_point, is_after);
	if (memcmp(before->key, after->key, KEY_LEN) != 0)
		CHECK(!has_trace(&b, is_after ? before : after), "%s: cut at %ld leaves bytes of the other key", s->name, cut);
}

static void check_scene(const struct scene *s, const struct vectors *commit)
{
	static struct board start, b;
	struct sight before, after;
	long total, commit_point;

	board_init(&start);
	board_boot(&start);
	s->prepare(&start, commit);
	look(&start, &before);
	board_copy(&b, &start);
	random_seed(99);
	board_power(&b, POWER_ALWAYS);
	CHECK(s->run(&b) == 0, "%s fails with power", s->name);
	total = b.changed;
	look(&b, &after);
	CHECK(total > 0 && !same(&before, &after), "%s writes nothing", s->name);
	// All that follows the valid word is the wiping of the old copy.
	commit_point = start.agent.store.active < 0 ? total : total - BOARD_COPY / ERASE_STEP;
	// At every byte of every word, and with bits of all four.
	for (long cut = 0; cut < total; cut++)
		for (int whole = 0; whole <= TORN_ALL; whole++)
			check_cut(s, &start, cut, whole, &before, &after, commit_point);
	printf("  %s: %ld words and pieces, each cut at %d places, before up to %ld\n", s->name, total, TORN_ALL + 1, commit_point);
}

void test_power_cut(void)
{
	struct vectors commit = vectors_read("commit.txt");

	for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
		check_scene(&scenes[i], &commit);
	vectors_free(&commit);
}

// Flash that answers with errors is rc 9 and changes nothing that counts.
void test_storage_failure(void)
{
	struct vectors commit = vectors_read("commit.txt");

	for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
		static struct board b;
		struct sight before, now;
		int rc;

		board_init(&b);
		board_boot(&b);
		scenes[i].prepare(&b, &commit);
		look(&b, &before);
		b.broken = true;
		rc = scenes[i].run(&b);
		CHECK(rc == ENR_STORAGE, "%s: rc %d", scenes[i].name, rc);
		CHECK(enr_agent_init(&b.agent, &b.config) == ENR_STORAGE, "%s: boot", scenes[i].name);
		b.broken = false;
		board_boot(&b);
		look(&b, &now);
		CHECK(same(&before, &now), "%s: changed the record", scenes[i].name);
	}
	vectors_free(&commit);
}

// A record that does not read back as it was written never counts, nor does one
// that lost a bit since.
void test_flash_bits(void)
{
	struct vectors commit = vectors_read("commit.txt");
	static struct board b;
	uint8_t *byte;

	for (uint32_t at = 32; at < 160; at++) {
		board_init(&b);
		board_boot(&b);
		b.weak = at;
		random_seed(3); // no byte of this key is FF by itself
		CHECK(board_keygen(&b, "ES256", 1, false) == ENR_STORAGE, "byte %u is weak, and keygen succeeds", at);
		b.weak = 0;
		CHECK(b.agent.store.record.state == ENR_BLANK, "byte %u: a key that is not stored", at);
		CHECK(board_keygen(&b, "ES256", 1, false) == 0, "byte %u: no second chance", at);
	}
	for (size_t at = 0; at < 400; at++) {
		board_set_state(&b, &commit, ENR_INSTALLED);
		byte = &b.flash[b.agent.store.active][at];
		*byte ^= 1;
		board_boot(&b);
		CHECK(b.agent.store.record.state == ENR_BLANK, "byte %zu lost a bit, and the record counts", at);
	}
	vectors_free(&commit);
}

// When both copies are whole the newer counts, also where its number wrapped.
void test_newer_copy_counts(void)
{
	static struct board b;

	for (uint32_t generation = UINT32_MAX - 2; generation != 2; generation++) {
		board_init(&b);
		board_boot(&b);
		b.agent.store.record.generation = generation;
		CHECK(board_keygen(&b, "ES256", 1, false) == 0, "first key");
		b.no_erase = true; // power goes before the old copy is wiped
		CHECK(board_keygen(&b, "ES256", 2, true) == ENR_STORAGE, "second key");
		b.no_erase = false;
		board_boot(&b);
		CHECK(b.agent.store.record.token[0] == 2, "after generation %u the older copy counts", generation);
	}
}
