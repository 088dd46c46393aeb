// SPDX-License-Identifier: Apache-2.0
// Runs every test, or those that are named; the first failure ends the run.
#include "test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *vector_directory;
extern const char *vector_directory;

void test_fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "FAIL %s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{"frames", test_frames},
	{"messages", test_messages},
	{"cbor", test_cbor},
	{"cbor writer", test_cbor_writer},
	{"signatures", test_signatures},
	{"damaged keys", test_damaged_keys},
	{"csr", test_csr},
	{"prove", test_prove},
	{"tls-sign", test_tls_sign},
	{"commit", test_commit},
	{"rework", test_rework},
	{"states", test_states},
	{"keygen", test_keygen},
	{"put and get", test_put_and_get},
	{"commit again", test_commit_again},
	{"entropy", test_entropy},
	{"os group", test_os},
	{"other groups", test_other_groups},
	{"config", test_config},
	{"power cut", test_power_cut},
	{"storage failure", test_storage_failure},
	{"flash bits", test_flash_bits},
	{"newer copy counts", test_newer_copy_counts},
	{"hostile bytes", test_hostile_bytes},
	{"image upload", test_image_upload},
	{"image offsets", test_image_offsets},
	{"image bounds", test_image_bounds},
	{"image refusals", test_image_refusals},
	{"slots, power cut", test_slots_power_cut},
	{"slots, refusals", test_slots_refusals},
};

enum { TESTS = sizeof tests / sizeof *tests };

static void run(size_t i)
{
	printf("test %s\n", tests[i].name);
	fflush(stdout);
	tests[i].run();
}

static void run_named(const char *name)
{
	size_t i = 0;

	while (i < TESTS && strcmp(tests[i].name, name) != 0)
		i++;
	CHECK(i < TESTS, "there is no test %s", name);
	run(i);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: %s DIRECTORY-OF-VECTORS [TEST...]\n", argv[0]);
		return 2;
	}
	vector_directory = argv[1];
	for (int i = 2; i < argc; i++)
		run_named(argv[i]);
	for (size_t i = 0; argc == 2 && i < TESTS; i++)
		run(i);
	printf("all %d tests passed\n", argc == 2 ? (int)TESTS : argc - 2);
	return EXIT_SUCCESS;
}
