/* Does to its files what the lines of its input say, and prints what came of each: `ok`, what was read, or the errno's name. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vak.h"

static const char *name_of(int error) {
  switch (error) {
    case EROFS: return "EROFS";
    case EXDEV: return "EXDEV";
    case EPERM: return "EPERM";
    case EBUSY: return "EBUSY";
    case ENOSPC: return "ENOSPC";
    case ENOENT: return "ENOENT";
    case EEXIST: return "EEXIST";
    case EISDIR: return "EISDIR";
    case ENOTDIR: return "ENOTDIR";
    case ENOTEMPTY: return "ENOTEMPTY";
    case ENOTCAPABLE: return "ENOTCAPABLE";
    default: return strerror(error);
  }
}

static void done(int result) { printf("%s\n", result == 0 ? "ok" : name_of(errno)); }

static void cat(const char *path) {
  static char buffer[65536];
  int fd = open(path, O_RDONLY);
  if (fd < 0) return done(-1);
  ssize_t length;
  while ((length = read(fd, buffer, sizeof buffer)) > 0) fwrite(buffer, 1, (size_t)length, stdout);
  close(fd);
  printf("\n");
}

static void put(const char *path, const char *text, int flags) {
  int fd = open(path, O_WRONLY | O_CREAT | flags, 0666);
  if (fd < 0) return done(-1);
  size_t length = strlen(text);
  ssize_t written = write(fd, text, length);
  int failed = written != (ssize_t)length;
  int error = errno;
  close(fd);
  errno = error;
  done(failed ? -1 : 0);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path) {
  static char *names[256];
  int count = 0;
  DIR *directory = opendir(path);
  if (directory == NULL) return done(-1);
  struct dirent *entry;
  while (count < 256 && (entry = readdir(directory)) != NULL) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) names[count++] = strdup(entry->d_name);
  }
  closedir(directory);
  qsort(names, (size_t)count, sizeof names[0], by_name);
  for (int i = 0; i < count; i++) {
    printf(i ? " %s" : "%s", names[i]);
    free(names[i]);
  }
  printf("\n");
}

int main(void) {
  static char line[70000];
  setvbuf(stdout, NULL, _IOLBF, 4096);
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    char *command = line;
    char *first = strchr(line, ' ');
    if (first != NULL) *first++ = '\0';
    char *rest = first == NULL ? NULL : strchr(first, ' ');
    if (strcmp(command, "call") == 0) {
      char *answer = vak_call(first == NULL ? "" : first);
      printf("%s\n", answer == NULL ? "no answer" : answer);
      free(answer);
      continue;
    }
    if (rest != NULL) *rest++ = '\0';
    if (first == NULL) first = "/";
    if (rest == NULL) rest = "";
    if (strcmp(command, "cat") == 0) cat(first);
    else if (strcmp(command, "put") == 0) put(first, rest, O_TRUNC);
    else if (strcmp(command, "add") == 0) put(first, rest, O_APPEND);
    else if (strcmp(command, "ls") == 0) list(first);
    else if (strcmp(command, "mkdir") == 0) done(mkdir(first, 0777));
    else if (strcmp(command, "rmdir") == 0) done(rmdir(first));
    else if (strcmp(command, "rm") == 0) done(unlink(first));
    else if (strcmp(command, "mv") == 0) done(rename(first, rest));
    else if (strcmp(command, "ln") == 0) done(link(first, rest));
    else if (strcmp(command, "symlink") == 0) done(symlink(first, rest));
    else printf("what is %s?\n", command);
  }
  return 0;
}
