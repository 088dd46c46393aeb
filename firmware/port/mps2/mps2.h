// SPDX-License-Identifier: Apache-2.0
// Inside the port to QEMU's mps2-an385 (Arm's MPS2 FPGA board with application
// note AN385: Cortex-M3 at 25 MHz). Addresses are of AN385, sections 3 and 4.
#ifndef ENR_MPS2_H
#define ENR_MPS2_H

#include "../../core/agent.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CPU_HZ = 25000000 };

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

// uart.c: the console, both ways through rings and interrupts.
void uart_start(void);
bool uart_receive(uint8_t *byte);
bool uart_is_empty(void); // nothing received waits
void uart_send(void *ctx, const uint8_t *data, size_t n);

// startup.c
void reset_soon(void *ctx);   // in 250 ms, once
_Noreturn void reset_now(void);
size_t stack_peak(void);      // most bytes of stack in use since boot

bool runs_from_rom(void);     // else it is an image that the boot loader started
_Noreturn void start_program(const uint32_t *vectors);

// nvm.c: non-volatile memory. uid becomes what the one-time page holds; false
// when that page is not this port's.
bool nvm_start(struct enr_bytes *uid);

// Its areas, two of each kind: the agent's copies, the boot loader's pages, the
// files that images are in.
enum { NVM_COPY = 0, NVM_BOOT = 2, NVM_IMAGE = 4, NVM_AREAS = 6 };
enum { NVM_IMAGE_SIZE = 256 * 1024 };

// As in core/port.h. program takes whole units of ENR_FLASH_UNIT bytes that are
// erased; what it and erase did is there whatever happens after they returned.
int nvm_read(void *ctx, unsigned area, uint32_t off, uint8_t *data, size_t n);
int nvm_program(void *ctx, unsigned area, uint32_t off, const uint8_t *data, size_t n);
int nvm_erase(void *ctx, unsigned area);

// semihost.c: services of the emulator's host.
void host_print(const char *text);

// Handlers of the vector table.
void uart_receive_handler(void);
void uart_send_handler(void);

#endif
