// SPDX-License-Identifier: Apache-2.0
// The skeleton of a port: copy this directory, then fill in every function from
// the top down. As it stands it compiles and is a board that does not start;
// each function that is not filled in yet says that it failed, so that half a
// port makes no key and stores nothing.
//
// Rules for all of them: only the console's interrupt runs beside this code; a
// function may block, but bytes that come meanwhile must not get lost (a whole
// request of BOARD_BUFFER bytes is about 850 on the wire).
#include "board.h"

enum { FAILED = -1 };

// Fill out with n bytes from the hardware's random source, after its start-up
// test, and with its continuous test on (NIST SP 800-90B, 4.4). Wait for it a
// bounded time. Never fall back to a counter, a clock or the uid: return not 0,
// and the agent refuses to make keys.
int enr_port_random(uint8_t *out, size_t n)
{
	(void)out, (void)n;
	return FAILED;
}

// Hand n bytes to the UART: a ring that its interrupt empties, or a wait for
// each byte. A UART without a reader must not stop the board.
static void console_send(void *ctx, const uint8_t *data, size_t n)
{
	(void)ctx, (void)data, (void)n;
}

// Start a timer of 250 ms, unless it runs already, and reset the whole chip when
// it ends. The answer to this command is still in the UART now. RAM must be lost
// or wiped: staging, CSR and nonce may not survive.
static void reset_soon(void *ctx)
{
	(void)ctx;
}

// Read from area `copy`: two areas in erase blocks of their own, which nothing
// else lives in, and which a firmware update leaves alone.
static int flash_read(void *ctx, unsigned copy, uint32_t off, uint8_t *data, size_t n)
{
	(void)ctx, (void)copy, (void)off, (void)data, (void)n;
	return FAILED;
}

// Program n bytes, a multiple of ENR_FLASH_UNIT, into units that are erased.
// Return when the flash is done; not 0 when it reports an error. Flash that
// cannot be read while it programs needs this function in RAM.
static int flash_program(void *ctx, unsigned copy, uint32_t off, const uint8_t *data, size_t n)
{
	(void)ctx, (void)copy, (void)off, (void)data, (void)n;
	return FAILED;
}

// Erase all blocks of the area.
static int flash_erase(void *ctx, unsigned copy)
{
	(void)ctx, (void)copy;
	return FAILED;
}

const struct board *board_start(void)
{
	static struct board b;
	// The chip's own number, read here: 1 to 32 bytes, unique among boards of
	// this model, and not writable by this firmware.
	static uint8_t uid[12];

	b = (struct board){
		.port = {
			.send = console_send,
			.reset = reset_soon,
			.read = flash_read,
			.program = flash_program,
			.erase = flash_erase,
			.sync = NULL, // program and erase return when it is done
			.copy_size = ENR_STORE_SIZE(BOARD_OBJECT_MAX),
		},
		.model = "my-board",
		.hw = "rev-a",
		.fw = "1.0.0",
		.uid = {uid, sizeof uid},
		// Pin the root before production: an array with its DER, or .incbin as
		// in port/mps2/root.S.
		.root = {NULL, 0},
		// What is true of the boards that ship, not of the one on the desk.
		.prot = 0,
	};
	// Start clocks, then the UART with its receive interrupt, then the flash
	// driver. mbedtls needs a heap (port/mps2/heap.c). Then return &b.
	(void)b;
	return NULL;
}

// Take a byte out of the ring that the receive interrupt fills.
bool board_receive(uint8_t *byte)
{
	(void)byte;
	return false;
}

// Cortex-M: interrupts off; if the ring is empty, WFI, which wakes for an
// interrupt that is pending even while they are off; interrupts on. With them on
// a byte that comes between the question and WFI would sleep on.
void board_sleep(void)
{
}
