/*
 * A reactor: a library whose functions the page calls, each with JSON in and JSON out (docs/guests.md). Its instance is
 * kept, so `count` counts. Some functions break the convention on purpose.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vak.h"

#define EXPORT(name) __attribute__((export_name(#name)))

EXPORT(alloc) void *vak_alloc(uint32_t size) { return malloc(size); }
EXPORT(dealloc) void vak_dealloc(void *at, uint32_t size) {
  (void)size;
  free(at);
}

/* An answer: four bytes of length, then JSON. */
static char *answer(const char *json, uint32_t length) {
  char *at = malloc(4 + length);
  if (at == NULL) abort();
  memcpy(at, &length, 4);
  memcpy(at + 4, json, length);
  return at;
}

static int started = 0;
__attribute__((constructor)) static void start(void) { started = 41; }

/* Gives its input back. */
EXPORT(execute) char *execute(const char *input, uint32_t length) { return answer(input, length); }

/* How often it was called; the first time is 42 only if `_initialize` was called, once. */
EXPORT(count) char *count(const char *input, uint32_t length) {
  (void)input;
  (void)length;
  char text[16];
  return answer(text, (uint32_t)snprintf(text, sizeof text, "%d", ++started));
}

/* Calls a tool with the input as request, and gives what it answers. */
EXPORT(ask) char *ask(const char *input, uint32_t length) {
  char *request = strndup(input, length);
  char *said = vak_call(request);
  free(request);
  return answer(said, (uint32_t)strlen(said));
}

/* Appends the input to a file that it keeps open, and prints it. */
EXPORT(note) char *note(const char *input, uint32_t length) {
  static FILE *file;
  if (file == NULL) file = fopen("/notes.txt", "w");
  if (file == NULL) abort();
  fwrite(input, 1, length, file);
  fflush(file);
  printf("noted %u bytes\n", length);
  fflush(stdout);
  return answer("true", 4);
}

EXPORT(outside) uint32_t outside(const char *input, uint32_t length) {
  (void)input;
  (void)length;
  return 0xfffffff0;
}
EXPORT(nothing) uint32_t nothing(const char *input, uint32_t length) {
  (void)input;
  (void)length;
  return 0;
}
EXPORT(endless_answer) char *endless_answer(const char *input, uint32_t length) {
  char *at = answer(input, length);
  memset(at, 0xff, 4);
  return at;
}
EXPORT(no_json) char *no_json(const char *input, uint32_t length) {
  (void)input;
  (void)length;
  return answer("{\"a\":", 5);
}
EXPORT(no_text) char *no_text(const char *input, uint32_t length) {
  (void)input;
  (void)length;
  return answer("\"\xff\xfe\"", 4);
}
EXPORT(long_parameters) int long_parameters(int64_t input, int64_t length) { return (int)(input + length); }
EXPORT(one_parameter) int one_parameter(int input) { return input; }
EXPORT(trap) char *trap(const char *input, uint32_t length) {
  (void)input;
  (void)length;
  __builtin_trap();
}
EXPORT(leave) char *leave(const char *input, uint32_t length) {
  (void)input;
  exit((int)length);
}
EXPORT(spin) char *spin(const char *input, uint32_t length) {
  (void)input;
  for (volatile uint32_t i = length;; i++) {
  }
}
