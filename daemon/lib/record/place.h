/* Where the files of an open record are: FILE, FILE-wal and FILE-shm, as they were opened, against
 * what stands at their names now. Everything here may wait for the disk. */
#ifndef RECORD_PLACE_H
#define RECORD_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLACE_MAX_PATH 4096

enum place_file { PLACE_RECORD, PLACE_WAL, PLACE_SHM, PLACE_N_FILES };

enum place_found {
    PLACE_SAME,
    PLACE_MOVED, /* all that was written is still behind what is open, but not behind the names */
    PLACE_CUT,   /* FILE-wal or FILE-shm is shorter than it was */
    PLACE_GONE,  /* the record was deleted, replaced or cut: what was written can still be read only
                    through what is open, if at all */
};

struct place {
    char path[PLACE_MAX_PATH];
    int fd[PLACE_N_FILES];         /* -1: not open */
    uint64_t least[PLACE_N_FILES]; /* bytes: fewer of them are a cut */
};

/* fd: of the record, kept by the place from now on. */
void place_init(struct place *p, const char *path, int fd);
/* The other two, as soon as they exist. 0 or an errno. */
int place_open(struct place *p);
/* To be called when nobody has one of the files open for SQLite any more: closing would take its
 * locks. */
void place_close(struct place *p);

/* Look, and say what is not as it was. */
enum place_found place_look(struct place *p, char *text, size_t n_text);
uint64_t place_bytes(const struct place *p, enum place_file file);
/* Of a record of this name and its -wal, whether it is open or not. */
uint64_t place_bytes_at(const char *path);
/* The record's name now; false: it has none, or none that can be found. */
bool place_name(const struct place *p, char *path, size_t n);
/* Remove -wal and -shm of a record that does not need them any more, where they are still its
 * own. */
void place_tidy(const struct place *p);
/* Is there a FILE-wal, FILE-shm or FILE-journal beside path, of a record that had this name? If so,
 * which. */
bool place_beside(const char *path, char *name, size_t n);

#endif
