/* Makes each line of stdin a request, and prints each answer as a line. Exit code 1 when an answer does not come. */
#include <stdio.h>
#include <string.h>

#include "vak.h"

int main(void) {
  static char line[65536];
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    char *answer = vak_call(line);
    if (answer == NULL) return 1;
    puts(answer);
    fflush(stdout);
    free(answer);
  }
  return 0;
}
