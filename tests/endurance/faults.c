/* Preloaded into a process, it makes system calls fail as a bad machine does. Set in the
 * environment:
 *   FAULT_ERRNO, FAULT_PATH, FAULT_AFTER  writing more than FAULT_AFTER bytes to files whose path
 *       holds FAULT_PATH fails with this error number; 30 (EROFS) fails opening them for writing
 *   FAULT_CLOCK  each look at the clock shows a time this many seconds before the last
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static atomic_long written, looks;

static long number(const char* name) {
  const char* text = getenv(name);
  return text ? atol(text) : 0;
}

static int is_meant(int fd) {
  char link[64], path[4096];
  const char* wanted = getenv("FAULT_PATH");
  if (!wanted) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, wanted) != NULL;
}

static int fails(int fd, size_t count) {
  if (!number("FAULT_ERRNO") || !is_meant(fd)) return 0;
  if (atomic_fetch_add(&written, count) + (long)count <= number("FAULT_AFTER")) return 0;
  errno = number("FAULT_ERRNO");
  return 1;
}

ssize_t write(int fd, const void* data, size_t count) {
  static ssize_t (*real)(int, const void*, size_t);
  if (!real) real = dlsym(RTLD_NEXT, "write");
  return fails(fd, count) ? -1 : real(fd, data, count);
}

static int refuses(const char* path, int flags) {
  const char* wanted = getenv("FAULT_PATH");
  if (number("FAULT_ERRNO") != EROFS || !wanted || !strstr(path, wanted)) return 0;
  if (!(flags & (O_WRONLY | O_RDWR | O_CREAT))) return 0;
  errno = EROFS;
  return 1;
}

#define OPEN(name)                                                \
  int name(const char* path, int flags, ...) {                    \
    static int (*real)(const char*, int, ...);                    \
    if (!real) real = dlsym(RTLD_NEXT, #name);                    \
    va_list rest;                                                 \
    va_start(rest, flags);                                        \
    int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, int) : 0; \
    va_end(rest);                                                 \
    return refuses(path, flags) ? -1 : real(path, flags, mode);   \
  }
OPEN(open)
OPEN(open64)

int clock_gettime(clockid_t clock, struct timespec* now) {
  static int (*real)(clockid_t, struct timespec*);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, now);
  if (clock == CLOCK_REALTIME) now->tv_sec -= number("FAULT_CLOCK") * atomic_fetch_add(&looks, 1);
  return result;
}
