// SPDX-License-Identifier: Apache-2.0
// posix-agent: a board as a process. Its console is a pseudo-terminal, its
// flash a file; kill -9 is its power cut.
#include "flash.h"
#include "pty.h"
#include "slots.h"

#include "../../core/agent.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 600, OBJECT_MAX = 8192, ROOT_MAX = 4096 };
enum { RESET_DELAY_MS = 250 }; // as Zephyr: the answer gets out first
enum { USAGE = 2 };

// A board: what survives a reboot. The agent and its buffers do not.
struct board {
	struct pty pty;
	struct flash flash;
	struct enr_port port;
	struct enr_config config;
	struct slots slots;
	struct enr_image_port image_port;
	uint8_t uid[32], root[ROOT_MAX];
	int64_t reset_at; // ms of the monotonic clock; 0: none asked for

	struct enr_agent agent;
	struct enr_images images;
	char fw[ENR_IMAGE_VERSION]; // of the image in slot 0
	uint8_t rx[BUFFER], tx[BUFFER], staging[3 * OBJECT_MAX];
};

static const char usage[] =
	"usage: posix-agent --state FILE --link PATH --uid HEX [--model NAME] [--root FILE.der] [--prot N]\n"
	"  --state FILE     the board's flash; made when missing\n"
	"  --link PATH      becomes a symbolic link to the console\n"
	"  --uid HEX        identity of the silicon, 1 to 32 bytes\n"
	"  --model NAME     what the board calls itself (posix-agent)\n"
	"  --root FILE.der  root certificate that the firmware pins\n"
	"  --prot N         what protects the key, bits 0 to 3 (0)\n";

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int enr_port_random(uint8_t *out, size_t n)
{
	while (n > 0) {
		ssize_t got = getrandom(out, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -1;
		out += got;
		n -= (size_t)got;
	}
	return 0;
}

static void port_send(void *ctx, const uint8_t *data, size_t n)
{
	const struct board *b = ctx;

	pty_send(&b->pty, data, n);
}

static void port_reset(void *ctx)
{
	struct board *b = ctx;

	if (b->reset_at == 0)
		b->reset_at = now_ms() + RESET_DELAY_MS;
}

static int port_read(void *ctx, unsigned copy, uint32_t off, uint8_t *data, size_t n)
{
	return flash_read(&((struct board *)ctx)->flash, copy, off, data, n);
}

static int port_program(void *ctx, unsigned copy, uint32_t off, const uint8_t *data, size_t n)
{
	return flash_program(&((struct board *)ctx)->flash, copy, off, data, n);
}

static int port_erase(void *ctx, unsigned copy)
{
	return flash_erase(&((struct board *)ctx)->flash, copy);
}

static int port_sync(void *ctx)
{
	return flash_sync(&((struct board *)ctx)->flash);
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;

	return at == NULL ? -1 : (int)(at - digits);
}

static int parse_uid(struct board *b, const char *hex)
{
	size_t n = strlen(hex) / 2;

	if (strlen(hex) % 2 != 0 || n < 1 || n > sizeof b->uid)
		return -1;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return -1;
		b->uid[i] = (uint8_t)(high << 4 | low);
	}
	b->config.uid = (struct enr_bytes){b->uid, n};
	return 0;
}

static int read_root(struct board *b, const char *path)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (f == NULL) {
		fprintf(stderr, "posix-agent: open root certificate %s: %s\n", path, strerror(errno));
		return -1;
	}
	n = fread(b->root, 1, sizeof b->root, f);
	fclose(f);
	b->config.root = (struct enr_bytes){b->root, n};
	if (enr_certs_parse(b->config.root, 1) == ENR_OK)
		return 0;
	fprintf(stderr, "posix-agent: %s is not one certificate in DER of at most %d bytes\n", path, ROOT_MAX);
	return -1;
}

static int parse_prot(struct board *b, const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 0);

	if (*text == 0 || *end != 0 || v > 15)
		return -1;
	b->config.prot = (uint8_t)v;
	return 0;
}

struct arguments {
	const char *state, *link, *uid, *model, *root, *prot;
};

static int parse_arguments(struct arguments *args, int argc, char **argv)
{
	static const struct option options[] = {
		{"state", required_argument, NULL, 's'}, {"link", required_argument, NULL, 'l'},
		{"uid", required_argument, NULL, 'u'},   {"model", required_argument, NULL, 'm'},
		{"root", required_argument, NULL, 'r'},  {"prot", required_argument, NULL, 'p'},
		{NULL, 0, NULL, 0},
	};
	const char **values[] = {&args->state, &args->link, &args->uid, &args->model, &args->root, &args->prot};
	int index;

	for (int c; (c = getopt_long(argc, argv, "", options, &index)) != -1;) {
		if (c == '?')
			return -1;
		*values[index] = optarg;
	}
	return optind == argc && args->state != NULL && args->link != NULL && args->uid != NULL ? 0 : -1;
}

// What is wired into a board: its port, buffers and identity. Returns an exit
// status.
static int build(struct board *b, const struct arguments *args)
{
	struct enr_config *cfg = &b->config;

	b->port = (struct enr_port){
		.ctx = b,
		.send = port_send,
		.reset = port_reset,
		.read = port_read,
		.program = port_program,
		.erase = port_erase,
		.sync = port_sync,
		.copy_size = ENR_STORE_SIZE(OBJECT_MAX),
	};
	*cfg = (struct enr_config){
		.port = &b->port,
		.model = args->model != NULL ? args->model : "posix-agent",
		.hw = "posix",
		.other = enr_images_command,
		.other_ctx = &b->images,
		.rx = b->rx,
		.tx = b->tx,
		.buffer = BUFFER,
		.staging = b->staging,
		.max = OBJECT_MAX,
	};
	if (parse_uid(b, args->uid) != 0) {
		fprintf(stderr, "posix-agent: --uid %s: 2 to 64 digits of lower-case hex are needed\n", args->uid);
		return USAGE;
	}
	if (args->prot != NULL && parse_prot(b, args->prot) != 0) {
		fprintf(stderr, "posix-agent: --prot %s: a number from 0 to 15 is needed\n", args->prot);
		return USAGE;
	}
	if (args->root != NULL && read_root(b, args->root) != 0)
		return EXIT_FAILURE;
	if (flash_open(&b->flash, args->state, b->port.copy_size) != 0 || slots_open(&b->slots, args->state) != 0)
		return EXIT_FAILURE;
	slots_port(&b->slots, &b->image_port);
	return EXIT_SUCCESS;
}

// The version of the image that runs; a board without one runs what it was
// built with.
static void find_version(struct board *b)
{
	struct enr_image image;

	b->config.fw = "1.0.0";
	if (enr_image_find(&b->image_port, 0, &image)) {
		enr_image_version(&image, b->fw);
		b->config.fw = b->fw;
	}
}

// Starts or restarts the agent behind its boot loader: RAM is lost, and the boot
// log goes out as on a real console.
static int boot(struct board *b)
{
	static const char log[] = "\r\n*** posix-agent: enrollment agent on this console ***\r\n";
	enum enr_rc rc = ENR_STORAGE;

	b->reset_at = 0;
	b->images = (struct enr_images){.port = &b->image_port};
	if (slots_boot(&b->slots) == 0) {
		find_version(b);
		rc = enr_agent_init(&b->agent, &b->config);
	}
	if (rc == ENR_OK) {
		pty_send(&b->pty, (const uint8_t *)log, sizeof log - 1);
		return 0;
	}
	fprintf(stderr, "posix-agent: boot failed with code %d (1 a value is too long, 9 storage, 10 entropy)\n", rc);
	return -1;
}

// Reads what the station sent; false when the pty is gone.
static bool receive(struct board *b)
{
	uint8_t bytes[4096];
	ssize_t n = read(b->pty.master, bytes, sizeof bytes);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	for (ssize_t i = 0; i < n; i++)
		enr_agent_rx(&b->agent, bytes[i]);
	return true;
}

static int wait_ms(const struct board *b)
{
	int64_t left = b->reset_at - now_ms();

	if (b->reset_at == 0)
		return -1;
	return left > 0 ? (int)left : 0;
}

// Serves the console until a signal comes; returns an exit status.
static int serve(struct board *b, int signals)
{
	struct pollfd fds[] = {
		{.fd = b->pty.master, .events = POLLIN},
		{.fd = b->pty.closed, .events = POLLIN},
		{.fd = signals, .events = POLLIN},
	};

	for (;;) {
		if (poll(fds, sizeof fds / sizeof *fds, wait_ms(b)) < 0 && errno != EINTR)
			return EXIT_FAILURE;
		if (b->reset_at != 0 && wait_ms(b) == 0 && boot(b) != 0)
			return EXIT_FAILURE;
		if (fds[2].revents != 0)
			return EXIT_SUCCESS;
		if (fds[1].revents != 0)
			pty_slave_closed(&b->pty);
		if (fds[0].revents != 0 && !receive(b)) {
			fprintf(stderr, "posix-agent: the console is gone: %s\n", strerror(errno));
			return EXIT_FAILURE;
		}
	}
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC);
}

int main(int argc, char **argv)
{
	static struct board board; // too large for a stack
	struct arguments args = {0};
	int status, signals = open_signals();

	if (parse_arguments(&args, argc, argv) != 0) {
		fputs(usage, stderr);
		return USAGE;
	}
	if (signals < 0 || enr_crypto_init() != ENR_OK)
		return EXIT_FAILURE;
	status = build(&board, &args);
	if (status != EXIT_SUCCESS)
		return status;
	if (pty_open(&board.pty, args.link) != 0)
		return EXIT_FAILURE;
	status = EXIT_FAILURE;
	if (boot(&board) == 0) {
		printf("ready %s\n", args.link);
		fflush(stdout);
		status = serve(&board, signals);
	}
	pty_close(&board.pty);
	return status;
}
