/* Each file has a descriptor of its own here, so that its size and its links are known whatever its
 * name is. No descriptor is closed before SQLite has let go: that would take SQLite's locks. */
#include "record/place.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const suffixes[PLACE_N_FILES] = {"", "-wal", "-shm"};

static void name_of(const struct place *p, enum place_file file, char *name, size_t n)
{
    snprintf(name, n, "%s%s", p->path, suffixes[file]);
}

void place_init(struct place *p, const char *path, int fd)
{
    *p = (struct place){.fd = {fd, -1, -1}};
    snprintf(p->path, sizeof p->path, "%s", path);
}

int place_open(struct place *p)
{
    for (enum place_file file = PLACE_WAL; file < PLACE_N_FILES; file++) {
        char name[PLACE_MAX_PATH + 8];

        name_of(p, file, name, sizeof name);
        p->fd[file] = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (p->fd[file] < 0) return errno;
    }
    return 0;
}

void place_close(struct place *p)
{
    for (enum place_file file = 0; file < PLACE_N_FILES; file++) {
        if (p->fd[file] >= 0) close(p->fd[file]);
        p->fd[file] = -1;
    }
}

uint64_t place_bytes(const struct place *p, enum place_file file)
{
    struct stat now;

    return p->fd[file] >= 0 && fstat(p->fd[file], &now) == 0 ? (uint64_t)now.st_size : 0;
}

uint64_t place_bytes_at(const char *path)
{
    char wal[PLACE_MAX_PATH + 8];
    struct stat file;
    uint64_t n = 0;

    snprintf(wal, sizeof wal, "%s%s", path, suffixes[PLACE_WAL]);
    if (stat(path, &file) == 0) n += (uint64_t)file.st_size;
    if (stat(wal, &file) == 0) n += (uint64_t)file.st_size;
    return n;
}

bool place_beside(const char *path, char *name, size_t n)
{
    static const char *const beside[] = {"-wal", "-shm", "-journal"};
    struct stat found;

    for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++) {
        snprintf(name, n, "%s%s", path, beside[i]);
        if (lstat(name, &found) == 0) return true;
    }
    return false;
}

/* ---- names ---- */

/* What cannot be looked at (a folder without rights, a network that is down) is not known to be
 * elsewhere. */
static bool is_at(const struct place *p, enum place_file file, const char *name, bool *is_other)
{
    struct stat mine, there;

    *is_other = false;
    if (fstat(p->fd[file], &mine)) return true;
    if (stat(name, &there)) return errno != ENOENT && errno != ENOTDIR && errno != ELOOP;
    *is_other = mine.st_dev != there.st_dev || mine.st_ino != there.st_ino;
    return !*is_other;
}

bool place_name(const struct place *p, char *path, size_t n)
{
    char link[64];
    struct stat now;
    ssize_t length;
    bool is_other;

    if (fstat(p->fd[PLACE_RECORD], &now) || now.st_nlink == 0) return false;
    if (is_at(p, PLACE_RECORD, p->path, &is_other)) {
        snprintf(path, n, "%s", p->path);
        return true;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", p->fd[PLACE_RECORD]);
    length = readlink(link, path, n - 1);
    if (length < 0) return false;
    path[length] = '\0';
    return is_at(p, PLACE_RECORD, path, &is_other) && access(path, F_OK) == 0;
}

void place_tidy(const struct place *p)
{
    for (enum place_file file = PLACE_WAL; file < PLACE_N_FILES; file++) {
        char name[PLACE_MAX_PATH + 8];
        bool is_other;

        name_of(p, file, name, sizeof name);
        if (is_at(p, file, name, &is_other)) unlink(name);
    }
}

/* ---- looking ---- */

static enum place_found look_size(struct place *p, enum place_file file, char *text, size_t n)
{
    uint64_t n_bytes = place_bytes(p, file);

    if (n_bytes >= p->least[file]) return PLACE_SAME;
    snprintf(text, n, "%.300s%s was cut to %" PRIu64 " bytes, it had %" PRIu64, p->path,
             suffixes[file], n_bytes, p->least[file]);
    return PLACE_CUT;
}

static enum place_found look_record(const struct place *p, char *text, size_t n)
{
    char now_at[PLACE_MAX_PATH];
    struct stat now;
    bool is_other;

    if (fstat(p->fd[PLACE_RECORD], &now) || is_at(p, PLACE_RECORD, p->path, &is_other))
        return PLACE_SAME;
    if (now.st_nlink == 0) {
        snprintf(text, n, "%.300s was %s while it was written", p->path,
                 is_other ? "replaced" : "deleted");
        return PLACE_GONE;
    }
    snprintf(text, n, "%.300s was renamed while it was written: it is %.300s now", p->path,
             place_name(p, now_at, sizeof now_at) ? now_at : "elsewhere");
    return PLACE_MOVED;
}

static enum place_found look_beside(const struct place *p, enum place_file file, char *text,
                                    size_t n)
{
    char name[PLACE_MAX_PATH + 8];
    bool is_other;

    name_of(p, file, name, sizeof name);
    if (is_at(p, file, name, &is_other)) return PLACE_SAME;
    snprintf(text, n, "%.300s was %s while the record was written", name,
             is_other ? "replaced" : "deleted or renamed");
    return PLACE_MOVED;
}

/* The worst is told. Sizes come first: a file that was cut must not be written into. */
enum place_found place_look(struct place *p, char *text, size_t n_text)
{
    enum place_found found = PLACE_SAME;

    for (enum place_file file = PLACE_WAL; file < PLACE_N_FILES; file++)
        if (look_size(p, file, text, n_text)) return PLACE_CUT;
    if (look_size(p, PLACE_RECORD, text, n_text)) return PLACE_GONE;
    found = look_record(p, text, n_text);
    if (found == PLACE_GONE) return found;
    p->least[PLACE_RECORD] = place_bytes(p, PLACE_RECORD);
    p->least[PLACE_SHM] = place_bytes(p, PLACE_SHM);
    for (enum place_file file = PLACE_WAL; !found && file < PLACE_N_FILES; file++)
        found = look_beside(p, file, text, n_text);
    return found;
}
