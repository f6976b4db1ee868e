/* The job in small: reads /in.txt, calls a tool that the policy allows and one that it forbids, writes /out/result.txt. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vak.h"

/* The error code in an answer, or "none". */
static const char *error_code(const char *answer) {
  static char code[64];
  const char *at = strstr(answer, "\"code\":\"");
  if (strncmp(answer, "{\"error\":", 9) != 0 || at == NULL) return "none";
  sscanf(at + 8, "%63[^\"]", code);
  return code;
}

int main(void) {
  char text[256] = "";
  FILE *in = fopen("/in.txt", "r");
  if (in == NULL) {
    perror("/in.txt");
    return 1;
  }
  size_t length = fread(text, 1, sizeof text - 1, in);
  text[length] = '\0';
  fclose(in);
  printf("read %zu bytes\n", length);
  fflush(stdout);

  char *added = vak_call("{\"tool\":\"add\",\"input\":{\"a\":1,\"b\":2}}");
  if (added == NULL) return 2;
  printf("add: %s\n", added);
  fflush(stdout);

  char *wiped = vak_call("{\"tool\":\"wipe\",\"input\":{\"path\":\"/\"}}");
  if (wiped == NULL) return 3;
  printf("wipe: %s\n", error_code(wiped));
  fflush(stdout);

  if (mkdir("/out", 0777) != 0) {
    perror("/out");
    return 4;
  }
  FILE *out = fopen("/out/result.txt", "w");
  if (out == NULL) {
    perror("/out/result.txt");
    return 5;
  }
  fprintf(out, "%s\nadd: %s\nwipe: %s\n", text, added, error_code(wiped));
  if (fclose(out) != 0) return 6;
  free(added);
  free(wiped);
  printf("done\n");
  return 0;
}
