// SPDX-License-Identifier: Apache-2.0
// The agent on a board without an operating system: everything that is the same
// on all of them. Bytes come from an interrupt, work is done here, and the core
// sleeps in between: it never polls.
#include "board.h"

#include <string.h>

static struct enr_agent agent;
static struct enr_config config;
static uint8_t rx[BOARD_BUFFER], tx[BOARD_BUFFER], staging[3 * BOARD_OBJECT_MAX];

static void say(const struct enr_port *port, const char *text)
{
	port->send(port->ctx, (const uint8_t *)text, strlen(text));
}

static void configure(const struct board *b)
{
	config = (struct enr_config){
		.port = &b->port,
		.model = b->model,
		.hw = b->hw,
		.fw = b->fw,
		.uid = b->uid,
		.root = b->root,
		.prot = b->prot,
		.rx = rx,
		.tx = tx,
		.buffer = BOARD_BUFFER,
		.staging = staging,
		.max = BOARD_OBJECT_MAX,
		.other = b->other,
		.other_ctx = b->other_ctx,
	};
}

// A board that cannot work stays silent rather than half alive: the station
// finds no agent on it.
static _Noreturn void stay_silent(void)
{
	for (;;)
		board_sleep();
}

int main(void)
{
	const struct board *b = board_start();
	uint8_t byte;

	if (b == NULL)
		stay_silent();
	configure(b);
	switch (enr_agent_init(&agent, &config)) {
	case ENR_OK:
		break;
	case ENR_STORAGE:
		say(&b->port, "\r\n*** no enrollment agent: flash failed\r\n");
		stay_silent();
	case ENR_ENTROPY:
		say(&b->port, "\r\n*** no enrollment agent: the random source failed\r\n");
		stay_silent();
	default:
		say(&b->port, "\r\n*** no enrollment agent: its configuration breaks a limit of core/agent.h\r\n");
		stay_silent();
	}
	say(&b->port, "\r\n*** enrollment agent on this console\r\n");
	for (;;) {
		while (board_receive(&byte))
			enr_agent_rx(&agent, byte);
		board_sleep();
	}
}
