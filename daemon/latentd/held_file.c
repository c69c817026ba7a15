/* A line that says what it is, a name a line, and a checksum: a damaged name would be another
 * stream's. */
#include "latentd/held_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/serial.h"
#include "base/text.h"
#include "conf/types.h"

#define HEAD "latentd: streams that the operator holds in SAFE, 1\n"
#define SUM_BYTES sizeof "sum 0123456789abcdef\n" /* with the zero */
#define MOST_BYTES (sizeof HEAD + HELD_MOST_NAMES * (CONF_MAX_NAME + 2) + SUM_BYTES)

/* ---- names ---- */

bool held_names_have(const struct held_names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->name[i], name) == 0) return true;
    return false;
}

void held_names_remove(struct held_names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++) {
        if (strcmp(names->name[i], name) != 0) continue;
        names->n--;
        memmove(names->name[i], names->name[names->n], sizeof names->name[i]);
        return;
    }
}

bool held_names_add(struct held_names *names, const char *name)
{
    if (held_names_have(names, name)) return true;
    if (names->n == HELD_MOST_NAMES) return false;
    snprintf(names->name[names->n++], sizeof names->name[0], "%s", name);
    return true;
}

/* ---- bytes ---- */

static void sum_print(char sum[SUM_BYTES], const char *bytes, size_t n)
{
    snprintf(sum, SUM_BYTES, "sum %016" PRIx64 "\n", serial_check((const unsigned char *)bytes, n));
}

static size_t names_print(const struct held_names *names, char bytes[MOST_BYTES])
{
    size_t n = (size_t)snprintf(bytes, MOST_BYTES, HEAD);

    for (size_t i = 0; i < names->n; i++)
        n += (size_t)snprintf(bytes + n, MOST_BYTES - n, "%s\n", names->name[i]);
    sum_print(bytes + n, bytes, n);
    return n + SUM_BYTES - 1;
}

/* Lines of names; they were whole, by their sum. */
static bool names_scan(const char *text, struct held_names *out)
{
    for (size_t n; *text; text += n + 1) {
        char name[CONF_MAX_NAME + 1];

        n = strspn(text, CONF_NAME_LETTERS);
        if (n == 0 || n > CONF_MAX_NAME || text[n] != '\n') return false;
        snprintf(name, sizeof name, "%.*s", (int)n, text);
        if (!held_names_add(out, name)) return false;
    }
    return true;
}

/* bytes[n] is zero. */
static bool bytes_scan(char *bytes, size_t n, struct held_names *out)
{
    const size_t n_head = strlen(HEAD), n_sum = SUM_BYTES - 1;
    char sum[SUM_BYTES];

    *out = (struct held_names){.n = 0};
    if (n < n_head + n_sum || memcmp(bytes, HEAD, n_head) != 0) return false;
    sum_print(sum, bytes, n - n_sum);
    if (memcmp(bytes + n - n_sum, sum, n_sum) != 0) return false;
    bytes[n - n_sum] = '\0';
    if (names_scan(bytes + n_head, out)) return true;
    *out = (struct held_names){.n = 0};
    return false;
}

/* ---- reading ---- */

static int path_fail(struct latent_error *err, const char *path)
{
    return error_text(err, LATENT_E_IO, "%.300s: %s", path, strerror(errno));
}

/* Anything may stand there; a pipe must not hold up the start. */
static int file_open(const char *path, int *fd, struct latent_error *err)
{
    struct stat found;

    *fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (*fd < 0) return errno == ENOENT ? 0 : path_fail(err, path);
    if (fstat(*fd, &found) == 0 && S_ISREG(found.st_mode)) return 0;
    close(*fd);
    *fd = -1;
    return error_text(err, LATENT_E_FORMAT, "%.300s: expected a file", path);
}

/* -> bytes read, at most n; -1: errno. */
static ssize_t bytes_read(int fd, char *bytes, size_t n)
{
    size_t at = 0;

    while (at < n) {
        ssize_t got = read(fd, bytes + at, n - at);

        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        at += (size_t)got;
    }
    return (ssize_t)at;
}

int held_file_read(const char *path, struct held_names *out, struct latent_error *err)
{
    char *bytes;
    ssize_t n;
    int fd, status;

    *out = (struct held_names){.n = 0};
    status = file_open(path, &fd, err);
    if (status || fd < 0) return status;
    bytes = memory_need(calloc(1, MOST_BYTES + 1));
    n = bytes_read(fd, bytes, MOST_BYTES);
    if (n < 0)
        status = path_fail(err, path);
    else if (!bytes_scan(bytes, (size_t)n, out))
        status =
            error_text(err, LATENT_E_FORMAT, "%.300s: damaged, or not written by latentd", path);
    close(fd);
    free(bytes);
    return status;
}

/* ---- writing ---- */

static int bytes_write(int fd, const char *bytes, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t put = write(fd, bytes + at, n - at);

        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return -1;
        at += (size_t)put;
    }
    return fsync(fd);
}

/* The names that the folder holds are on the disk, too. */
static int folder_sync(const char *path)
{
    char *copy = memory_need(strdup(path));
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC), status;

    free(copy);
    if (fd < 0) return -1;
    status = fsync(fd);
    close(fd);
    return status;
}

static int file_make(const char *path, const struct held_names *names)
{
    char *bytes = memory_need(malloc(MOST_BYTES));
    size_t n = names_print(names, bytes);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    int status = fd < 0 ? -1 : bytes_write(fd, bytes, n);

    free(bytes);
    if (fd >= 0 && close(fd)) status = -1;
    return status;
}

static int file_replace(const char *path, const struct held_names *names)
{
    size_t n = strlen(path) + sizeof ".new";
    char *fresh = memory_need(malloc(n));
    int status, why;

    snprintf(fresh, n, "%s.new", path);
    status = file_make(fresh, names);
    if (!status) status = rename(fresh, path);
    why = errno;
    if (status) unlink(fresh);
    free(fresh);
    errno = why;
    return status;
}

int held_file_write(const char *path, const struct held_names *names, struct latent_error *err)
{
    int status = names->n ? file_replace(path, names) : unlink(path);

    if (names->n == 0 && status && errno == ENOENT) return 0;
    if (!status) status = folder_sync(path);
    return status ? path_fail(err, path) : 0;
}
