// SPDX-License-Identifier: Apache-2.0
// Group 64 (protocol, section 2): the table of its commands, info and keygen.
// The others are in request.c, objects.c, commit.c, prove.c and lock.c.
#include "command.h"

#include <string.h>

static const struct enr_field keygen_fields[] = {
	[KEYGEN_ALG] = {"alg", ENR_TEXT, true, 0, ENR_CBOR_TEXT},
	[KEYGEN_TOKEN] = {"token", ENR_BYTES, true, 32, 32},
	[KEYGEN_REPLACE] = {"replace", ENR_BOOL, false, 0, 1},
};
static const struct enr_field csr_fields[] = {
	[CSR_CN] = {"cn", ENR_TEXT, true, 1, 64},
	[CSR_SN] = {"sn", ENR_PRINTABLE, false, 1, 64},
	[CSR_NONCE] = {"nonce", ENR_BYTES, true, 32, 32},
};
static const struct enr_field get_fields[] = {
	[GET_OBJ] = {"obj", ENR_TEXT, true, 0, ENR_CBOR_TEXT},
	[GET_OFF] = {"off", ENR_UINT, true, 0, ENR_ANY},
};
static const struct enr_field put_fields[] = {
	[PUT_OBJ] = {"obj", ENR_TEXT, true, 0, ENR_CBOR_TEXT},
	[PUT_OFF] = {"off", ENR_UINT, true, 0, ENR_ANY},
	[PUT_DATA] = {"data", ENR_BYTES, true, 0, ENR_ANY},
	[PUT_LEN] = {"len", ENR_UINT, false, 0, ENR_ANY},
	[PUT_SHA] = {"sha", ENR_BYTES, false, ENR_SHA256, ENR_SHA256},
};
static const struct enr_field commit_fields[] = {
	[COMMIT_CHAIN] = {"chain", ENR_BYTES, true, ENR_SHA256, ENR_SHA256},
	[COMMIT_ANCHORS] = {"anchors", ENR_BYTES, false, ENR_SHA256, ENR_SHA256},
	[COMMIT_REWORK] = {"rework", ENR_BYTES, false, ENR_SHA256, ENR_SHA256},
};
static const struct enr_field prove_fields[] = {{"nonce", ENR_BYTES, true, 32, 32}};
static const struct enr_field tls_sign_fields[] = {{"tbs", ENR_BYTES, true, 0, ENR_ANY}};
static const struct enr_field lock_fields[] = {{"chain", ENR_BYTES, true, ENR_SHA256, ENR_SHA256}};
static const struct enr_field rework_fields[] = {
	[REWORK_KEY] = {"key", ENR_UINT, true, 0, 1},
	[REWORK_SIG] = {"sig", ENR_BYTES, true, 0, ENR_ANY},
};

#define FIELDS(f) sizeof(f) / sizeof *(f), f

const struct enr_command enr_commands[] = {
	{0, false, ENR_IN_ANY, 0, NULL, enr_cmd_info},
	{1, true, ENR_IN_BLANK | ENR_IN_KEYED | ENR_IN_INSTALLED, FIELDS(keygen_fields), enr_cmd_keygen},
	{2, true, ENR_IN_KEYED, FIELDS(csr_fields), enr_cmd_csr},
	{3, false, ENR_IN_ANY, FIELDS(get_fields), enr_cmd_get},
	{4, true, ENR_IN_ANY, FIELDS(put_fields), enr_cmd_put},
	{5, true, ENR_IN_KEYED | ENR_IN_INSTALLED, FIELDS(commit_fields), enr_cmd_commit},
	{6, true, ENR_IN_INSTALLED | ENR_IN_LOCKED, FIELDS(prove_fields), enr_cmd_prove},
	{7, true, ENR_IN_INSTALLED, FIELDS(tls_sign_fields), enr_cmd_tls_sign},
	{8, true, ENR_IN_INSTALLED | ENR_IN_LOCKED, FIELDS(lock_fields), enr_cmd_lock},
	{9, false, ENR_IN_LOCKED, 0, NULL, enr_cmd_challenge},
	{10, true, ENR_IN_BLANK | ENR_IN_LOCKED, FIELDS(rework_fields), enr_cmd_rework},
	{0, false, 0, 0, NULL, NULL},
};

enum enr_rc enr_sha256(struct enr_bytes data, uint8_t out[ENR_SHA256])
{
	struct enr_hash h;
	enum enr_rc rc = enr_hash_start(&h);

	if (rc == ENR_OK)
		rc = enr_hash_update(&h, data.data, data.len);
	if (rc == ENR_OK)
		return enr_hash_finish(&h, out);
	enr_hash_abort(&h);
	return rc;
}

const struct enr_alg *enr_own_alg(const struct enr_agent *a)
{
	for (unsigned i = 0; enr_crypto_alg(i) != NULL; i++) {
		if (enr_crypto_alg(i)->id == a->store.record.alg)
			return enr_crypto_alg(i);
	}
	return NULL;
}

enum enr_rc enr_own_spki(const struct enr_agent *a, struct enr_spki *spki)
{
	spki->len = a->store.record.len[ENR_PART_SPKI];
	return enr_store_read(&a->store, ENR_PART_SPKI, 0, spki->data, spki->len);
}

enum enr_rc enr_sign(const struct enr_agent *a, struct enr_bytes message, struct enr_sig *sig)
{
	const struct enr_alg *alg = enr_own_alg(a);
	struct enr_key key = {.len = a->store.record.len[ENR_PART_KEY]};
	enum enr_rc rc = enr_store_read(&a->store, ENR_PART_KEY, 0, key.data, key.len);

	// A key of another firmware's algorithm cannot be used: as good as lost.
	if (alg == NULL)
		rc = ENR_STORAGE;
	if (rc == ENR_OK)
		rc = enr_key_sign(alg, &key, message, sig);
	enr_wipe(&key, sizeof key);
	return rc;
}

static void put_names(struct enr_writer *w, const struct enr_agent *a)
{
	unsigned algs = 0, verifies = 0;

	while (enr_crypto_alg(algs) != NULL)
		algs++;
	while (enr_verifies(a, verifies) != NULL)
		verifies++;
	enr_put_text(w, "algs");
	enr_put_array(w, algs);
	for (unsigned i = 0; i < algs; i++)
		enr_put_text(w, enr_crypto_alg(i)->name);
	enr_put_text(w, "verify");
	enr_put_array(w, verifies);
	for (unsigned i = 0; i < verifies; i++)
		enr_put_text(w, enr_verifies(a, i));
}

static void put_board(struct enr_writer *w, const struct enr_agent *a)
{
	const struct enr_config *cfg = a->cfg;

	enr_entry_text(w, "agent", "station-enroll");
	enr_entry_uint(w, "proto", 1);
	enr_entry_text(w, "model", cfg->model);
	enr_entry_text(w, "hw", cfg->hw);
	enr_entry_bytes(w, "uid", cfg->uid.data, cfg->uid.len);
	enr_entry_text(w, "fw", cfg->fw);
	enr_entry_uint(w, "state", a->store.record.state);
	enr_entry_uint(w, "chunk", enr_chunk(a));
	enr_entry_uint(w, "max", cfg->max);
	enr_entry_bytes(w, "boot", a->boot, sizeof a->boot);
	enr_entry_uint(w, "prot", cfg->prot);
}

static enum enr_rc put_digest(struct enr_writer *w, const struct enr_agent *a, const char *name, enum enr_part part)
{
	uint8_t digest[ENR_SHA256];
	enum enr_rc rc;

	if (a->store.record.len[part] == 0)
		return ENR_OK;
	rc = enr_store_digest(&a->store, part, digest);
	enr_entry_bytes(w, name, digest, sizeof digest);
	return rc;
}

enum { INFO_FIXED = 13 };

enum enr_rc enr_cmd_info(struct enr_call *c)
{
	struct enr_agent *a = c->a;
	const struct enr_alg *alg = enr_own_alg(a);
	bool pinned = a->cfg->root.data != NULL;
	unsigned entries = INFO_FIXED + (unsigned)(alg != NULL) + pinned;
	enum enr_rc rc;

	for (int part = ENR_PART_SPKI; part < ENR_PARTS; part++)
		entries += a->store.record.len[part] > 0;
	enr_put_map(c->w, entries);
	put_board(c->w, a);
	put_names(c->w, a);
	if (alg != NULL) {
		enr_entry_text(c->w, "alg", alg->name);
	}
	rc = put_digest(c->w, a, "spki", ENR_PART_SPKI);
	for (int i = 0; rc == ENR_OK && i < ENR_OBJECTS; i++)
		rc = put_digest(c->w, a, enr_object_names[i], (enum enr_part)(ENR_PART_CHAIN + i));
	if (rc == ENR_OK && pinned) {
		uint8_t root[ENR_SHA256];

		rc = enr_sha256(a->cfg->root, root);
		enr_entry_bytes(c->w, "root", root, sizeof root);
	}
	return rc;
}

static const struct enr_alg *alg_named(const struct enr_value *name)
{
	const struct enr_alg *alg;

	for (unsigned i = 0; (alg = enr_crypto_alg(i)) != NULL; i++) {
		if (strlen(alg->name) == name->len && memcmp(alg->name, name->data, name->len) == 0)
			return alg;
	}
	return NULL;
}

// Makes and stores a key; what belonged to the old one goes with it.
static enum enr_rc make_key(struct enr_agent *a, const struct enr_alg *alg, const uint8_t token[32])
{
	struct enr_record next = {.state = ENR_KEYED, .alg = alg->id};
	struct enr_source sources[ENR_PARTS] = {{0}};
	struct enr_key key;
	struct enr_spki spki;
	enum enr_rc rc = enr_key_generate(alg, &key, &spki);

	if (rc != ENR_OK)
		return rc;
	enr_drop_csr(a);
	enr_drop_staging(a);
	memcpy(next.token, token, sizeof next.token);
	sources[ENR_PART_KEY] = (struct enr_source){.data = key.data, .len = (uint32_t)key.len};
	sources[ENR_PART_SPKI] = (struct enr_source){.data = spki.data, .len = (uint32_t)spki.len};
	rc = enr_store_save(&a->store, &next, sources);
	enr_wipe(&key, sizeof key);
	return rc;
}

enum enr_rc enr_cmd_keygen(struct enr_call *c)
{
	const struct enr_record *r = &c->a->store.record;
	const struct enr_alg *alg = alg_named(&c->v[KEYGEN_ALG]);
	const uint8_t *token = c->v[KEYGEN_TOKEN].data;
	bool replace = c->v[KEYGEN_REPLACE].num != 0;
	bool keyed = r->state != ENR_BLANK;
	bool make, ours = keyed && memcmp(r->token, token, sizeof r->token) == 0;
	uint8_t spki[ENR_SHA256];
	enum enr_rc rc = ENR_OK;

	if (r->state == ENR_INSTALLED && !replace)
		return ENR_WRONG_STATE;
	// A repeat after a lost answer must not cost a second key: replace counts
	// only with another token.
	make = !keyed || (replace && !ours);
	if (alg == NULL || (!make && alg->id != r->alg))
		return ENR_ALGORITHM;
	if (make) {
		rc = make_key(c->a, alg, token);
		ours = true;
	}
	if (rc == ENR_OK)
		rc = enr_store_digest(&c->a->store, ENR_PART_SPKI, spki);
	enr_put_map(c->w, 2);
	enr_entry_bytes(c->w, "spki", spki, sizeof spki);
	enr_put_text(c->w, "new");
	enr_put_bool(c->w, ours);
	return rc;
}
