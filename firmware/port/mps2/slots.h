// SPDX-License-Identifier: Apache-2.0
// Two image slots and the boot loader between them: what MCUboot does where it
// loads images into RAM, without signatures. The program that QEMU was started
// with is boot loader and first firmware in one; it starts the image in slot 0,
// where there is one, at SLOTS_CODE.
//
// The slots are two files (areas NVM_IMAGE), of which a record says which one is
// slot 0. The record has two pages (areas NVM_BOOT): the newer valid one counts,
// a new one goes onto the other page, and its valid word is written last. A
// power cut at any store leaves the record before or the record after; images
// are never moved.
//
// Layout of a page: valid word, 32 bytes; generation u32, number of the file
// that is slot 0 u8, flags u8 (ENR_IMAGE_*), FF up to 64 bytes.
#ifndef ENR_MPS2_SLOTS_H
#define ENR_MPS2_SLOTS_H

#include "../../core/image.h"

enum {
	SLOTS_CODE = 0x00020000, // what an image's program is linked for
	SLOTS_CODE_SIZE = 128 * 1024,
};

struct slots {
	uint8_t page;        // of the record that counts
	uint32_t generation;
	uint8_t first;       // number of the file that is slot 0
	uint8_t flags;       // ENR_IMAGE_*
	char version[ENR_IMAGE_VERSION]; // of what runs
};

// Reads the record. A board without one has empty slots. False when the memory
// failed.
bool slots_open(struct slots *s);

// The boot loader: swaps the slots where that is due. False when slot 0 holds an
// image that may not be started, or the memory failed.
bool slots_boot(struct slots *s);

// Copies the program of slot 0 to where it runs; false when the slot is empty.
bool slots_load(struct slots *s);

// Sets version.
void slots_find_version(struct slots *s);

// Fills in the port of images; ctx is s.
void slots_port(struct slots *s, struct enr_image_port *port);

#endif
