// SPDX-License-Identifier: Apache-2.0
// Inside the core: how a command is described and called, and what the files of
// the core share.
#ifndef ENR_COMMAND_H
#define ENR_COMMAND_H

#include "agent.h"
#include "cbor.h"

enum { ENR_FIELDS_MAX = 5 };

// One call of a command.
struct enr_call {
	struct enr_agent *a;
	struct enr_value v[ENR_FIELDS_MAX]; // by the index of the command's fields
	struct enr_writer *w;               // the answer's map; thrown away unless ENR_OK
	const char *obj;                    // beside an error: the object it is about
	bool has_off;                       // beside an error: where to go on
	uint32_t off;
};

struct enr_command {
	uint8_t id;
	bool write;     // request op 2, else 0
	uint8_t states; // set of ENR_IN_*; finer rules are the handler's
	uint8_t field_count;
	const struct enr_field *fields;
	enum enr_rc (*run)(struct enr_call *c);
};

enum { ENR_IN_BLANK = 1, ENR_IN_KEYED = 2, ENR_IN_INSTALLED = 4, ENR_IN_LOCKED = 8, ENR_IN_ANY = 15 };

// Group 64. The table ends with run == NULL.
extern const struct enr_command enr_commands[];

// OS group: writes an answer; false when there is no such command.
bool enr_os_command(struct enr_agent *a, const struct enr_message *m, struct enr_writer *w, bool *reset);

// Replaces what was written by the transport error {"rc": rc}.
void enr_put_plain(struct enr_writer *w, unsigned rc);

// Writes the entry "err" of a refusal by a group.
void enr_put_error(struct enr_writer *w, unsigned group, unsigned rc);

// ENR_OK if the present state is in the set, else what to refuse with.
enum enr_rc enr_check_state(const struct enr_agent *a, unsigned states);

// The objects that are stored; their parts in storage are ENR_PART_CHAIN and on.
extern const char *const enr_object_names[ENR_OBJECTS];
uint8_t *enr_staging(const struct enr_agent *a, int object);
void enr_drop_staging(struct enr_agent *a);
void enr_drop_csr(struct enr_agent *a);
size_t enr_chunk(const struct enr_agent *a); // largest data of one put or get

// The i-th signature algorithm that chains are checked for, NULL after the last.
const char *enr_verifies(const struct enr_agent *a, unsigned i);

const struct enr_alg *enr_own_alg(const struct enr_agent *a);
enum enr_rc enr_own_spki(const struct enr_agent *a, struct enr_spki *spki);
enum enr_rc enr_sign(const struct enr_agent *a, struct enr_bytes message, struct enr_sig *sig);
enum enr_rc enr_sha256(struct enr_bytes data, uint8_t out[ENR_SHA256]);

enum enr_rc enr_cmd_info(struct enr_call *c);
enum enr_rc enr_cmd_keygen(struct enr_call *c);
enum enr_rc enr_cmd_csr(struct enr_call *c);
enum enr_rc enr_cmd_get(struct enr_call *c);
enum enr_rc enr_cmd_put(struct enr_call *c);
enum enr_rc enr_cmd_commit(struct enr_call *c);
enum enr_rc enr_cmd_prove(struct enr_call *c);
enum enr_rc enr_cmd_tls_sign(struct enr_call *c);
enum enr_rc enr_cmd_lock(struct enr_call *c);
enum enr_rc enr_cmd_challenge(struct enr_call *c);
enum enr_rc enr_cmd_rework(struct enr_call *c);

// Fields of each command, by the order in its table.
enum { KEYGEN_ALG, KEYGEN_TOKEN, KEYGEN_REPLACE };
enum { CSR_CN, CSR_SN, CSR_NONCE };
enum { GET_OBJ, GET_OFF };
enum { PUT_OBJ, PUT_OFF, PUT_DATA, PUT_LEN, PUT_SHA };
enum { COMMIT_CHAIN, COMMIT_ANCHORS, COMMIT_REWORK };
enum { REWORK_KEY, REWORK_SIG };

#endif
