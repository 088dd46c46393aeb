// SPDX-License-Identifier: Apache-2.0
// Group 1 of SMP, firmware images, as MCUmgr has it: for a board with two slots
// and a boot loader that swaps them (MCUboot's kind). Optional: it is built
// where ENR_IMAGES is defined, for firmware whose own SMP stack has no such
// group. Images are in MCUboot's format; whether one may run is for the boot
// loader to say.
//
// Wire it in as enr_config.other = enr_images_command, other_ctx = struct
// enr_images. The agent then asks it nothing on a locked board with prot bit 0
// clear.
#ifndef ENR_IMAGE_H
#define ENR_IMAGE_H

#include "agent.h"

enum { ENR_IMAGE_GROUP = 1, ENR_IMAGE_HEADER = 32 };

// Room for a version as text: 255.255.65535.4294967295 and a zero.
enum { ENR_IMAGE_VERSION = 25 };

// What the boot loader keeps beside the slots.
enum {
	ENR_IMAGE_CONFIRMED = 1, // slot 0 stays; else the slots are swapped back at the next boot
	ENR_IMAGE_PENDING = 2,   // slot 1 is swapped in at the next boot
	ENR_IMAGE_PERMANENT = 4, // with it: for good, not on trial
};

// What a board provides. Slot 0 runs, slot 1 takes uploads. Every function gets
// ctx; those that return int give 0, or not 0 when the flash failed.
struct enr_image_port {
	void *ctx;
	uint32_t slot_size; // of each slot, in bytes

	// Reads n bytes of a slot, all of them inside it. What was never written
	// reads as FF.
	int (*read)(void *ctx, unsigned slot, uint32_t off, uint8_t *data, size_t n);

	// Erases slot 1.
	int (*erase)(void *ctx);

	// Writes into slot 1 after an erase: front to back, without gaps, in
	// multiples of ENR_FLASH_UNIT but for the last one.
	int (*write)(void *ctx, uint32_t off, const uint8_t *data, size_t n);

	// A set of ENR_IMAGE_*.
	unsigned (*flags)(void *ctx);

	// Has the boot loader swap slot 1 in at the next boot.
	int (*start)(void *ctx, bool permanent);

	// Has it keep slot 0.
	int (*confirm)(void *ctx);
};

// The state of the group, in the caller's memory. The owner sets port and clears
// the rest at every boot: an upload that was under way begins anew then.
struct enr_images {
	const struct enr_image_port *port;
	bool receiving;
	uint32_t len, got; // of the image that comes in
	uint8_t sha[ENR_SHA256];
	size_t sha_len; // up to ENR_SHA256: a client may name it by less, or nothing
};

// An image in a slot.
struct enr_image {
	uint8_t version[8];  // as in its header: major, minor, revision, build
	uint8_t digest[ENR_SHA256];
	uint32_t covered;    // bytes from the start that the digest is of
};

// The enr_config.other of a board with images; ctx is struct enr_images.
int enr_images_command(void *ctx, const struct enr_message *request, uint8_t *answer, size_t cap);

// Finds the image in a slot; false where there is none. Its content is not
// compared with its digest.
bool enr_image_find(const struct enr_image_port *port, unsigned slot, struct enr_image *image);

// Whether a slot holds an image whose content has the digest in it. For a boot
// loader without signatures; one that verifies them does more.
bool enr_image_intact(const struct enr_image_port *port, unsigned slot);

// The version as text.
void enr_image_version(const struct enr_image *image, char out[ENR_IMAGE_VERSION]);

#endif
