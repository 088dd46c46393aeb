// SPDX-License-Identifier: Apache-2.0
// The bytes that signatures cover, and what an agent does with the vectors of
// commit and rework.
#include "../core/message.h"
#include "board.h"

#include <string.h>

static const char *const object_names[ENR_OBJECTS] = {"chain", "anchors", "rework"};

static struct enr_bytes bytes_of(const struct vector_field *f)
{
	return f == NULL ? (struct enr_bytes){NULL, 0} : (struct enr_bytes){f->data, f->len};
}

void test_csr(void)
{
	struct vectors all = vectors_read("csr.txt");
	static struct board b;

	for (size_t i = 0; i < all.count; i++) {
		const struct vector *v = &all.list[i];
		const struct vector_field *want = vector_need(v, "tbs");
		struct enr_spki spki;
		struct enr_csr_request r = {
			.cn = bytes_of(vector_need(v, "cn")),
			.sn = bytes_of(vector_field(v, "sn")),
			.nonce = vector_need(v, "nonce")->data,
		};
		uint8_t out[ENR_CSR_MAX];
		size_t n;

		board_init(&b);
		board_boot(&b);
		board_set_key(&b, vector_need(v, "d")->data, &spki);
		r.spki = (struct enr_bytes){spki.data, spki.len};
		n = enr_csr_tbs(out, sizeof out, &r);
		CHECK(n == want->len && memcmp(out + sizeof out - n, want->data, n) == 0, "%s: other bytes", v->name);
		CHECK(enr_csr_tbs(out, n, &r) == n && enr_csr_tbs(out, n - 1, &r) == 0, "%s: bounds", v->name);
	}
	vectors_free(&all);
}

static void copy_digest(uint8_t out[32], const struct vector_field *f)
{
	if (f != NULL)
		memcpy(out, f->data, 32);
}

void test_prove(void)
{
	struct vectors all = vectors_read("prove.txt");

	for (size_t i = 0; i < all.count; i++) {
		const struct vector *v = &all.list[i];
		const struct vector_field *want = vector_need(v, "message");
		struct enr_proof p = {
			.nonce = vector_need(v, "nonce")->data,
			.prot = vector_byte(v, "prot"),
			.state = vector_byte(v, "state"),
			.uid = bytes_of(vector_need(v, "uid")),
		};
		uint8_t message[ENR_PROOF_MAX];
		size_t n;

		for (int k = 0; k < ENR_OBJECTS; k++)
			copy_digest(p.objects[k], vector_field(v, object_names[k]));
		copy_digest(p.root, vector_field(v, "root"));
		n = enr_proof_message(message, &p);
		CHECK(n == want->len && memcmp(message, want->data, n) == 0, "%s: other bytes", v->name);
	}
	vectors_free(&all);
}

void test_tls_sign(void)
{
	struct vectors all = vectors_read("tls.txt"), commit = vectors_read("commit.txt");
	static struct board b;

	board_set_state(&b, &commit, ENR_INSTALLED);
	for (size_t i = 0; i < all.count; i++) {
		const struct vector *v = &all.list[i];
		int rc = board_bytes(&b, 7, "tbs", bytes_of(vector_need(v, "tbs")));

		CHECK(rc == vector_byte(v, "rc"), "%s: rc %d", v->name, rc);
	}
	vectors_free(&all);
	vectors_free(&commit);
}

enum { VERIFY_MAX = 4 };

// Cuts the vector's verify list at its commas. Returns whether this backend can
// check all of it; names that it cannot are left out.
static bool verify_list(char *text, const char *list[VERIFY_MAX + 1])
{
	bool all = true;
	int n = 0;

	for (char *name = strtok(text, ","); name != NULL; name = strtok(NULL, ",")) {
		unsigned i = 0;

		while (enr_crypto_verifies(i) != NULL && strcmp(enr_crypto_verifies(i), name) != 0)
			i++;
		if (enr_crypto_verifies(i) == NULL)
			all = false;
		else if (n < VERIFY_MAX)
			list[n++] = name;
	}
	list[n] = NULL;
	return all;
}

static const struct vector_field *suffixed(const struct vector *v, const char *object, const char *suffix)
{
	char key[32] = {0};

	strcat(strcat(key, object), suffix);
	return vector_field(v, key);
}

// Puts what the vector puts: an object, or so many bytes of it.
static void stage(struct board *b, const struct vector *v, const char *object)
{
	const struct vector_field *data = vector_field(v, object), *put = suffixed(v, object, "_put");
	const struct vector_field *named = suffixed(v, object, "_sha");
	uint8_t sha[32];
	size_t n, off = 0;

	if (data == NULL)
		return;
	n = put == NULL ? data->len : (size_t)(put->data[0] << 8 | put->data[1]);
	sha256((struct enr_bytes){data->data, data->len}, sha);
	if (named != NULL)
		memcpy(sha, named->data, sizeof sha);
	do {
		struct enr_bytes part = {data->data + off, n - off < 400 ? n - off : 400};
		int rc = board_put_chunk(b, object, off, part, data->len, sha);

		CHECK(rc == 0, "%s: put %s at %zu: rc %d", v->name, object, off, rc);
		off += part.len;
	} while (off < n);
}

static const uint8_t *named(const struct vector *v, const char *object)
{
	const struct vector_field *sha = suffixed(v, object, "_sha");

	return sha == NULL ? NULL : sha->data;
}

static void check_commit(const struct vector *v)
{
	static struct board b;
	const char *verify[VERIFY_MAX + 1];
	bool can = verify_list((char *)vector_need(v, "verify_text")->data, verify);
	const struct vector_field *obj = vector_field(v, "obj_text");
	// What only another backend can check, this one must refuse by its code.
	int want = can ? vector_byte(v, "rc") : ENR_ALGORITHM, rc;
	struct enr_spki spki;

	board_init(&b);
	b.config.verify = verify;
	b.config.root = bytes_of(vector_field(v, "root"));
	board_boot(&b);
	board_set_key(&b, vector_need(v, "d")->data, &spki);
	for (int k = 0; k < ENR_OBJECTS; k++)
		stage(&b, v, object_names[k]);
	rc = board_commit(&b, named(v, "chain"), named(v, "anchors"), named(v, "rework"));
	CHECK(rc == want, "%s: rc %d, want %d", v->name, rc, want);
	CHECK(b.agent.store.record.state == (rc == 0 ? ENR_INSTALLED : ENR_KEYED), "%s: state", v->name);
	if (obj != NULL) {
		const struct enr_field field = {"obj", ENR_TEXT, true, 0, 16};
		struct enr_value value;

		board_answer(&b, &field, 1, &value);
		CHECK(value.len == obj->len && memcmp(value.data, obj->data, obj->len) == 0, "%s: obj", v->name);
	}
	if (rc == ENR_DIGEST)
		CHECK(board_commit(&b, named(v, "chain"), NULL, NULL) == ENR_WRONG_STATE, "%s: still staged", v->name);
}

void test_commit(void)
{
	struct vectors all = vectors_read("commit.txt");

	for (size_t i = 0; i < all.count; i++)
		check_commit(&all.list[i]);
	vectors_free(&all);
}

// Brings a board with the vector's key to state locked with the vector's rework
// object: by its storage, since the vector has no chain.
static void lock_with(struct board *b, const struct vector *v)
{
	static const uint8_t chain[] = "any chain";
	struct enr_bytes rework = bytes_of(vector_field(v, "rework"));
	struct enr_source sources[ENR_PARTS];
	struct enr_record record;
	struct enr_spki spki;

	board_set_key(b, vector_need(v, "d")->data, &spki);
	for (int i = 0; i < ENR_PARTS; i++)
		sources[i] = (struct enr_source){.keep = true};
	sources[ENR_PART_CHAIN] = (struct enr_source){.data = chain, .len = sizeof chain};
	sources[ENR_PART_REWORK] = (struct enr_source){.data = rework.data, .len = (uint32_t)rework.len};
	record = b->agent.store.record;
	record.state = ENR_LOCKED_STATE;
	CHECK(enr_store_save(&b->agent.store, &record, sources) == ENR_OK, "%s: not stored", v->name);
}

static void check_rework(const struct vector *v)
{
	static struct board b;
	const struct vector_field *message = vector_need(v, "message"), *uid = vector_need(v, "uid");
	uint8_t made[ENR_REWORK_MAX], key = vector_byte(v, "key"), want = vector_byte(v, "rc");
	struct enr_bytes sig = bytes_of(vector_need(v, "sig"));
	size_t n = enr_rework_message(made, vector_need(v, "nonce")->data, vector_need(v, "spki")->data, bytes_of(uid));
	int rc;

	CHECK(n == message->len && memcmp(made, message->data, n) == 0, "%s: other message", v->name);
	board_init(&b);
	b.config.uid = bytes_of(uid);
	board_boot(&b);
	lock_with(&b, v);
	CHECK(board_rework(&b, key, sig) == ENR_NOT_AUTHORISED, "%s: without a challenge", v->name);
	memcpy(b.agent.nonce, vector_need(v, "nonce")->data, sizeof b.agent.nonce);
	b.agent.challenged = true;
	rc = board_rework(&b, key, sig);
	CHECK(rc == want, "%s: rc %d, want %d", v->name, rc, want);
	CHECK(b.agent.store.record.state == (rc == 0 ? ENR_BLANK : ENR_LOCKED_STATE), "%s: state", v->name);
	if (rc != 0)
		return;
	CHECK(board_rework(&b, 1 - key, sig) == 0, "%s: a repeat compares only sig", v->name);
	CHECK(board_rework(&b, key, (struct enr_bytes){sig.data, sig.len - 1}) == ENR_WRONG_STATE, "%s: no repeat", v->name);
	CHECK(board_rework(&b, key, (struct enr_bytes){message->data, sig.len}) == ENR_WRONG_STATE, "%s: no repeat", v->name);
	CHECK(!b.agent.challenged, "%s: the nonce is still good", v->name);
	board_boot(&b);
	CHECK(board_rework(&b, key, sig) == ENR_WRONG_STATE, "%s: kept over a reset", v->name);
}

void test_rework(void)
{
	struct vectors all = vectors_read("rework.txt");

	for (size_t i = 0; i < all.count; i++)
		check_rework(&all.list[i]);
	vectors_free(&all);
}
