// SPDX-License-Identifier: Apache-2.0
// lock, and its only way back: challenge and rework.
#include "command.h"
#include "message.h"

#include <string.h>

static const struct enr_source keep = {.keep = true};

static enum enr_rc save_locked(struct enr_agent *a)
{
	struct enr_source sources[ENR_PARTS];
	struct enr_record next = a->store.record;

	for (int i = 0; i < ENR_PARTS; i++)
		sources[i] = keep;
	next.state = ENR_LOCKED_STATE;
	return enr_store_save(&a->store, &next, sources);
}

static void put_state(struct enr_call *c)
{
	enr_put_map(c->w, 1);
	enr_entry_uint(c->w, "state", c->a->store.record.state);
}

enum enr_rc enr_cmd_lock(struct enr_call *c)
{
	uint8_t chain[ENR_SHA256];
	enum enr_rc rc = enr_store_digest(&c->a->store, ENR_PART_CHAIN, chain);

	if (rc == ENR_OK && memcmp(chain, c->v[0].data, sizeof chain) != 0)
		rc = ENR_DIGEST;
	if (rc == ENR_OK && c->a->store.record.state != ENR_LOCKED_STATE)
		rc = save_locked(c->a);
	put_state(c);
	return rc;
}

enum enr_rc enr_cmd_challenge(struct enr_call *c)
{
	struct enr_agent *a = c->a;

	if (!a->challenged) {
		enum enr_rc rc = enr_random(a->nonce, sizeof a->nonce);

		if (rc != ENR_OK)
			return rc;
		a->challenged = true;
	}
	enr_put_map(c->w, 1);
	enr_entry_bytes(c->w, "nonce", a->nonce, sizeof a->nonce);
	return ENR_OK;
}

// Verifies the signature of a rework under the stored key of that number.
static enum enr_rc authorise(const struct enr_agent *a, uint64_t number, struct enr_bytes sig)
{
	uint8_t key[ENR_SPKI_P256], spki[ENR_SHA256], message[ENR_REWORK_MAX];
	uint32_t at = (uint32_t)number * ENR_SPKI_P256;
	enum enr_rc rc;
	size_t n;

	if (!a->challenged || at + ENR_SPKI_P256 > a->store.record.len[ENR_PART_REWORK])
		return ENR_NOT_AUTHORISED;
	rc = enr_store_read(&a->store, ENR_PART_REWORK, at, key, sizeof key);
	if (rc == ENR_OK)
		rc = enr_store_digest(&a->store, ENR_PART_SPKI, spki);
	if (rc != ENR_OK)
		return rc;
	n = enr_rework_message(message, a->nonce, spki, a->cfg->uid);
	return enr_p256_verify(key, (struct enr_bytes){message, n}, sig);
}

// Erases key, token and objects, and remembers by which signature: its answer
// may get lost.
static enum enr_rc unlock(struct enr_agent *a, struct enr_bytes sig)
{
	static const struct enr_record blank = {.state = ENR_BLANK};
	static const struct enr_source nothing[ENR_PARTS];
	enum enr_rc rc = enr_store_save(&a->store, &blank, nothing);

	if (a->store.record.state == ENR_BLANK) {
		a->challenged = false;
		memcpy(a->rework_sig.data, sig.data, sig.len);
		a->rework_sig.len = sig.len;
	}
	return rc;
}

enum enr_rc enr_cmd_rework(struct enr_call *c)
{
	struct enr_agent *a = c->a;
	struct enr_bytes sig = {c->v[REWORK_SIG].data, c->v[REWORK_SIG].len};
	enum enr_rc rc;

	if (a->store.record.state == ENR_BLANK) {
		bool repeat = sig.len > 0 && sig.len == a->rework_sig.len &&
			      memcmp(sig.data, a->rework_sig.data, sig.len) == 0;

		put_state(c);
		return repeat ? ENR_OK : ENR_WRONG_STATE;
	}
	if (sig.len > sizeof a->rework_sig.data)
		return ENR_NOT_AUTHORISED;
	rc = authorise(a, c->v[REWORK_KEY].num, sig);
	if (rc == ENR_OK)
		rc = unlock(a, sig);
	put_state(c);
	return rc;
}
