// SPDX-License-Identifier: Apache-2.0
// commit: checks the objects named, in the order of the protocol, and stores
// them all at once.
#include "command.h"

#include <string.h>

enum { CHAIN, ANCHORS, REWORK };
enum { ANCHORS_MAX = 255 };

// Where a named object comes from.
enum origin { NOT_NAMED, STORED, STAGED };

struct plan {
	enum origin origin[ENR_OBJECTS];
	bool changes; // something is not stored yet
};

static enum enr_rc find(const struct enr_call *c, struct plan *p)
{
	const struct enr_agent *a = c->a;

	memset(p, 0, sizeof *p);
	for (int i = 0; i < ENR_OBJECTS; i++) {
		uint8_t stored[ENR_SHA256];
		enum enr_part part = (enum enr_part)(ENR_PART_CHAIN + i);
		enum enr_rc rc = enr_store_digest(&a->store, part, stored);

		if (rc != ENR_OK)
			return rc;
		if (!c->v[i].present)
			continue;
		if (a->store.record.len[part] > 0 && memcmp(stored, c->v[i].data, sizeof stored) == 0)
			p->origin[i] = STORED;
		else if (a->staged[i].active)
			p->origin[i] = STAGED;
		else
			return ENR_WRONG_STATE;
		p->changes = p->changes || p->origin[i] == STAGED;
	}
	return ENR_OK;
}

static struct enr_bytes staged_bytes(const struct enr_agent *a, int object)
{
	return (struct enr_bytes){enr_staging(a, object), a->staged[object].got};
}

static enum enr_rc check_complete(struct enr_call *c, const struct plan *p)
{
	for (int i = 0; i < ENR_OBJECTS; i++) {
		const struct enr_staged *s = &c->a->staged[i];

		if (p->origin[i] == STAGED && s->got < s->len) {
			c->obj = enr_object_names[i];
			c->has_off = true;
			c->off = s->got;
			return ENR_OFFSET;
		}
	}
	return ENR_OK;
}

static enum enr_rc check_digests(struct enr_call *c, const struct plan *p)
{
	for (int i = 0; i < ENR_OBJECTS; i++) {
		uint8_t sha[ENR_SHA256];
		enum enr_rc rc;

		if (p->origin[i] != STAGED)
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

// Parses what is staged. What is stored was parsed when it was stored.
static enum enr_rc check_parse(const struct enr_agent *a, const struct plan *p)
{
	enum enr_rc rc = ENR_OK;

	if (p->origin[CHAIN] == STAGED)
		rc = enr_certs_parse(staged_bytes(a, CHAIN), ENR_CHAIN_MAX);
	if (rc == ENR_OK && p->origin[ANCHORS] == STAGED)
		rc = enr_certs_parse(staged_bytes(a, ANCHORS), ANCHORS_MAX);
	if (rc == ENR_OK && p->origin[REWORK] == STAGED)
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

static enum enr_rc store(struct enr_agent *a, const struct plan *p)
{
	struct enr_source sources[ENR_PARTS];
	struct enr_record next = a->store.record;

	for (int i = 0; i < ENR_PARTS; i++)
		sources[i] = (struct enr_source){.keep = true};
	for (int i = 0; i < ENR_OBJECTS; i++) {
		struct enr_bytes b = staged_bytes(a, i);

		if (p->origin[i] == STAGED)
			sources[ENR_PART_CHAIN + i] = (struct enr_source){.data = b.data, .len = (uint32_t)b.len};
	}
	next.state = ENR_INSTALLED;
	return enr_store_save(&a->store, &next, sources);
}

enum enr_rc enr_cmd_commit(struct enr_call *c)
{
	struct plan p;
	enum enr_rc rc = find(c, &p);

	if (rc == ENR_OK && p.changes) {
		rc = check_complete(c, &p);
		if (rc == ENR_OK)
			rc = check_digests(c, &p);
		if (rc == ENR_OK)
			rc = check_parse(c->a, &p);
		if (rc == ENR_OK && p.origin[CHAIN] == STAGED)
			rc = check_chain(c->a);
		if (rc == ENR_OK)
			rc = store(c->a, &p);
		if (rc == ENR_OK) {
			enr_drop_staging(c->a);
			enr_drop_csr(c->a);
		}
	}
	enr_put_map(c->w, 1);
	enr_put_text(c->w, "state");
	enr_put_uint(c->w, ENR_INSTALLED);
	return rc;
}
