// SPDX-License-Identifier: Apache-2.0
// Group 0 of MCUmgr: echo, reset, parameters, info.
#include "command.h"

#include <string.h>

enum { ECHO = 0, RESET = 5, PARAMETERS = 6, INFO = 7 };
enum { MGMT_INVALID = 3 };
enum { OS_GROUP = 0, OS_INVALID_FORMAT = 2 }; // as in MCUmgr

enum { FORMAT_MAX = 8 };

static const struct enr_field echo_field = {"d", ENR_TEXT, true, 0, ENR_CBOR_TEXT};
static const struct enr_field info_field = {"format", ENR_TEXT, false, 0, FORMAT_MAX};

static void put_echo(struct enr_writer *w, const struct enr_value *d)
{
	enr_put_map(w, 1);
	enr_put_text(w, "r");
	enr_put_text_n(w, d->data, d->len);
}

static void put_parameters(const struct enr_agent *a, struct enr_writer *w)
{
	enr_put_map(w, 2);
	enr_entry_uint(w, "buf_size", a->cfg->buffer);
	enr_entry_uint(w, "buf_count", 1);
}

// The text for one letter of a format as in uname(1), NULL for a letter that
// this board has no answer to.
static const char *os_text(const struct enr_config *cfg, uint8_t letter)
{
	switch (letter) {
	case 's':
		return "station-enroll";
	case 'r':
	case 'v':
		return cfg->fw;
	case 'm':
	case 'i':
		return cfg->hw;
	case 'n':
		return cfg->model;
	default:
		return NULL;
	}
}

static void put_invalid_format(struct enr_writer *w)
{
	enr_put_map(w, 1);
	enr_put_error(w, OS_GROUP, OS_INVALID_FORMAT);
}

static void put_info(const struct enr_agent *a, struct enr_writer *w, const struct enr_value *format)
{
	static const uint8_t by_default[] = {'s'};
	const uint8_t *letters = format->len > 0 ? format->data : by_default;
	size_t count = format->len > 0 ? format->len : 1, used = 0;
	uint8_t text[FORMAT_MAX * (ENR_NAME_MAX + 1)];

	for (size_t i = 0; i < count; i++) {
		const char *part = os_text(a->cfg, letters[i]);

		if (part == NULL) {
			put_invalid_format(w);
			return;
		}
		if (i > 0)
			text[used++] = ' ';
		memcpy(text + used, part, strlen(part));
		used += strlen(part);
	}
	enr_put_map(w, 1);
	enr_put_text(w, "output");
	enr_put_text_n(w, text, used);
}

// MCUmgr takes an echo as a read and as a write.
static bool known(const struct enr_message *m)
{
	switch (m->cmd) {
	case ECHO:
		return true;
	case RESET:
		return m->op == ENR_WRITE;
	default:
		return (m->cmd == PARAMETERS || m->cmd == INFO) && m->op == ENR_READ;
	}
}

bool enr_os_command(struct enr_agent *a, const struct enr_message *m, struct enr_writer *w, bool *reset)
{
	const struct enr_field *field = m->cmd == ECHO ? &echo_field : &info_field;
	size_t count = m->cmd == ECHO || m->cmd == INFO;
	struct enr_value v;

	if (!known(m))
		return false;
	if (!enr_cbor_read(m->payload, m->len, field, count, &v)) {
		enr_put_plain(w, MGMT_INVALID);
		return true;
	}
	*reset = m->cmd == RESET;
	if (m->cmd == ECHO)
		put_echo(w, &v);
	else if (m->cmd == PARAMETERS)
		put_parameters(a, w);
	else if (m->cmd == INFO)
		put_info(a, w, &v);
	else
		enr_put_map(w, 0);
	return true;
}
