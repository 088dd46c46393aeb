// SPDX-License-Identifier: Apache-2.0
#include "agent.h"

#include "command.h"

#include <string.h>

enum { VERSION = 1 };
enum { OS_GROUP = 0 };
// Transport errors of MCUmgr, answered as plain {"rc": N}.
enum { MGMT_NO_MEMORY = 2, MGMT_NOT_SUPPORTED = 8, MGMT_TOO_OLD = 12, MGMT_TOO_NEW = 13 };

static enum enr_rc check_config(const struct enr_config *cfg)
{
	if (cfg->buffer < ENR_BUFFER_MIN || cfg->max < 2048 || cfg->prot > 15)
		return ENR_MALFORMED;
	if (cfg->uid.len < 1 || cfg->uid.len > 32 || cfg->port->copy_size < ENR_STORE_SIZE(cfg->max))
		return ENR_MALFORMED;
	if (strlen(cfg->model) > ENR_NAME_MAX || strlen(cfg->hw) > ENR_NAME_MAX || strlen(cfg->fw) > ENR_NAME_MAX)
		return ENR_MALFORMED;
	return ENR_OK;
}

enum enr_rc enr_agent_init(struct enr_agent *a, const struct enr_config *cfg)
{
	enum enr_rc rc = check_config(cfg);

	memset(a, 0, sizeof *a);
	a->cfg = cfg;
	a->rx.buf = cfg->rx;
	a->rx.cap = cfg->buffer;
	if (rc == ENR_OK)
		rc = enr_crypto_init();
	if (rc == ENR_OK)
		rc = enr_store_boot(&a->store, cfg->port);
	if (rc == ENR_OK)
		rc = enr_random(a->boot, sizeof a->boot);
	return rc;
}

void enr_put_plain(struct enr_writer *w, unsigned rc)
{
	w->len = 0;
	w->over = false;
	enr_put_map(w, 1);
	enr_entry_uint(w, "rc", rc);
}

void enr_put_error(struct enr_writer *w, unsigned group, unsigned rc)
{
	enr_put_text(w, "err");
	enr_put_map(w, 2);
	enr_entry_uint(w, "group", group);
	enr_entry_uint(w, "rc", rc);
}

static void put_error(const struct enr_call *c, uint16_t group, enum enr_rc rc)
{
	struct enr_writer *w = c->w;

	w->len = 0;
	w->over = false;
	enr_put_map(w, 1u + (c->obj != NULL) + c->has_off);
	enr_put_error(w, group, rc);
	if (c->obj != NULL) {
		enr_entry_text(w, "obj", c->obj);
	}
	if (c->has_off) {
		enr_entry_uint(w, "off", c->off);
	}
}

enum enr_rc enr_check_state(const struct enr_agent *a, unsigned states)
{
	uint8_t state = a->store.record.state;

	if (states >> state & 1)
		return ENR_OK;
	return state == ENR_LOCKED_STATE ? ENR_LOCKED : ENR_WRONG_STATE;
}

// Runs a command of group 64: shape, then state, then content.
static enum enr_rc run(const struct enr_command *cmd, struct enr_call *c, const struct enr_message *m)
{
	enum enr_rc rc;

	if (!enr_cbor_read(m->payload, m->len, cmd->fields, cmd->field_count, c->v))
		return ENR_MALFORMED;
	rc = enr_check_state(c->a, cmd->states);
	return rc == ENR_OK ? cmd->run(c) : rc;
}

static void enroll(struct enr_agent *a, const struct enr_message *m, struct enr_writer *w)
{
	struct enr_call c = {.a = a, .w = w};
	const struct enr_command *cmd = enr_commands;
	enum enr_rc rc;

	while (cmd->run != NULL && cmd->id != m->cmd)
		cmd++;
	if (cmd->run == NULL || cmd->write != (m->op == ENR_WRITE)) {
		enr_put_plain(w, MGMT_NOT_SUPPORTED);
		return;
	}
	rc = run(cmd, &c, m);
	if (rc != ENR_OK)
		put_error(&c, m->group, rc);
}

static void other_group(struct enr_agent *a, const struct enr_message *m, struct enr_writer *w)
{
	const struct enr_config *cfg = a->cfg;
	bool readable_by_image = a->store.record.state == ENR_LOCKED_STATE && !(cfg->prot & 1);
	int n = -1;

	if (cfg->other != NULL && !readable_by_image)
		n = cfg->other(cfg->other_ctx, m, w->buf, w->cap);
	if (n < 0)
		enr_put_plain(w, MGMT_NOT_SUPPORTED);
	else
		w->len = (size_t)n;
}

static bool dispatch(struct enr_agent *a, const struct enr_message *m, struct enr_writer *w)
{
	uint16_t group = a->cfg->group ? a->cfg->group : ENR_GROUP;
	bool reset = false;

	if (m->version != VERSION)
		enr_put_plain(w, m->version < VERSION ? MGMT_TOO_OLD : MGMT_TOO_NEW);
	else if (m->group == group)
		enroll(a, m, w);
	else if (m->group != OS_GROUP)
		other_group(a, m, w);
	else if (!enr_os_command(a, m, w, &reset))
		enr_put_plain(w, MGMT_NOT_SUPPORTED);
	if (w->over)
		enr_put_plain(w, MGMT_NO_MEMORY);
	return reset;
}

// Answers a message; reset tells whether the board is to reboot afterwards.
static size_t answer(struct enr_agent *a, const uint8_t *message, size_t n, uint8_t *out, size_t cap, bool *reset)
{
	struct enr_writer w = {.buf = out + ENR_SMP_HEADER, .cap = cap - ENR_SMP_HEADER};
	struct enr_message m;

	*reset = false;
	// Answers come back from a console that echoes: they get no answer.
	if (!enr_smp_parse(&m, message, n) || (m.op != ENR_READ && m.op != ENR_WRITE))
		return 0;
	*reset = dispatch(a, &m, &w);
	m.op++;
	if (m.version > VERSION)
		m.version = VERSION;
	m.len = w.len;
	enr_smp_header(out, &m);
	return ENR_SMP_HEADER + w.len;
}

size_t enr_agent_message(struct enr_agent *a, const uint8_t *message, size_t n, uint8_t *out, size_t cap)
{
	bool reset;
	size_t len = answer(a, message, n, out, cap, &reset);

	if (reset)
		a->cfg->port->reset(a->cfg->port->ctx);
	return len;
}

void enr_agent_rx(struct enr_agent *a, uint8_t byte)
{
	const struct enr_config *cfg = a->cfg;
	size_t n = enr_smp_rx(&a->rx, byte);
	bool reset;

	if (n == 0)
		return;
	n = answer(a, cfg->rx + ENR_SMP_PREFIX, n, cfg->tx + ENR_SMP_PREFIX, cfg->buffer - ENR_SMP_EXTRA, &reset);
	if (n > 0)
		enr_smp_send(cfg->port, cfg->tx, n);
	if (reset)
		cfg->port->reset(cfg->port->ctx);
}
