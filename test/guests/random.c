/* Prints all that could tell one run from another: random bytes, clocks, addresses, file times. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

static void print_clock(const char *name, __wasi_clockid_t id) {
  __wasi_timestamp_t now = 0, resolution = 0;
  __wasi_errno_t error = __wasi_clock_time_get(id, 1, &now);
  __wasi_errno_t no_resolution = __wasi_clock_res_get(id, &resolution);
  printf("%s %d %llu %d %llu\n", name, error, (unsigned long long)now, no_resolution, (unsigned long long)resolution);
}

int main(void) {
  for (int round = 0; round < 3; round++) {
    unsigned char bytes[32];
    if (getentropy(bytes, sizeof bytes) != 0) {
      perror("getentropy");
      return 1;
    }
    printf("random ");
    for (size_t i = 0; i < sizeof bytes; i++) printf("%02x", bytes[i]);
    printf("\n");
    print_clock("realtime", __WASI_CLOCKID_REALTIME);
    print_clock("monotonic", __WASI_CLOCKID_MONOTONIC);
    print_clock("process", __WASI_CLOCKID_PROCESS_CPUTIME_ID);
    print_clock("thread", __WASI_CLOCKID_THREAD_CPUTIME_ID);
    struct timespec pause = {0, 1000000};
    nanosleep(&pause, NULL);
  }
  printf("heap %p\n", malloc(100));

  FILE *file = fopen("/random.tmp", "w");
  struct stat status;
  if (file == NULL || fputs("x", file) < 0 || fclose(file) != 0 || stat("/random.tmp", &status) != 0) {
    perror("/random.tmp");
    return 1;
  }
  printf("file inode %llu modified %lld.%09ld\n", (unsigned long long)status.st_ino, (long long)status.st_mtim.tv_sec,
         status.st_mtim.tv_nsec);
  unlink("/random.tmp");
  return 0;
}
