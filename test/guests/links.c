/*
 * Uses links, times, clocks and polling in every ordinary way, below the files that the test gives it: a file `given/a`
 * ("one"), an empty directory `empty`, a symbolic link `link` to `given/a`. Ends with the number of wrong answers.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

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

static int holds(const char *path, const char *expected) {
  char buffer[64] = "";
  int fd = open(path, O_RDONLY);
  ssize_t length = fd < 0 ? -1 : read(fd, buffer, sizeof buffer - 1);
  if (fd >= 0) close(fd);
  return length == (ssize_t)strlen(expected) && memcmp(buffer, expected, (size_t)length) == 0;
}

static int write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (fd < 0) return 0;
  ssize_t length = write(fd, text, strlen(text));
  return close(fd) == 0 && length == (ssize_t)strlen(text);
}

int main(void) {
  struct stat status, other;
  char buffer[64];

  /* what the page gave */
  check("the given file", holds("/given/a", "one"));
  check("through the given link", holds("/link", "one"));
  check("lstat", lstat("/link", &status) == 0 && S_ISLNK(status.st_mode) && status.st_size == 7);
  check("stat", stat("/link", &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 3);
  check("readlink", readlink("/link", buffer, sizeof buffer) == 7 && memcmp(buffer, "given/a", 7) == 0);
  check("the empty directory", stat("/empty", &status) == 0 && S_ISDIR(status.st_mode));

  /* symbolic links */
  check("symlink", symlink("../given/a", "/empty/up") == 0 && holds("/empty/up", "one"));
  check("symlink to a directory", symlink("given", "/folder") == 0 && holds("/folder/a", "one"));
  check("write through a link", write_file("/folder/a", "two") && holds("/given/a", "two"));
  refused("symlink over something", symlink("x", "/link"), EEXIST);
  refused("O_NOFOLLOW", open("/link", O_RDONLY | O_NOFOLLOW), ELOOP);
  refused("readlink of a file", (int)readlink("/given/a", buffer, sizeof buffer), EINVAL);
  check("dangling", symlink("nowhere", "/dangling") == 0);
  refused("open dangling", open("/dangling", O_RDONLY), ENOENT);
  refused("O_EXCL dangling", open("/dangling", O_WRONLY | O_CREAT | O_EXCL, 0666), EEXIST);
  check("create through it", write_file("/dangling", "made") && holds("/nowhere", "made"));
  check("a ring", symlink("ring2", "/ring1") == 0 && symlink("ring1", "/ring2") == 0);
  refused("open the ring", open("/ring1", O_RDONLY), ELOOP);
  check("a link out", symlink("../../etc", "/out") == 0);
  errno = 0;
  check("stays in", open("/out/passwd", O_RDONLY) == -1 && errno != ENOENT);
  check("unlink a link", unlink("/folder") == 0 && stat("/given/a", &status) == 0);

  /* hard links, and renaming over */
  check("link", link("/given/a", "/hard") == 0 && holds("/hard", "two"));
  check("one file", stat("/hard", &status) == 0 && stat("/given/a", &other) == 0 && status.st_ino == other.st_ino);
  check("two names", status.st_nlink == 2);
  refused("link over something", link("/hard", "/nowhere"), EEXIST);
  refused("link a directory", link("/given", "/linked"), EPERM);
  check("rename over", write_file("/new", "new") && rename("/new", "/hard") == 0 && holds("/hard", "new"));
  check("the other name stays", holds("/given/a", "two") && stat("/given/a", &status) == 0 && status.st_nlink == 1);
  check("rename a directory over an empty one", mkdir("/full", 0777) == 0 && write_file("/full/x", "x") && mkdir("/bare", 0777) == 0 && rename("/full", "/bare") == 0 && holds("/bare/x", "x"));
  refused("rename over a full one", rename("/empty", "/bare"), ENOTEMPTY);
  refused("rename into itself", rename("/bare", "/bare/y"), EINVAL);
  refused("a file over a directory", rename("/hard", "/bare"), EISDIR);
  refused("a directory over a file", rename("/bare", "/hard"), ENOTDIR);
  refused("rmdir of a file", rmdir("/hard"), ENOTDIR);
  refused("unlink of a directory", unlink("/bare"), EISDIR);
  refused("a slash after a file", open("/hard/", O_RDONLY), ENOTDIR);

  /* times */
  struct timespec times[2] = {{.tv_sec = 1, .tv_nsec = 2}, {.tv_sec = 3, .tv_nsec = 4}};
  check("utimensat", utimensat(AT_FDCWD, "/hard", times, 0) == 0 && stat("/hard", &status) == 0);
  check("they are set", status.st_atim.tv_sec == 1 && status.st_atim.tv_nsec == 2 && status.st_mtim.tv_sec == 3 && status.st_mtim.tv_nsec == 4);
  check("of a link", utimensat(AT_FDCWD, "/link", times, AT_SYMLINK_NOFOLLOW) == 0 && stat("/given/a", &status) == 0 && status.st_mtim.tv_sec != 3);

  /* clocks and polling */
  struct timespec before, after;
  __wasi_timestamp_t cpu, monotonic;
  check("clock", clock_gettime(CLOCK_MONOTONIC, &before) == 0);
  check("sleep", nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL) == 0);
  check("clock again", clock_gettime(CLOCK_MONOTONIC, &after) == 0);
  long long slept = (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
  check("the sleep took its time", slept >= 20 * 1000 * 1000);
  check("the CPU clock", __wasi_clock_time_get(__WASI_CLOCKID_PROCESS_CPUTIME_ID, 0, &cpu) == 0 && cpu > 0);
  check("the other", __wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 0, &monotonic) == 0);
  check("it stands still in sleep", monotonic - cpu >= 20 * 1000 * 1000);
  struct pollfd polled[2] = {{.fd = 0, .events = POLLIN}, {.fd = 1, .events = POLLOUT}};
  check("poll", poll(polled, 2, 1000) == 2 && polled[0].revents & POLLIN && polled[1].revents & POLLOUT);
  check("yield", sched_yield() == 0);
  check("no terminal", !isatty(0) && !isatty(1) && !isatty(2));

  printf("%d wrong\n", wrong);
  return wrong > 100 ? 100 : wrong;
}
