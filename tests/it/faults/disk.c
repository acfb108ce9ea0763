/* A disk that fails, between a program and the system: loaded with LD_PRELOAD, it counts what the program does
   to the files of one database (its own, its log, its journal, its folder) and lets the n-th operation fail.

   FAULT_PATH  the database; every path that begins with it counts, and its folder
   FAULT_AT    which operation fails, from 1; 0 counts alone; power that is to go after the last one goes when
               the program ends
   FAULT_KIND  enospc, eio: the operation fails; short: half of it is written, and the next one finds no space;
               power: everything not synced is lost, and the process is gone
   FAULT_FROM  1: every later operation fails as well
   FAULT_KEEP  power: none, some (each unsynced write with even chances, some of them torn) or head (the first
               ones) of what was not synced reached the disk all the same
   FAULT_SEED  decides which
   FAULT_LIES  1: the disk says that it synced, and did not
   FAULT_LOG   where the number of operations, and what failed, is written

   A write is kept with what it replaced until its file is synced, so power loss can take it back. A new name is
   lost unless its folder was synced; a removed one stays removed. The shared memory beside a log is made anew
   by whoever comes first, so nothing is lost with it. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define FD_MAX 4096
#define FILES_MAX 64
#define PATH_LEN 1024

enum kind { NONE, ENOSPC_FAULT, EIO_FAULT, SHORT_FAULT, POWER_FAULT };

/* One change of a file that is not on the disk yet. */
struct change {
    struct change *before;
    struct change *after;
    off_t offset; /* of a write; -1: the file was cut or grown to `new_size` */
    size_t len;
    char *new_bytes;
    off_t old_offset; /* what stood where the write or the cut went */
    size_t old_len;
    char *old_bytes;
    off_t old_size;
    off_t new_size;
};

struct file {
    char path[PATH_LEN];
    struct change *first;
    struct change *last;
    int is_new; /* its name is not on the disk yet */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char base[PATH_LEN];
static char folder[PATH_LEN];
static char log_path[PATH_LEN];
static long fault_at, n_operations;
static enum kind fault_kind;
static int fault_from, fault_lies, is_space_gone;
static char fault_keep[16] = "none";
static uint64_t seed;
static struct file files[FILES_MAX];
static int n_files;
/* Of each descriptor: 0 = not ours, -1 = the folder, else a file's number from 1. */
static int of_fd[FD_MAX];

/* ---- the system, past ourselves ---- */

static int real_open(const char *path, int flags, mode_t mode) {
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
static ssize_t real_pwrite(int fd, const void *bytes, size_t len, off_t at) {
    return syscall(SYS_pwrite64, fd, bytes, len, at);
}
static ssize_t real_pread(int fd, void *bytes, size_t len, off_t at) {
    return syscall(SYS_pread64, fd, bytes, len, at);
}
static void real_close(int fd) { syscall(SYS_close, fd); }
static int real_truncate(int fd, off_t size) { return (int)syscall(SYS_ftruncate, fd, size); }

static void note(const char *format, ...) {
    char line[PATH_LEN * 2];
    va_list values;
    va_start(values, format);
    int len = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (!log_path[0] || len <= 0) return;
    int fd = real_open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) return;
    syscall(SYS_write, fd, line, (size_t)len);
    real_close(fd);
}

static uint64_t next_random(void) {
    uint64_t z = (seed += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* ---- which files are ours ---- */

static int is_shared_memory(const char *path) {
    size_t len = strlen(path);
    return len >= 4 && strcmp(path + len - 4, "-shm") == 0;
}

static int file_of(const char *path) {
    for (int n = 0; n < n_files; n++)
        if (strcmp(files[n].path, path) == 0) return n + 1;
    if (n_files == FILES_MAX || strlen(path) >= PATH_LEN) return 0;
    strcpy(files[n_files].path, path);
    return ++n_files;
}

static int is_ours(const char *path) { return base[0] && path && strncmp(path, base, strlen(base)) == 0; }

static int kind_of_fd(int fd) { return 0 <= fd && fd < FD_MAX ? of_fd[fd] : 0; }

static void forget_changes(struct file *file) {
    for (struct change *it = file->first; it;) {
        struct change *after = it->after;
        free(it->new_bytes);
        free(it->old_bytes);
        free(it);
        it = after;
    }
    file->first = file->last = NULL;
}

/* ---- power loss ---- */

static struct change *remember(int fd, off_t at, size_t len) {
    int n = kind_of_fd(fd);
    if (fault_kind != POWER_FAULT || n <= 0 || is_shared_memory(files[n - 1].path)) return NULL;
    struct stat found;
    if (fstat(fd, &found) != 0) return NULL;
    struct change *it = calloc(1, sizeof *it);
    it->old_size = found.st_size;
    it->old_offset = at;
    it->old_len = at < found.st_size ? (size_t)(found.st_size - at) : 0;
    if (it->old_len > len) it->old_len = len;
    if (it->old_len) {
        it->old_bytes = malloc(it->old_len);
        ssize_t got = real_pread(fd, it->old_bytes, it->old_len, at);
        it->old_len = got > 0 ? (size_t)got : 0;
    }
    struct file *file = &files[n - 1];
    it->before = file->last;
    if (file->last) file->last->after = it;
    else file->first = it;
    file->last = it;
    return it;
}

static void remember_write(int fd, const void *bytes, size_t len, off_t at) {
    struct change *it = remember(fd, at, len);
    if (!it) return;
    it->offset = at;
    it->len = len;
    it->new_bytes = malloc(len ? len : 1);
    memcpy(it->new_bytes, bytes, len);
}

static void remember_size(int fd, off_t size) {
    struct change *it = remember(fd, size, SIZE_MAX);
    if (!it) return;
    it->offset = -1;
    it->new_size = size;
}

static void redo(int fd, const struct change *it, size_t len) {
    if (it->offset < 0) real_truncate(fd, it->new_size);
    else real_pwrite(fd, it->new_bytes, len, it->offset);
}

static void lose(struct file *file) {
    int fd = real_open(file->path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) return;
    long n_changes = 0;
    for (struct change *it = file->last; it; it = it->before, n_changes++) {
        real_truncate(fd, it->old_size);
        if (it->old_len) real_pwrite(fd, it->old_bytes, it->old_len, it->old_offset);
    }
    int keeps_some = strcmp(fault_keep, "some") == 0, keeps_head = strcmp(fault_keep, "head") == 0;
    long n_kept = keeps_head && n_changes ? (long)(next_random() % (uint64_t)(n_changes + 1)) : 0;
    for (struct change *it = file->first; it; it = it->after) {
        if (keeps_head && n_kept-- <= 0) break;
        if (keeps_some && next_random() % 2) continue;
        if (!keeps_head && !keeps_some) break;
        size_t len = it->len;
        /* A sector is written whole or not at all; a page of several may be cut between them. */
        if (keeps_some && len > 512 && next_random() % 4 == 0) len = 512 * (size_t)(next_random() % (len / 512 + 1));
        redo(fd, it, len);
    }
    real_close(fd);
    if (file->is_new && !keeps_head && !(keeps_some && next_random() % 2)) {
        syscall(SYS_unlinkat, AT_FDCWD, file->path, 0);
        note("lost the name %s\n", file->path);
    }
    note("lost of %ld writes to %s\n", n_changes, file->path);
}

static void lose_power(void) {
    for (int n = 0; n < n_files; n++) lose(&files[n]);
    note("operations %ld\n", n_operations);
    _exit(99);
}

/* ---- counting ---- */

/* Counts an operation; says with which error it fails, 0 for none, -1 for a short write. */
static int fault(const char *what, const char *path, int is_write) {
    n_operations++;
    if (is_space_gone) {
        is_space_gone = 0;
        note("failed %s %s\n", what, path);
        return ENOSPC;
    }
    int is_due = fault_at && (n_operations == fault_at || (fault_from && n_operations > fault_at));
    if (!is_due || fault_kind == NONE) return 0;
    note("failed %s %s\n", what, path);
    switch (fault_kind) {
    case ENOSPC_FAULT: return ENOSPC;
    case EIO_FAULT: return EIO;
    case SHORT_FAULT:
        is_space_gone = !fault_from;
        return is_write ? -1 : ENOSPC;
    case POWER_FAULT: lose_power(); return 0;
    default: return 0;
    }
}

static const char *name_of(int n) { return n < 0 ? folder : files[n - 1].path; }

static int fail_with(int error) {
    errno = error;
    return -1;
}

/* ---- what the program calls ---- */

static int opened(const char *path, int flags, mode_t mode) {
    pthread_mutex_lock(&lock);
    int is_new = 0;
    if (is_ours(path) && (flags & O_CREAT)) {
        struct stat found;
        is_new = stat(path, &found) != 0;
        int error = is_new ? fault("create", path, 0) : 0;
        if (error) {
            pthread_mutex_unlock(&lock);
            return fail_with(error < 0 ? ENOSPC : error);
        }
    }
    int fd = real_open(path, flags, mode);
    if (0 <= fd && fd < FD_MAX) {
        of_fd[fd] = is_ours(path) ? file_of(path) : (folder[0] && path && strcmp(path, folder) == 0 ? -1 : 0);
        if (is_new && of_fd[fd] > 0) files[of_fd[fd] - 1].is_new = 1;
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE_OF(flags, mode)                                                                                          \
    mode_t mode = 0;                                                                                                  \
    if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) {                                                  \
        va_list rest;                                                                                                 \
        va_start(rest, flags);                                                                                        \
        mode = (mode_t)va_arg(rest, int);                                                                             \
        va_end(rest);                                                                                                 \
    }

int open(const char *path, int flags, ...) {
    MODE_OF(flags, mode)
    return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE_OF(flags, mode)
    return opened(path, flags | O_LARGEFILE, mode);
}

int close(int fd) {
    pthread_mutex_lock(&lock);
    if (0 <= fd && fd < FD_MAX) of_fd[fd] = 0;
    int result = (int)syscall(SYS_close, fd);
    pthread_mutex_unlock(&lock);
    return result;
}

static ssize_t written(int fd, const void *bytes, size_t len, off_t at) {
    int error = fault("write", name_of(kind_of_fd(fd)), 1);
    if (error > 0) return fail_with(error);
    if (error < 0) len /= 2;
    remember_write(fd, bytes, len, at);
    return real_pwrite(fd, bytes, len, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at) {
    if (kind_of_fd(fd) <= 0) return real_pwrite(fd, bytes, len, at);
    pthread_mutex_lock(&lock);
    ssize_t result = written(fd, bytes, len, at);
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) { return pwrite64(fd, bytes, len, at); }

ssize_t write(int fd, const void *bytes, size_t len) {
    if (kind_of_fd(fd) <= 0) return syscall(SYS_write, fd, bytes, len);
    pthread_mutex_lock(&lock);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t result = written(fd, bytes, len, at);
    if (result > 0) lseek(fd, at + result, SEEK_SET);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate64(int fd, off_t size) {
    if (kind_of_fd(fd) <= 0) return real_truncate(fd, size);
    pthread_mutex_lock(&lock);
    int error = fault("truncate", name_of(kind_of_fd(fd)), 0);
    int result;
    if (error) {
        result = fail_with(error);
    } else {
        remember_size(fd, size);
        result = real_truncate(fd, size);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int synced(int fd, long call) {
    int n = kind_of_fd(fd);
    if (n == 0) return (int)syscall(call, fd);
    pthread_mutex_lock(&lock);
    int error = fault("sync", name_of(n), 0);
    int result = error ? fail_with(error) : 0;
    int is_done = !error && !fault_lies;
    if (is_done && n > 0) forget_changes(&files[n - 1]);
    if (is_done && n < 0)
        for (int k = 0; k < n_files; k++) files[k].is_new = 0;
    pthread_mutex_unlock(&lock);
    return result;
}

/* Whether the machine itself syncs makes no difference here, so it is spared the time. */
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int unlink(const char *path) {
    if (!is_ours(path)) return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    pthread_mutex_lock(&lock);
    int error = fault("unlink", path, 0);
    int result = error ? fail_with(EIO) : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (result == 0) {
        int n = file_of(path);
        if (n > 0) {
            forget_changes(&files[n - 1]);
            files[n - 1].is_new = 0;
        }
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static void read_text(const char *name, char *into, size_t size) {
    const char *value = getenv(name);
    if (value && strlen(value) < size) strcpy(into, value);
}

static long read_number(const char *name) {
    const char *value = getenv(name);
    return value ? atol(value) : 0;
}

__attribute__((constructor)) static void begin(void) {
    char kind[16] = "";
    read_text("FAULT_PATH", base, sizeof base);
    read_text("FAULT_LOG", log_path, sizeof log_path);
    read_text("FAULT_KIND", kind, sizeof kind);
    read_text("FAULT_KEEP", fault_keep, sizeof fault_keep);
    strcpy(folder, base);
    char *end = strrchr(folder, '/');
    if (end) *end = 0;
    fault_at = read_number("FAULT_AT");
    fault_from = (int)read_number("FAULT_FROM");
    fault_lies = (int)read_number("FAULT_LIES");
    seed = (uint64_t)read_number("FAULT_SEED");
    const char *kinds[] = {"", "enospc", "eio", "short", "power"};
    for (int n = 1; n < 5; n++)
        if (strcmp(kind, kinds[n]) == 0) fault_kind = (enum kind)n;
    /* What the program starts has a sound disk. */
    unsetenv("LD_PRELOAD");
}

__attribute__((destructor)) static void end(void) {
    pthread_mutex_lock(&lock);
    if (fault_kind == POWER_FAULT && n_operations < fault_at) lose_power();
    note("operations %ld\n", n_operations);
    pthread_mutex_unlock(&lock);
}
