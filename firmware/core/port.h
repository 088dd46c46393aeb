// SPDX-License-Identifier: Apache-2.0
// What a board provides: a console, two areas of flash, a reset. The random
// source is enr_port_random in crypto/crypto.h, since key generation asks for it
// deep inside the crypto library.
#ifndef ENR_PORT_H
#define ENR_PORT_H

#include <stddef.h>
#include <stdint.h>

// Flash is programmed in pieces that start and end at multiples of this: no
// smaller than the program unit of any part we know (32 on STM32H7).
#define ENR_FLASH_UNIT 32

// Every function gets ctx. Those that return int give 0, or not 0 when the
// flash failed. All may block; none is called from more than one thread.
struct enr_port {
	void *ctx;

	// Sends bytes to the console. What cannot be sent is lost, as on a wire.
	void (*send)(void *ctx, const uint8_t *data, size_t n);

	// Asks for a reboot soon (Zephyr: after 250 ms), so that the answer still
	// gets out. A second call while one is pending changes nothing.
	void (*reset)(void *ctx);

	// Two areas ("copies" 0 and 1) of copy_size bytes each, in erase blocks of
	// their own. NOR rules hold: erase sets every byte to FF, and a unit is
	// programmed once between erases. A power cut may leave a unit or an erase
	// half done; what was done before stays.
	int (*read)(void *ctx, unsigned copy, uint32_t off, uint8_t *data, size_t n);
	int (*program)(void *ctx, unsigned copy, uint32_t off, const uint8_t *data, size_t n);
	int (*erase)(void *ctx, unsigned copy);

	// Returns when all before it is safe from a power cut. NULL where program
	// and erase are that already, as on flash without a cache.
	int (*sync)(void *ctx);

	uint32_t copy_size; // at least ENR_STORE_SIZE(max) of store.h
};

#endif
