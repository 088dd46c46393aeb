// SPDX-License-Identifier: Apache-2.0
// Semihosting (Arm, Semihosting for AArch32 and AArch64): the emulated program
// asks QEMU, started with -semihosting, to do something on the host.
//
// THE RANDOM SOURCE HERE IS FOR QEMU ONLY. The emulated board has no random
// number generator, so this port reads the host's /dev/urandom. That is real
// randomness, but no silicon has it: on a board of yours enr_port_random reads
// the chip's own generator behind its health test (port/template/board.c).
#include "mps2.h"

#include "../../crypto/crypto.h"

enum { SYS_OPEN = 0x01, SYS_CLOSE = 0x02, SYS_WRITE0 = 0x04, SYS_READ = 0x06 };
enum { MODE_READ_BINARY = 1 };

static uintptr_t call(uint32_t operation, const void *argument)
{
	register uint32_t r0 __asm__("r0") = operation;
	register const void *r1 __asm__("r1") = argument;

	__asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
	return r0;
}

void host_print(const char *text)
{
	call(SYS_WRITE0, text);
}

int enr_port_random(uint8_t *out, size_t n)
{
	static const char path[] = "/dev/urandom";
	const uintptr_t open[] = {(uintptr_t)path, MODE_READ_BINARY, sizeof path - 1};
	const uintptr_t file = call(SYS_OPEN, open);
	const uintptr_t read[] = {file, (uintptr_t)out, n};
	uintptr_t missing;

	if (file == UINTPTR_MAX)
		return -1;
	missing = call(SYS_READ, read); // bytes that were not read
	call(SYS_CLOSE, &file);
	return missing == 0 ? 0 : -1;
}
