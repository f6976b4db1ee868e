/* Calls of host tools by the import module "vak". */
#ifndef VAK_H
#define VAK_H

#include <stdlib.h>
#include <string.h>

__attribute__((import_module("vak"), import_name("call"))) int vak_import_call(const char *request, int length);
__attribute__((import_module("vak"), import_name("answer"))) int vak_import_answer(char *answer);

/*
 * Calls a tool: `request` is JSON, {"tool": name, "input": {...}}. Returns the answer's JSON, {"ok": value} or
 * {"error": {"code", "message"}}, which the caller frees; or NULL, when the host refused even to answer.
 */
static inline char *vak_call(const char *request) {
  int length = vak_import_call(request, (int)strlen(request));
  if (length < 0) return NULL;
  char *answer = malloc((size_t)length + 1);
  if (answer == NULL) return NULL;
  if (vak_import_answer(answer) < 0) {
    free(answer);
    return NULL;
  }
  answer[length] = '\0';
  return answer;
}

#endif
