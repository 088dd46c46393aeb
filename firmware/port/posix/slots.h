// SPDX-License-Identifier: Apache-2.0
// Two image slots as files, and the boot loader between them: what MCUboot does,
// without signatures. The files lie beside the board's flash: STATE.image0,
// STATE.image1, and STATE.boot, which says which of them is slot 0.
#ifndef ENR_POSIX_SLOTS_H
#define ENR_POSIX_SLOTS_H

#include "../../core/image.h"

struct slots {
	char path[4096]; // of the state file
	int fd[2];       // of the files, by their numbers
	uint8_t first;   // number of the file that is slot 0
	uint8_t flags;   // ENR_IMAGE_*
};

// Opens the slots of a board, or makes them, empty. Returns 0, or -1 with a
// message on stderr. A board whose slot 0 is empty runs what it was built with.
int slots_open(struct slots *s, const char *state);

// The boot loader: swaps the slots where that is due. Returns 0, or -1 with a
// message on stderr.
int slots_boot(struct slots *s);

// Fills in the port of images; ctx is s.
void slots_port(struct slots *s, struct enr_image_port *port);

#endif
