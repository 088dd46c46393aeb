// SPDX-License-Identifier: Apache-2.0
// The board as the agent sees it: see port/template/board.h.
#include "../template/board.h"
#include "heap.h"
#include "mps2.h"
#include "slots.h"

// Of root.S: a DER certificate, or nothing.
extern const uint8_t root_der[];
extern const uint32_t root_size;

// What a boot loader of its own would do before this program, and in an image
// has done. False when there is nothing to start.
static bool boot(struct slots *s)
{
	if (enr_crypto_init() != ENR_OK || !slots_open(s))
		return false;
	if (runs_from_rom()) {
		if (!slots_boot(s))
			return false;
		if (slots_load(s))
			start_program((const uint32_t *)(uintptr_t)SLOTS_CODE);
	}
	slots_find_version(s);
	return true;
}

const struct board *board_start(void)
{
	static struct board b;
	static struct slots slots;
	static struct enr_images images;
	static struct enr_image_port image_port;

	if (!boot(&slots)) {
		host_print("agent-mps2: no image to start, or the memory failed\n");
		return NULL;
	}
	uart_start();
	slots_port(&slots, &image_port);
	images.port = &image_port;
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
		.fw = slots.version,
		.other = enr_images_command,
		.other_ctx = &images,
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

// CMSDK APB timer 0 (Cortex-M System Design Kit, Technical Reference Manual,
// 4.1): counts down at CPU_HZ.
enum { TIMER_CONTROL = 0x40000000, TIMER_VALUE = 0x40000004, TIMER_RELOAD = 0x40000008, TIMER_ON = 1 };
enum { TICKS_TOLD = 25000 };

static uint32_t woke;

static void measure_from_here(void)
{
	woke = REGISTER(TIMER_VALUE);
}

// Tells QEMU's stderr what the board did since it woke up, if that was much,
// and whenever it needed more memory than ever before. With -icount shift=0 an
// instruction takes a nanosecond, so that a tick is 40 of them; else ticks are
// the host's time.
static void measure(void)
{
	static size_t heap_told, stack_told;
	uint32_t ticks = woke - REGISTER(TIMER_VALUE);
	size_t used = heap_peak(), stack = stack_peak();

	if (woke != 0 && ticks >= TICKS_TOLD) {
		print_number("measured: ticks ", ticks);
		host_print("\n");
	}
	if (woke == 0) {
		REGISTER(TIMER_RELOAD) = UINT32_MAX;
		REGISTER(TIMER_CONTROL) = TIMER_ON;
	}
	if (used <= heap_told && stack <= stack_told)
		return;
	heap_told = used;
	stack_told = stack;
	print_number("measured: heap ", used);
	print_number(" stack ", stack);
	host_print("\n");
}
#else
static void measure_from_here(void)
{
}

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
	measure_from_here();
	__asm__ volatile("cpsie i" ::: "memory");
}
