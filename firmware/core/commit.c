// SPDX-License-Identifier: Apache-2.0
// commit: checks the objects named, in the order of the protocol, and stores
// them all at once.
#include "command.h"

#include <string.h>

enum { CHAIN, ANCHORS, REWORK };
enum { ANCHORS_MAX = 255 };

// Copies a stored object to its staging, in place of what was there: commit
// checks it again with the new ones, for the firmware may pin another root now.
static enum enr_rc stage_stored(struct enr_agent *a, int object, const uint8_t sha[ENR_SHA256])
{
	enum enr_part part = (enum enr_part)(ENR_PART_CHAIN + object);
	struct enr_staged *s = &a->staged[object];
	uint32_t len = a->store.record.len[part];

	if (len > a->cfg->max)
		return ENR_STORAGE;
	s->active = true;
	s->len = s->got = len;
	memcpy(s->sha, sha, sizeof s->sha);
	return enr_store_read(&a->store, part, 0, enr_staging(a, object), len);
}

// Sees to it that every object named is staged. changes tells whether one of
// them is not stored yet.
static enum enr_rc gather(struct enr_call *c, bool *changes)
{
	struct enr_agent *a = c->a;
	bool stored[ENR_OBJECTS] = {false};
	enum enr_rc rc = ENR_OK;

	*changes = false;
	for (int i = 0; rc == ENR_OK && i < ENR_OBJECTS; i++) {
		uint8_t digest[ENR_SHA256];

		if (!c->v[i].present)
			continue;
		rc = enr_store_digest(&a->store, (enum enr_part)(ENR_PART_CHAIN + i), digest);
		stored[i] = a->store.record.len[ENR_PART_CHAIN + i] > 0 && memcmp(digest, c->v[i].data, sizeof digest) == 0;
		*changes = *changes || !stored[i];
		if (rc == ENR_OK && !stored[i] && !a->staged[i].active)
			rc = ENR_WRONG_STATE;
	}
	for (int i = 0; rc == ENR_OK && *changes && i < ENR_OBJECTS; i++) {
		if (stored[i])
			rc = stage_stored(a, i, c->v[i].data);
	}
	return rc;
}

static struct enr_bytes staged_bytes(const struct enr_agent *a, int object)
{
	return (struct enr_bytes){enr_staging(a, object), a->staged[object].got};
}

static enum enr_rc check_complete(struct enr_call *c)
{
	for (int i = 0; i < ENR_OBJECTS; i++) {
		const struct enr_staged *s = &c->a->staged[i];

		if (c->v[i].present && s->got < s->len) {
			c->obj = enr_object_names[i];
			c->has_off = true;
			c->off = s->got;
			return ENR_OFFSET;
		}
	}
	return ENR_OK;
}

static enum enr_rc check_digests(struct enr_call *c)
{
	for (int i = 0; i < ENR_OBJECTS; i++) {
		uint8_t sha[ENR_SHA256];
		enum enr_rc rc;

		if (!c->v[i].present)
			continue;
		rc = enr_sha256(staged_bytes(c->a, i), sha);
		if (rc != ENR_OK)
			return rc;
		if (memcmp(sha, c->v[i].data, sizeof sha) != 0) {
			c->obj = enr_object_names[i];
			enr_drop_staging(c->a);
			return ENR_DIGEST;
		}
	}
	return ENR_OK;
}

static enum enr_rc parse_rework(struct enr_bytes keys)
{
	enum enr_rc rc = ENR_OK;

	if (keys.len != ENR_SPKI_P256 && keys.len != 2 * ENR_SPKI_P256)
		return ENR_CHAIN;
	for (size_t at = 0; rc == ENR_OK && at < keys.len; at += ENR_SPKI_P256)
		rc = enr_p256_check(keys.data + at);
	return rc;
}

static enum enr_rc check_parse(const struct enr_call *c)
{
	const struct enr_agent *a = c->a;
	enum enr_rc rc = enr_certs_parse(staged_bytes(a, CHAIN), ENR_CHAIN_MAX);

	if (rc == ENR_OK && c->v[COMMIT_ANCHORS].present)
		rc = enr_certs_parse(staged_bytes(a, ANCHORS), ANCHORS_MAX);
	if (rc == ENR_OK && c->v[COMMIT_REWORK].present)
		rc = parse_rework(staged_bytes(a, REWORK));
	return rc;
}

const char *enr_verifies(const struct enr_agent *a, unsigned i)
{
	return a->cfg->verify != NULL ? a->cfg->verify[i] : enr_crypto_verifies(i);
}

static enum enr_rc check_chain(const struct enr_agent *a)
{
	struct enr_spki spki;
	enum enr_rc rc = enr_own_spki(a, &spki);

	if (rc != ENR_OK)
		return rc;
	return enr_chain_check(staged_bytes(a, CHAIN), (struct enr_bytes){spki.data, spki.len}, a->cfg->root,
			       a->cfg->verify);
}

static enum enr_rc check(struct enr_call *c)
{
	enum enr_rc rc = check_complete(c);

	if (rc == ENR_OK)
		rc = check_digests(c);
	if (rc == ENR_OK)
		rc = check_parse(c);
	return rc == ENR_OK ? check_chain(c->a) : rc;
}

// Stores the objects named; the others keep what they hold.
static enum enr_rc store(struct enr_call *c)
{
	struct enr_agent *a = c->a;
	struct enr_source sources[ENR_PARTS];
	struct enr_record next = a->store.record;
	enum enr_rc rc;

	for (int i = 0; i < ENR_PARTS; i++)
		sources[i] = (struct enr_source){.keep = true};
	for (int i = 0; i < ENR_OBJECTS; i++) {
		struct enr_bytes b = staged_bytes(a, i);

		if (c->v[i].present)
			sources[ENR_PART_CHAIN + i] = (struct enr_source){.data = b.data, .len = (uint32_t)b.len};
	}
	next.state = ENR_INSTALLED;
	rc = enr_store_save(&a->store, &next, sources);
	if (rc == ENR_OK) {
		enr_drop_staging(a);
		enr_drop_csr(a);
	}
	return rc;
}

enum enr_rc enr_cmd_commit(struct enr_call *c)
{
	bool changes;
	enum enr_rc rc = gather(c, &changes);

	if (rc == ENR_OK && changes) {
		rc = check(c);
		if (rc == ENR_OK)
			rc = store(c);
	}
	enr_put_map(c->w, 1);
	enr_entry_uint(c->w, "state", ENR_INSTALLED);
	return rc;
}
