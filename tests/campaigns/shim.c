/* Stands between a program and the C library (LD_PRELOAD) for all that lies below one directory:
 * writes down what is done to the files, in order and with the data, and lets operations fail.
 *
 *   SHIM_DIR      the directory, absolute and without symbolic links
 *   SHIM_TRACE    where to write it down, if set: records as `struct record` says, appended
 *   SHIM_CONTROL  what is to fail, if set: a file that holds a `struct control`, read while the program runs
 *
 * A sync is two records, since what is written while it runs may or may not be covered by it. Everything else is done and
 * written down under one lock, so the order is that in which it happened. sync_file_range promises nothing, and is not noted.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { CREATE = 1, WRITE, TRUNCATE, RENAME, UNLINK, MKDIR, SYNC_BEGIN, SYNC_END, LINK, NOTE, UNKNOWN };

struct record {
    uint32_t kind, path_len;
    uint64_t data_len, inode, at; /* at: offset, length, or the number of a sync or a note */
};

enum op { OP_WRITE = 1, OP_SYNC = 2, OP_NAME = 4, OP_READ = 8, OP_OPEN = 16 };

/* Operations of the kinds in `ops` are counted; those from number `from` to before `until` fail with `error`. */
struct control {
    _Atomic uint64_t count, from, until;
    _Atomic uint32_t error, ops;
};

#define FDS 65536
static _Atomic unsigned char ours[FDS];
static char root[PATH_MAX];
static size_t root_len;
static int trace = -1;
static struct control *control;
static _Atomic uint64_t syncs;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static void start(void) {
    const char *dir = getenv("SHIM_DIR"), *to = getenv("SHIM_TRACE"), *faults = getenv("SHIM_CONTROL");
    if (!dir || strlen(dir) >= sizeof root) return;
    strcpy(root, dir);
    root_len = strlen(root);
    if (to) trace = (int)syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (faults) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, faults, O_RDWR | O_CLOEXEC, 0);
        void *at = (void *)syscall(SYS_mmap, NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (fd >= 0 && at != MAP_FAILED) control = at;
    }
    /* Syncs of several lives of the program stand in one trace. */
    syncs = (uint64_t)getpid() << 32;
}

static void ready(void) { pthread_once(&once, start); }

/* The path below the root; NULL if it is elsewhere. `out` has PATH_MAX bytes. */
static const char *below(int dir, const char *path, char *out) {
    ready();
    if (!root_len || !path) return NULL;
    char whole[2 * PATH_MAX];
    if (path[0] == '/') {
        snprintf(whole, sizeof whole, "%s", path);
    } else {
        char base[PATH_MAX] = "";
        if (dir == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) return NULL;
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
            ssize_t len = readlink(link, base, sizeof base - 1);
            if (len < 0) return NULL;
            base[len] = 0;
        }
        snprintf(whole, sizeof whole, "%s/%s", base, path);
    }
    /* Without empty parts and dots. */
    char *end = out, *rest = whole, *part;
    while ((part = strsep(&rest, "/"))) {
        if (!*part || !strcmp(part, ".")) continue;
        if (!strcmp(part, "..")) {
            while (end > out && *--end != '/') {}
            continue;
        }
        if (end + strlen(part) + 2 > out + PATH_MAX) return NULL;
        *end++ = '/';
        end = stpcpy(end, part);
    }
    *end = 0;
    if (strncmp(out, root, root_len) || (out[root_len] && out[root_len] != '/')) return NULL;
    return out[root_len] ? out + root_len + 1 : out + root_len;
}

static void note(enum kind kind, uint64_t inode, uint64_t at, const char *path, const void *data, size_t len) {
    if (trace < 0) return;
    struct record head = {kind, path ? (uint32_t)strlen(path) : 0, len, inode, at};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)path, head.path_len}, {(void *)data, len}};
    int before = errno;
    ssize_t all = (ssize_t)(sizeof head + head.path_len + len);
    /* A trace with a hole would prove nothing. */
    if (syscall(SYS_writev, trace, parts, 3) != all) abort();
    errno = before;
}

static int fails(enum op op) {
    ready();
    if (!control || !(control->ops & op)) return 0;
    uint64_t number = atomic_fetch_add(&control->count, 1);
    if (number < control->from || number >= control->until) return 0;
    errno = (int)control->error;
    return 1;
}

static int is_ours(int fd) { return fd >= 0 && fd < FDS && ours[fd]; }

static uint64_t inode(int fd) {
    struct stat found;
    return fstat(fd, &found) ? 0 : found.st_ino;
}

static int opened(int dir, const char *path, int flags, mode_t mode) {
    char text[PATH_MAX];
    const char *name = below(dir, path, text);
    if (!name || (flags & O_TMPFILE) == O_TMPFILE) return (int)syscall(SYS_openat, dir, path, flags, mode);
    pthread_mutex_lock(&order);
    int fd = -1;
    struct stat found;
    int there = !fstatat(dir, path, &found, 0);
    int makes = (flags & O_CREAT) && !there;
    if (!fails(OP_OPEN) && !(makes && fails(OP_NAME))) {
        fd = (int)syscall(SYS_openat, dir, path, flags, mode);
        if (fd >= 0) {
            if (fd < FDS) ours[fd] = 1;
            if (makes) note(CREATE, inode(fd), 0, name, NULL, 0);
            else if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY) note(TRUNCATE, inode(fd), 0, NULL, NULL, 0);
        }
    }
    pthread_mutex_unlock(&order);
    return fd;
}

#define MODE                                   \
    mode_t mode = 0;                           \
    if (flags & (O_CREAT | O_TMPFILE)) {       \
        va_list more;                          \
        va_start(more, flags);                 \
        mode = (mode_t)va_arg(more, int);      \
        va_end(more);                          \
    }
int open(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE return opened(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE return opened(dir, path, flags, mode); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    if (fd >= 0 && fd < FDS) ours[fd] = 0;
    return (int)syscall(SYS_close, fd);
}

static int copied(int from, int to) {
    if (to >= 0 && to < FDS) ours[to] = is_ours(from);
    return to;
}
int dup(int fd) { return copied(fd, REAL(dup)(fd)); }
int dup2(int fd, int to) { return copied(fd, REAL(dup2)(fd, to)); }
int dup3(int fd, int to, int flags) { return copied(fd, REAL(dup3)(fd, to, flags)); }
int fcntl(int fd, int command, ...) {
    va_list more;
    va_start(more, command);
    void *argument = va_arg(more, void *);
    va_end(more);
    int result = (int)syscall(SYS_fcntl, fd, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, result) : result;
}
int fcntl64(int fd, int command, ...) {
    va_list more;
    va_start(more, command);
    void *argument = va_arg(more, void *);
    va_end(more);
    return fcntl(fd, command, argument);
}

static ssize_t written(int fd, const struct iovec *parts, int count, off_t offset, int positioned) {
    long number = positioned ? SYS_pwritev : SYS_writev;
    if (!is_ours(fd)) return syscall(number, fd, parts, count, offset, 0);
    pthread_mutex_lock(&order);
    ssize_t done = -1;
    if (!fails(OP_WRITE)) {
        struct stat before;
        fstat(fd, &before);
        int appends = (int)syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND;
        off_t at = appends ? before.st_size : positioned ? offset : lseek(fd, 0, SEEK_CUR);
        done = syscall(number, fd, parts, count, offset, 0);
        ssize_t left = done;
        for (int i = 0; i < count && left > 0; i++) {
            size_t len = (size_t)left < parts[i].iov_len ? (size_t)left : parts[i].iov_len;
            note(WRITE, before.st_ino, (uint64_t)at, NULL, parts[i].iov_base, len);
            at += (off_t)len;
            left -= (ssize_t)len;
        }
    }
    pthread_mutex_unlock(&order);
    return done;
}
ssize_t write(int fd, const void *data, size_t len) {
    struct iovec part = {(void *)data, len};
    return is_ours(fd) ? written(fd, &part, 1, 0, 0) : syscall(SYS_write, fd, data, len);
}
ssize_t writev(int fd, const struct iovec *parts, int count) { return written(fd, parts, count, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t len, off_t offset) {
    struct iovec part = {(void *)data, len};
    return is_ours(fd) ? written(fd, &part, 1, offset, 1) : syscall(SYS_pwrite64, fd, data, len, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset) { return pwrite(fd, data, len, offset); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return written(fd, parts, count, offset, 1);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    return written(fd, parts, count, offset, 1);
}

ssize_t read(int fd, void *data, size_t len) {
    return is_ours(fd) && fails(OP_READ) ? -1 : syscall(SYS_read, fd, data, len);
}
ssize_t pread(int fd, void *data, size_t len, off_t offset) {
    return is_ours(fd) && fails(OP_READ) ? -1 : syscall(SYS_pread64, fd, data, len, offset);
}
ssize_t pread64(int fd, void *data, size_t len, off64_t offset) { return pread(fd, data, len, offset); }

int ftruncate(int fd, off_t len) {
    if (!is_ours(fd)) return (int)syscall(SYS_ftruncate, fd, len);
    pthread_mutex_lock(&order);
    int result = fails(OP_WRITE) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
    if (!result) note(TRUNCATE, inode(fd), (uint64_t)len, NULL, NULL, 0);
    pthread_mutex_unlock(&order);
    return result;
}
int ftruncate64(int fd, off64_t len) { return ftruncate(fd, len); }

static int allocated(int fd, int mode, off_t offset, off_t len) {
    if (!is_ours(fd)) return (int)syscall(SYS_fallocate, fd, mode, offset, len);
    pthread_mutex_lock(&order);
    struct stat found;
    int result = fails(OP_WRITE) ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, len);
    if (!result && !fstat(fd, &found)) note(mode ? UNKNOWN : TRUNCATE, found.st_ino, (uint64_t)found.st_size, NULL, NULL, 0);
    pthread_mutex_unlock(&order);
    return result;
}
int fallocate(int fd, int mode, off_t offset, off_t len) { return allocated(fd, mode, offset, len); }
int fallocate64(int fd, int mode, off64_t offset, off64_t len) { return allocated(fd, mode, offset, len); }
int posix_fallocate(int fd, off_t offset, off_t len) { return allocated(fd, 0, offset, len) ? errno : 0; }
int posix_fallocate64(int fd, off64_t offset, off64_t len) { return allocated(fd, 0, offset, len) ? errno : 0; }

static int synced(int fd, long how) {
    if (!is_ours(fd)) return (int)syscall(how, fd);
    if (fails(OP_SYNC)) return -1;
    uint64_t number = ++syncs;
    pthread_mutex_lock(&order);
    note(SYNC_BEGIN, inode(fd), number, NULL, NULL, 0);
    pthread_mutex_unlock(&order);
    int result = (int)syscall(how, fd);
    if (!result) {
        pthread_mutex_lock(&order);
        note(SYNC_END, inode(fd), number, NULL, NULL, 0);
        pthread_mutex_unlock(&order);
    }
    return result;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

/* Both names, one after the other. */
static void note_names(enum kind kind, const char *from, const char *to) {
    if (from && to) note(kind, 0, 0, from, to, strlen(to));
    else if (from) note(kind == RENAME ? UNLINK : UNKNOWN, 0, 0, from, NULL, 0);
    else if (to) note(UNKNOWN, 0, 0, to, NULL, 0);
}
static int named(enum kind kind, int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char from_text[PATH_MAX], to_text[PATH_MAX];
    const char *old = below(from_dir, from, from_text), *new = below(to_dir, to, to_text);
    long number = kind == RENAME ? SYS_renameat2 : SYS_linkat;
    if (!old && !new) return (int)syscall(number, from_dir, from, to_dir, to, flags);
    pthread_mutex_lock(&order);
    int result = fails(OP_NAME) ? -1 : (int)syscall(number, from_dir, from, to_dir, to, flags);
    if (!result) note_names(kind, old, new);
    pthread_mutex_unlock(&order);
    return result;
}
int rename(const char *from, const char *to) { return named(RENAME, AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return named(RENAME, a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return named(RENAME, a, from, b, to, flags); }
int link(const char *from, const char *to) { return named(LINK, AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int a, const char *from, int b, const char *to, int flags) { return named(LINK, a, from, b, to, (unsigned)flags); }

static int removed(int dir, const char *path, int flags) {
    char text[PATH_MAX];
    const char *name = below(dir, path, text);
    if (!name) return (int)syscall(SYS_unlinkat, dir, path, flags);
    pthread_mutex_lock(&order);
    int result = fails(OP_NAME) ? -1 : (int)syscall(SYS_unlinkat, dir, path, flags);
    if (!result) note(UNLINK, 0, 0, name, NULL, 0);
    pthread_mutex_unlock(&order);
    return result;
}
int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int unlinkat(int dir, const char *path, int flags) { return removed(dir, path, flags); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }

static int made(int dir, const char *path, mode_t mode) {
    char text[PATH_MAX];
    const char *name = below(dir, path, text);
    if (!name) return (int)syscall(SYS_mkdirat, dir, path, mode);
    pthread_mutex_lock(&order);
    struct stat found;
    int result = fails(OP_NAME) ? -1 : (int)syscall(SYS_mkdirat, dir, path, mode);
    if (!result && !fstatat(dir, path, &found, 0)) note(MKDIR, found.st_ino, 0, name, NULL, 0);
    pthread_mutex_unlock(&order);
    return result;
}
int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }
int mkdirat(int dir, const char *path, mode_t mode) { return made(dir, path, mode); }

/* Ways around the above: refused, so that the program takes the way that is watched, or noted, so that whoever reads the
 * trace knows that it is not whole. */
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t len, unsigned flags) {
    if (!is_ours(out)) return syscall(SYS_copy_file_range, in, from, out, to, len, flags);
    errno = ENOSYS;
    return -1;
}
void *mmap64(void *at, size_t len, int protection, int flags, int fd, off64_t offset) {
    if (is_ours(fd) && (flags & MAP_SHARED) && (protection & PROT_WRITE)) {
        pthread_mutex_lock(&order);
        note(UNKNOWN, inode(fd), 0, NULL, NULL, 0);
        pthread_mutex_unlock(&order);
    }
    return (void *)syscall(SYS_mmap, at, len, protection, flags, fd, offset);
}
