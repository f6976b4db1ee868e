/* Says back what it was given: arguments, environment, standard input. */
#include <stdio.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
  printf("argc %d\n", argc);
  for (int i = 0; i < argc; i++) printf("arg %s\n", argv[i]);
  for (char **entry = environ; entry != NULL && *entry != NULL; entry++) printf("env %s\n", *entry);
  printf("stdin ");
  fflush(stdout);
  char buffer[4096];
  ssize_t length;
  while ((length = read(0, buffer, sizeof buffer)) > 0) fwrite(buffer, 1, (size_t)length, stdout);
  if (length < 0) {
    perror("stdin");
    return 1;
  }
  printf("\nend\n");
  return 0;
}
