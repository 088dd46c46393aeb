// SPDX-License-Identifier: Apache-2.0
// What a board without an operating system provides to main.c beside it. board.c
// beside it is the skeleton to fill in; port/mps2 is one that runs.
#ifndef ENR_TEMPLATE_BOARD_H
#define ENR_TEMPLATE_BOARD_H

#include "../../core/agent.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	BOARD_BUFFER = 600,      // bytes of a request or an answer
	BOARD_OBJECT_MAX = 2048, // largest chain, anchors or rework object
};

// What the firmware says of the board, and how the agent reaches it. All of it
// stays where it is as long as the board runs.
struct board {
	struct enr_port port;
	const char *model, *hw, *fw;
	struct enr_bytes uid;  // from the silicon
	struct enr_bytes root; // pinned root certificate, DER; data NULL: none
	uint8_t prot;

	// Groups that are not the agent's, as in enr_config: images (core/image.h).
	// NULL: none.
	int (*other)(void *ctx, const struct enr_message *request, uint8_t *answer, size_t cap);
	void *other_ctx;
};

// Starts clocks, console and flash, and whatever the crypto library needs
// before its first call (a heap). NULL when the board cannot work.
const struct board *board_start(void);

// Takes the next byte that the console's interrupt put away; false: none.
bool board_receive(uint8_t *byte);

// Sleeps until an interrupt. Returns at once when a byte came since
// board_receive found none.
void board_sleep(void);

#endif
