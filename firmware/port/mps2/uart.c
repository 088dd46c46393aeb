// SPDX-License-Identifier: Apache-2.0
// CMSDK APB UART 0 (Cortex-M System Design Kit, Technical Reference Manual,
// 4.3): one byte each way, no FIFO.
#include "mps2.h"

#define DATA REGISTER(0x40004000)
#define STATE REGISTER(0x40004004)
#define CONTROL REGISTER(0x40004008)
#define INTERRUPT REGISTER(0x4000400c) // write 1 to clear
#define DIVIDER REGISTER(0x40004010)
#define NVIC_ENABLE REGISTER(0xe000e100)

enum { STATE_TX_FULL = 1, STATE_RX_FULL = 2 };
enum { CONTROL_TX = 1, CONTROL_RX = 2, CONTROL_TX_INTERRUPT = 4, CONTROL_RX_INTERRUPT = 8 };
enum { INTERRUPT_TX = 1, INTERRUPT_RX = 2 };
enum { BAUD = 115200 };

// A power of two that holds the longest packet on the wire: 600 bytes in base64
// with markers are about 850.
enum { RING = 1024 };

// One side writes head, the other tail; both count on and wrap by the type.
struct ring {
	uint8_t bytes[RING];
	volatile uint16_t head, tail;
};

static struct ring received, sending;

static bool ring_put(struct ring *r, uint8_t byte)
{
	if ((uint16_t)(r->head - r->tail) == RING)
		return false;
	r->bytes[r->head % RING] = byte;
	__asm__ volatile("" ::: "memory"); // the byte is there before head says so
	r->head++;
	return true;
}

static bool ring_get(struct ring *r, uint8_t *byte)
{
	if (r->head == r->tail)
		return false;
	*byte = r->bytes[r->tail % RING];
	__asm__ volatile("" ::: "memory"); // it is read before its place is free
	r->tail++;
	return true;
}

void uart_start(void)
{
	DIVIDER = CPU_HZ / BAUD;
	CONTROL = CONTROL_TX | CONTROL_RX | CONTROL_TX_INTERRUPT | CONTROL_RX_INTERRUPT;
	// A byte from before is noise. QEMU needs this read: what reached the
	// pseudo-terminal while the receiver was off it offers again only when
	// the data register is read, else never.
	(void)DATA;
	NVIC_ENABLE = 3; // interrupts 0, receive, and 1, send
}

// What the ring has no room for is lost, as on a UART nobody serves: the packet
// fails its CRC, and the station repeats it.
void uart_receive_handler(void)
{
	INTERRUPT = INTERRUPT_RX;
	while (STATE & STATE_RX_FULL)
		(void)ring_put(&received, (uint8_t)DATA);
}

static void send_more(void)
{
	uint8_t byte;

	while (!(STATE & STATE_TX_FULL) && ring_get(&sending, &byte))
		DATA = byte;
}

void uart_send_handler(void)
{
	INTERRUPT = INTERRUPT_TX;
	send_more();
}

bool uart_receive(uint8_t *byte)
{
	return ring_get(&received, byte);
}

bool uart_is_empty(void)
{
	return received.head == received.tail;
}

// Never waits: a host that does not read may not stop the board. The ring holds
// a whole answer, and the station asks for one at a time.
void uart_send(void *ctx, const uint8_t *data, size_t n)
{
	(void)ctx;
	for (size_t i = 0; i < n; i++)
		(void)ring_put(&sending, data[i]);
	__asm__ volatile("cpsid i" ::: "memory"); // else the handler takes from the ring as well
	send_more();
	__asm__ volatile("cpsie i" ::: "memory");
}
