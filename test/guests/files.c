/* Uses files in every ordinary way below /files, prints what it saw, and ends with the number of wrong answers. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int wrong = 0;

static void check(const char *what, int ok) {
  if (ok) return;
  wrong++;
  printf("WRONG %s (errno %d %s)\n", what, errno, strerror(errno));
}

/* Checks that a call failed with `expected`. */
static void refused(const char *what, int result, int expected) {
  if (result == -1 && errno == expected) return;
  wrong++;
  printf("WRONG %s: result %d, errno %d %s, expected %s\n", what, result, errno, strerror(errno), strerror(expected));
}

static void check_content(const char *path, const char *expected) {
  char buffer[256] = "";
  int fd = open(path, O_RDONLY);
  ssize_t length = fd < 0 ? -1 : read(fd, buffer, sizeof buffer - 1);
  if (fd >= 0) close(fd);
  if (length == (ssize_t)strlen(expected) && memcmp(buffer, expected, (size_t)length) == 0) return;
  wrong++;
  printf("WRONG content of %s: %zd bytes \"%s\", expected \"%s\"\n", path, length, buffer, expected);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Prints the sorted names in a directory, and returns how many there are (. and .. not counted). */
static int list(const char *path) {
  char *names[256];
  int count = 0;
  DIR *directory = opendir(path);
  check(path, directory != NULL);
  if (directory == NULL) return -1;
  struct dirent *entry;
  while (count < 256 && (entry = readdir(directory)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    names[count++] = strdup(entry->d_name);
  }
  closedir(directory);
  qsort(names, (size_t)count, sizeof names[0], by_name);
  printf("%s:", path);
  for (int i = 0; i < count; i++) {
    if (i < 8) printf(" %s", names[i]);
    free(names[i]);
  }
  printf("%s\n", count > 8 ? " ..." : "");
  return count;
}

int main(void) {
  struct stat status;
  char buffer[256];

  /* directories */
  check("mkdir /files", mkdir("/files", 0777) == 0);
  refused("mkdir again", mkdir("/files", 0777), EEXIST);
  refused("mkdir without parent", mkdir("/files/no/where", 0777), ENOENT);
  check("mkdir sub", mkdir("/files/sub", 0777) == 0);

  /* write, read, seek */
  int fd = open("/files/a.txt", O_RDWR | O_CREAT | O_EXCL, 0666);
  check("create a.txt", fd >= 0);
  refused("create a.txt again", open("/files/a.txt", O_RDWR | O_CREAT | O_EXCL, 0666), EEXIST);
  check("write", write(fd, "hello world", 11) == 11);
  check("seek to start", lseek(fd, 0, SEEK_SET) == 0);
  check("read", read(fd, buffer, sizeof buffer) == 11 && memcmp(buffer, "hello world", 11) == 0);
  check("read at the end", read(fd, buffer, sizeof buffer) == 0);
  check("seek from the end", lseek(fd, -5, SEEK_END) == 6);
  check("write over", write(fd, "W", 1) == 1);
  check("seek onward", lseek(fd, 1, SEEK_CUR) == 8);
  refused("seek before the start", (int)lseek(fd, -1, SEEK_SET), EINVAL);
  check("pread", pread(fd, buffer, 5, 6) == 5 && memcmp(buffer, "World", 5) == 0);
  check("pwrite", pwrite(fd, "H", 1, 0) == 1);
  check("the position is as it was", lseek(fd, 0, SEEK_CUR) == 8);
  check("close", close(fd) == 0);
  refused("write after close", (int)write(fd, "x", 1), EBADF);
  check_content("/files/a.txt", "Hello World");

  /* access modes */
  fd = open("/files/a.txt", O_RDONLY);
  errno = 0;
  check("write to a file opened to read", write(fd, "x", 1) == -1);
  close(fd);
  fd = open("/files/a.txt", O_WRONLY);
  errno = 0;
  check("read from a file opened to write", read(fd, buffer, 1) == -1);
  close(fd);
  check_content("/files/a.txt", "Hello World");

  /* append */
  fd = open("/files/a.txt", O_WRONLY | O_APPEND);
  check("append", lseek(fd, 0, SEEK_SET) == 0 && write(fd, "!", 1) == 1 && close(fd) == 0);
  check_content("/files/a.txt", "Hello World!");

  /* truncate, and a hole */
  fd = open("/files/a.txt", O_RDWR);
  check("shorten", ftruncate(fd, 5) == 0 && fstat(fd, &status) == 0 && status.st_size == 5);
  check("lengthen", ftruncate(fd, 8) == 0 && pread(fd, buffer, 8, 0) == 8 && memcmp(buffer, "Hello\0\0\0", 8) == 0);
  check("write past the end", pwrite(fd, "z", 1, 20) == 1 && fstat(fd, &status) == 0 && status.st_size == 21);
  check("the hole is zero", pread(fd, buffer, 12, 8) == 12 && memcmp(buffer, "\0\0\0\0\0\0\0\0\0\0\0\0", 12) == 0);
  close(fd);
  fd = open("/files/a.txt", O_WRONLY | O_TRUNC);
  check("O_TRUNC", fd >= 0 && fstat(fd, &status) == 0 && status.st_size == 0);
  check("write again", write(fd, "short", 5) == 5 && close(fd) == 0);
  check_content("/files/a.txt", "short");

  /* stat */
  check("stat a file", stat("/files/a.txt", &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 5);
  check("stat a directory", stat("/files/sub", &status) == 0 && S_ISDIR(status.st_mode));
  refused("stat nothing", stat("/files/none", &status), ENOENT);
  refused("a file as a directory", stat("/files/a.txt/x", &status), ENOTDIR);

  /* rename */
  check("rename", rename("/files/a.txt", "/files/b.txt") == 0);
  refused("the old name", stat("/files/a.txt", &status), ENOENT);
  check_content("/files/b.txt", "short");
  check("rename into a directory", rename("/files/b.txt", "/files/sub/c.txt") == 0);
  fd = open("/files/d.txt", O_WRONLY | O_CREAT, 0666);
  check("another file", fd >= 0 && write(fd, "other", 5) == 5 && close(fd) == 0);
  check("rename over a file", rename("/files/d.txt", "/files/sub/c.txt") == 0);
  check_content("/files/sub/c.txt", "other");
  refused("rename nothing", rename("/files/none", "/files/some"), ENOENT);
  check("rename a directory", rename("/files/sub", "/files/moved") == 0);
  check_content("/files/moved/c.txt", "other");

  /* an open file outlives its name */
  fd = open("/files/moved/c.txt", O_RDONLY);
  check("unlink an open file", unlink("/files/moved/c.txt") == 0);
  refused("it is gone", stat("/files/moved/c.txt", &status), ENOENT);
  check("it still reads", read(fd, buffer, 5) == 5 && memcmp(buffer, "other", 5) == 0);
  close(fd);
  refused("unlink nothing", unlink("/files/none"), ENOENT);

  /* more names than one buffer of readdir holds */
  check("mkdir many", mkdir("/files/many", 0777) == 0);
  for (int i = 0; i < 200; i++) {
    snprintf(buffer, sizeof buffer, "/files/many/a-name-that-is-rather-long-%03d.txt", i);
    fd = open(buffer, O_WRONLY | O_CREAT, 0666);
    check(buffer, fd >= 0 && write(fd, buffer, 1) == 1 && close(fd) == 0);
  }
  check("200 names", list("/files/many") == 200);
  refused("rmdir of a full directory", rmdir("/files/many"), ENOTEMPTY);
  for (int i = 0; i < 200; i++) {
    snprintf(buffer, sizeof buffer, "/files/many/a-name-that-is-rather-long-%03d.txt", i);
    check(buffer, unlink(buffer) == 0);
  }
  check("rmdir", rmdir("/files/many") == 0);
  refused("rmdir again", rmdir("/files/many"), ENOENT);

  /* names */
  fd = open("/files/grüße 世界.txt", O_WRONLY | O_CREAT, 0666);
  check("a name in UTF-8", fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
  fd = open("/files/moved/../moved/./../dots.txt", O_WRONLY | O_CREAT, 0666);
  check("dots", fd >= 0 && close(fd) == 0 && stat("/files/dots.txt", &status) == 0);
  errno = 0;
  fd = open("/../../outside.txt", O_RDONLY);
  check("nothing above the root", fd == -1);
  check("three names", list("/files") == 3);

  /* stdio */
  FILE *file = fopen("/files/lines.txt", "w");
  check("fopen", file != NULL);
  for (int i = 0; i < 1000; i++) fprintf(file, "line %d\n", i);
  check("fclose", fclose(file) == 0);
  int lines = 0;
  file = fopen("/files/lines.txt", "r");
  while (fgets(buffer, sizeof buffer, file) != NULL) lines++;
  check("1000 lines", lines == 1000);
  fclose(file);

  printf("%d wrong\n", wrong);
  return wrong > 100 ? 100 : wrong;
}
