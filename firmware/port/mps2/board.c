// SPDX-License-Identifier: Apache-2.0
// The board as the agent sees it: see port/template/board.h.
#include "../template/board.h"
#include "heap.h"
#include "mps2.h"

// Of root.S: a DER certificate, or nothing.
extern const uint8_t root_der[];
extern const uint32_t root_size;

const struct board *board_start(void)
{
	static struct board b;

	uart_start();
	b = (struct board){
		.port = {
			.send = uart_send,
			.reset = reset_soon,
			.read = nvm_read,
			.program = nvm_program,
			.erase = nvm_erase,
			.copy_size = ENR_STORE_SIZE(BOARD_OBJECT_MAX),
		},
		.model = "mps2",
		.hw = "qemu-mps2-an385",
		.fw = "1.0.0",
		.prot = 0, // nothing protects a key in an emulator's file
	};
	if (root_size > 0)
		b.root = (struct enr_bytes){root_der, root_size};
	if (!nvm_start(&b.uid)) {
		host_print("agent-mps2: the memory file is of another board, or there is no random source\n");
		return NULL;
	}
	return &b;
}

bool board_receive(uint8_t *byte)
{
	return uart_receive(byte);
}

#ifdef MEASURE
static void print_number(const char *name, size_t v)
{
	char digits[12] = {0}, *p = digits + sizeof digits - 1;

	do
		*--p = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	host_print(name);
	host_print(p);
}

// Tells QEMU's stderr whenever a command needed more memory than any before.
static void measure(void)
{
	static size_t heap_told, stack_told;
	size_t used = heap_peak(), stack = stack_peak();

	if (used <= heap_told && stack <= stack_told)
		return;
	heap_told = used;
	stack_told = stack;
	print_number("measured: heap ", used);
	print_number(" stack ", stack);
	host_print("\n");
}
#else
static void measure(void)
{
}
#endif

// With interrupts off a byte cannot come between the question and WFI, which
// wakes for an interrupt that is pending all the same.
void board_sleep(void)
{
	measure();
	__asm__ volatile("cpsid i" ::: "memory");
	if (uart_is_empty())
		__asm__ volatile("dsb\n\twfi" ::: "memory");
	__asm__ volatile("cpsie i" ::: "memory");
}
