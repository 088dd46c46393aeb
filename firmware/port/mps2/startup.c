// SPDX-License-Identifier: Apache-2.0
// From reset to main: vector table, memory, reset by software (ARMv7-M
// Architecture Reference Manual, B1.5 and B3.2).
#include "mps2.h"

enum { SYSTICK_CONTROL = 0xe000e010, SYSTICK_RELOAD = 0xe000e014, SYSTICK_VALUE = 0xe000e018 };
enum { SYSTICK_ON = 1, SYSTICK_INTERRUPT = 2, SYSTICK_CPU_CLOCK = 4 };
enum { RESET_DELAY_MS = 250 }; // as Zephyr: the answer gets out first

#define VTOR REGISTER(0xe000ed08) // where the vector table is; 0 after a reset
#define AIRCR REGISTER(0xe000ed0c)
#define AIRCR_SYSRESETREQ 0x05fa0004u // with the key that the register asks for

#define PAINT 0xa5a5a5a5u

// Of the linker script.
extern uint32_t stack_limit[], stack_top[], data_load[], data_start[], data_end[], bss_start[], bss_end[];

int main(void);
void reset_handler(void);

_Noreturn void reset_now(void)
{
	AIRCR = AIRCR_SYSRESETREQ;
	for (;;)
		__asm__ volatile("dsb");
}

void reset_soon(void *ctx)
{
	(void)ctx;
	if (REGISTER(SYSTICK_CONTROL) & SYSTICK_ON)
		return;
	REGISTER(SYSTICK_RELOAD) = CPU_HZ / 1000 * RESET_DELAY_MS - 1; // of 24 bits
	REGISTER(SYSTICK_VALUE) = 0;
	REGISTER(SYSTICK_CONTROL) = SYSTICK_ON | SYSTICK_INTERRUPT | SYSTICK_CPU_CLOCK;
}

static void systick_handler(void)
{
	reset_now();
}

static _Noreturn void fault(void)
{
	host_print("agent-mps2: fault, reset\n");
	reset_now();
}

// A fault, or an interrupt that nobody switched on: RAM cannot be trusted any
// more, storage can. The stack may be what is broken, so it starts anew.
__attribute__((naked)) static void fault_handler(void)
{
	__asm__ volatile("msr msp, %0\n\tb %1" : : "r"(stack_top), "i"(fault));
}

size_t stack_peak(void)
{
	const uint32_t *p = stack_limit;

	while (p < stack_top && *p == PAINT)
		p++;
	return (size_t)(stack_top - p) * sizeof *p;
}

bool runs_from_rom(void)
{
	return VTOR == 0;
}

// As a reset would, from another table.
_Noreturn void start_program(const uint32_t *vectors)
{
	VTOR = (uint32_t)(uintptr_t)vectors;
	__asm__ volatile("dsb\n\tisb\n\tmsr msp, %0\n\tbx %1" : : "r"(vectors[0]), "r"(vectors[1]) : "memory");
	__builtin_unreachable();
}

// A reset by software leaves RAM as it was, on silicon too: all of it is
// written anew, so that nothing of the run before stays, and the stack is
// painted, so that its depth can be measured.
void reset_handler(void)
{
	uint32_t *sp;

	__asm__ volatile("mov %0, sp" : "=r"(sp));
	for (volatile uint32_t *p = stack_limit; p < sp; p++)
		*p = PAINT;
	for (volatile uint32_t *p = bss_start; p < bss_end; p++)
		*p = 0;
	for (volatile uint32_t *p = data_start, *from = data_load; p < data_end;)
		*p++ = *from++;
	main();
	reset_now();
}

typedef void (*handler)(void);

struct vectors {
	uint32_t *stack;
	handler exceptions[15], interrupts[32];
};

enum { EXCEPTION_SYSTICK = 15, IRQ_UART0_RX = 0, IRQ_UART0_TX = 1 };

__attribute__((section(".vectors"), used)) static const struct vectors vectors = {
	.stack = stack_top,
	.exceptions = {
		[0] = reset_handler,
		[1 ... 13] = fault_handler,
		[EXCEPTION_SYSTICK - 1] = systick_handler,
	},
	.interrupts = {
		[IRQ_UART0_RX] = uart_receive_handler,
		[IRQ_UART0_TX] = uart_send_handler,
		[2 ... 31] = fault_handler,
	},
};
