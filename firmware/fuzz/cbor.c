// SPDX-License-Identifier: Apache-2.0
// The reader of payloads with the fields of every command. An input is a
// command and its payload.
#include "fuzz.h"

#include "../core/command.h"

#include <stdlib.h>

static void check_value(const struct enr_field *f, const struct enr_value *v, const uint8_t *data, size_t n)
{
	CHECK(v->present || !f->required, "%s is missing", f->name);
	if (!v->present)
		return;
	if (f->type == ENR_UINT || f->type == ENR_UINT32 || f->type == ENR_BOOL) {
		CHECK(v->num >= f->min && (f->max == ENR_ANY || v->num <= f->max), "%s is out of its range", f->name);
		CHECK(f->type != ENR_UINT32 || v->num <= UINT32_MAX, "%s has more than 32 bits", f->name);
		return;
	}
	CHECK(v->len >= f->min && (f->max == ENR_ANY || v->len <= f->max), "%s has %zu bytes", f->name, v->len);
	CHECK(v->data >= data && v->len <= n && (size_t)(v->data - data) <= n - v->len, "%s is not in the payload", f->name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct enr_command *cmd = enr_commands;
	struct enr_value v[ENR_FIELDS_MAX];
	struct input in = {data, n};
	uint8_t *payload, which = take8(&in);

	while (which-- > 0 && cmd[1].run != NULL)
		cmd++;
	payload = exact_copy((struct enr_bytes){in.p, in.n});
	if (enr_cbor_read(payload, in.n, cmd->fields, cmd->field_count, v)) {
		for (size_t i = 0; i < cmd->field_count; i++)
			check_value(&cmd->fields[i], &v[i], payload, in.n);
		CHECK(enr_cbor_read(payload, in.n, NULL, 0, NULL), "well-formed only with its fields");
	}
	free(payload);
	return 0;
}
