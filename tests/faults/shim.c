/* Makes one write-class system call of a process go wrong: preloaded by the tests, never part of the product.

   It counts the calls that change what lies under one directory, in a file that the test maps too, and before the
   wanted one it ends the process, or cuts the power of the file system, or lets calls fail. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FS_IOC_SHUTDOWN _IOR('X', 125, uint32_t)
#define NO_LOG_FLUSH 2u
#define KINDS 16

enum { WRITE, SYNC, TRUNCATE, UNLINK, RENAME, ALLOCATE, CREATE };

struct board {                /* shared with the test; all fields are 32 bits */
  uint32_t calls;             /* so many calls so far */
  uint32_t fired;             /* so many of them went wrong */
  uint32_t at, many;          /* the first that is to go wrong, and how many; at 0 none is */
  uint32_t action;            /* what happens: 0 kill, 1 power, 2 an error before the call, 3 an error after it */
  uint32_t error;             /* the errno */
  uint32_t only;              /* a mask of the kinds that count, by the numbers above */
  uint32_t kinds[KINDS];      /* calls by kind */
};

static struct board *board;
static char under[PATH_MAX];
static size_t under_length;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("FAULT_BOARD"), *root = getenv("FAULT_UNDER");
  if (!path || !root || !realpath(root, under)) return;
  under_length = strlen(under);
  int file = open(path, O_RDWR | O_CLOEXEC);
  if (file < 0) return;
  void *mapped = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (mapped != MAP_FAILED) board = mapped;
}

static int inside(const char *path) {
  return !strncmp(path, under, under_length) && (path[under_length] == '/' || !path[under_length]);
}

static int fd_inside(int file) {
  char name[32], path[PATH_MAX];
  snprintf(name, sizeof name, "/proc/self/fd/%d", file);
  ssize_t length = readlink(name, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return inside(path);
}

static int path_inside(int directory, const char *path) {
  if (path[0] == '/') return inside(path);
  if (directory != AT_FDCWD) return fd_inside(directory);
  char here[PATH_MAX];
  return getcwd(here, sizeof here) && inside(here);
}

static void cut_power(void) {
  uint32_t how = NO_LOG_FLUSH;
  int root = open(under, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0 || ioctl(root, FS_IOC_SHUTDOWN, &how)) _exit(99);
}

/* Count a call; give 1 if it is to fail before it is made, 2 if after. */
static int strike(int kind) {
  if (!(board->only & 1u << kind)) return 0;
  __atomic_fetch_add(&board->kinds[kind], 1, __ATOMIC_SEQ_CST);
  uint32_t call = __atomic_add_fetch(&board->calls, 1, __ATOMIC_SEQ_CST);
  if (!board->at || call < board->at || call - board->at >= board->many) return 0;
  board->fired++;
  if (board->action == 1) cut_power();
  if (board->action <= 1) {
    kill(getpid(), SIGKILL);
    pause();
  }
  return board->action == 2 ? 1 : 2;
}

#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__); \
  if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define THROUGH(kind, is_inside, call) \
  int fate = board && (is_inside) ? strike(kind) : 0; \
  if (fate == 1) { errno = (int)board->error; return -1; } \
  __typeof__(call) result = (call); \
  if (fate == 2) { errno = (int)board->error; return -1; } \
  return result

#define NUMBER(kind, is_inside, call) /* of those that give the error, and leave errno alone */ \
  int fate = board && (is_inside) ? strike(kind) : 0; \
  if (fate == 1) return (int)board->error; \
  int result = (call); \
  return fate == 2 ? (int)board->error : result

ssize_t write(int file, const void *data, size_t size) {
  REAL(ssize_t, "write", int, const void *, size_t);
  THROUGH(WRITE, fd_inside(file), real(file, data, size));
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
  THROUGH(WRITE, fd_inside(file), real(file, data, size, at));
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
  REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
  THROUGH(WRITE, fd_inside(file), real(file, data, size, at));
}
int fsync(int file) {
  REAL(int, "fsync", int);
  THROUGH(SYNC, fd_inside(file), real(file));
}
int fdatasync(int file) {
  REAL(int, "fdatasync", int);
  THROUGH(SYNC, fd_inside(file), real(file));
}
int ftruncate(int file, off_t size) {
  REAL(int, "ftruncate", int, off_t);
  THROUGH(TRUNCATE, fd_inside(file), real(file, size));
}
int ftruncate64(int file, off64_t size) {
  REAL(int, "ftruncate64", int, off64_t);
  THROUGH(TRUNCATE, fd_inside(file), real(file, size));
}
int unlink(const char *path) {
  REAL(int, "unlink", const char *);
  THROUGH(UNLINK, path_inside(AT_FDCWD, path), real(path));
}
int unlinkat(int directory, const char *path, int flags) {
  REAL(int, "unlinkat", int, const char *, int);
  THROUGH(UNLINK, path_inside(directory, path), real(directory, path, flags));
}
int rename(const char *from, const char *to) {
  REAL(int, "rename", const char *, const char *);
  THROUGH(RENAME, path_inside(AT_FDCWD, to), real(from, to));
}
int renameat(int from_directory, const char *from, int directory, const char *to) {
  REAL(int, "renameat", int, const char *, int, const char *);
  THROUGH(RENAME, path_inside(directory, to), real(from_directory, from, directory, to));
}
int renameat2(int from_directory, const char *from, int directory, const char *to, unsigned flags) {
  REAL(int, "renameat2", int, const char *, int, const char *, unsigned);
  THROUGH(RENAME, path_inside(directory, to), real(from_directory, from, directory, to, flags));
}
int linkat(int from_directory, const char *from, int directory, const char *to, int flags) {
  REAL(int, "linkat", int, const char *, int, const char *, int);
  THROUGH(RENAME, path_inside(directory, to), real(from_directory, from, directory, to, flags));
}
int posix_fallocate(int file, off_t at, off_t size) {
  REAL(int, "posix_fallocate", int, off_t, off_t);
  NUMBER(ALLOCATE, fd_inside(file), real(file, at, size));
}
int posix_fallocate64(int file, off64_t at, off64_t size) {
  REAL(int, "posix_fallocate64", int, off64_t, off64_t);
  NUMBER(ALLOCATE, fd_inside(file), real(file, at, size));
}
int mkdir(const char *path, mode_t mode) {
  REAL(int, "mkdir", const char *, mode_t);
  THROUGH(CREATE, path_inside(AT_FDCWD, path), real(path, mode));
}
int mkdirat(int directory, const char *path, mode_t mode) {
  REAL(int, "mkdirat", int, const char *, mode_t);
  THROUGH(CREATE, path_inside(directory, path), real(directory, path, mode));
}

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    REAL(int, #name, const char *, int, ...); \
    va_list more; \
    va_start(more, flags); \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
    va_end(more); \
    if (!(flags & O_CREAT)) return real(path, flags, mode); \
    THROUGH(CREATE, path_inside(AT_FDCWD, path), real(path, flags, mode)); \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
  int name(int directory, const char *path, int flags, ...) { \
    REAL(int, #name, int, const char *, int, ...); \
    va_list more; \
    va_start(more, flags); \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
    va_end(more); \
    if (!(flags & O_CREAT)) return real(directory, path, flags, mode); \
    THROUGH(CREATE, path_inside(directory, path), real(directory, path, flags, mode)); \
  }
OPENAT(openat)
OPENAT(openat64)
