// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const char *vector_directory;

static int digit(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;

	return at == NULL ? -1 : (int)(at - digits);
}

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

static void add_field(struct vector *v, const char *key, const char *text)
{
	struct vector_field *f = &v->fields[v->count];
	size_t n = strlen(text);

	CHECK(v->count < VECTOR_FIELDS, "%s: more than %d fields", v->name, VECTOR_FIELDS);
	v->count++;
	f->key = strdup(key);
	if (ends_in(key, "_text")) {
		f->data = (uint8_t *)strdup(text);
		f->len = n;
		return;
	}
	CHECK(n % 2 == 0, "%s: %s has half a byte", v->name, key);
	f->len = n / 2;
	f->data = malloc(f->len + 1); // never malloc(0): an empty value is not absent
	CHECK(f->data != NULL, "out of memory");
	for (size_t i = 0; i < f->len; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

		CHECK(high >= 0 && low >= 0, "%s: %s is not lower-case hex", v->name, key);
		f->data[i] = (uint8_t)(high << 4 | low);
	}
}

static struct vector *add_vector(struct vectors *v, const char *name)
{
	struct vector *list = realloc(v->list, (v->count + 1) * sizeof *list);

	CHECK(list != NULL, "out of memory");
	v->list = list;
	memset(&list[v->count], 0, sizeof *list);
	list[v->count].name = strdup(name);
	return &list[v->count++];
}

// Cuts "key = value" in place; value may be empty.
static char *cut(char *line)
{
	char *equals = strstr(line, " =");
	char *value;

	CHECK(equals != NULL, "not of the form key = value: %s", line);
	*equals = 0;
	value = equals + 2;
	return *value == ' ' ? value + 1 : value;
}

struct vectors vectors_read(const char *file)
{
	struct vectors v = {NULL, 0};
	char path[4096], *line = NULL;
	size_t room = 0;
	bool in_block = false;
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", vector_directory, file);
	f = fopen(path, "r");
	CHECK(f != NULL, "%s: %s", path, strerror(errno));
	for (ssize_t n; (n = getline(&line, &room, f)) >= 0;) {
		char *value;

		line[strcspn(line, "\n")] = 0;
		if (line[0] == '#')
			continue;
		if (line[0] == 0) {
			in_block = false;
			continue;
		}
		value = cut(line);
		CHECK(in_block != (strcmp(line, "name") == 0), "%s: a block begins with its name: %s", path, line);
		if (in_block)
			add_field(&v.list[v.count - 1], line, value);
		else
			add_vector(&v, value);
		in_block = true;
	}
	free(line);
	fclose(f);
	CHECK(v.count > 0, "%s holds no vectors", path);
	return v;
}

void vectors_free(struct vectors *v)
{
	for (size_t i = 0; i < v->count; i++) {
		for (int k = 0; k < v->list[i].count; k++) {
			free(v->list[i].fields[k].key);
			free(v->list[i].fields[k].data);
		}
		free(v->list[i].name);
	}
	free(v->list);
}

const struct vector_field *vector_field(const struct vector *v, const char *key)
{
	for (int i = 0; i < v->count; i++) {
		if (strcmp(v->fields[i].key, key) == 0)
			return &v->fields[i];
	}
	return NULL;
}

const struct vector_field *vector_need(const struct vector *v, const char *key)
{
	const struct vector_field *f = vector_field(v, key);

	CHECK(f != NULL, "%s: no field %s", v->name, key);
	return f;
}

uint8_t vector_byte(const struct vector *v, const char *key)
{
	const struct vector_field *f = vector_need(v, key);

	CHECK(f->len == 1, "%s: %s is not one byte", v->name, key);
	return f->data[0];
}

const struct vector *vector_named(const struct vectors *all, const char *name)
{
	for (size_t i = 0; i < all->count; i++) {
		if (strcmp(all->list[i].name, name) == 0)
			return &all->list[i];
	}
	test_fail(__FILE__, __LINE__, "no vector is named %s", name);
}
