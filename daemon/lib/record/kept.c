/* Rows are counted as a reader would come to them. */
#include "record/kept.h"

#include <sqlite3.h>
#include <stddef.h>

/* Does this answer speak of what is in the file, and not of the way to it? */
static bool is_of_content(int status)
{
    return status == SQLITE_DONE || status == SQLITE_ERROR || status == SQLITE_CORRUPT ||
           status == SQLITE_NOTADB || status == SQLITE_IOERR_SHORT_READ;
}

/* Whole rows are asked for, so that each is read. */
static bool count_rows(sqlite3 *db, const char *sql, uint64_t *n)
{
    sqlite3_stmt *rows = NULL;
    int status = sqlite3_prepare_v2(db, sql, -1, &rows, NULL);

    *n = 0;
    if (!status)
        while ((status = sqlite3_step(rows)) == SQLITE_ROW) ++*n;
    status = status == SQLITE_DONE ? status : sqlite3_extended_errcode(db);
    sqlite3_finalize(rows);
    return is_of_content(status) || is_of_content(status & 0xff);
}

bool kept_count(const char *path, uint64_t *n_entries, uint64_t *n_frames)
{
    sqlite3 *db = NULL;
    bool is_known = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
                    count_rows(db, "SELECT * FROM entries ORDER BY entry", n_entries) &&
                    count_rows(db, "SELECT * FROM frames ORDER BY id", n_frames);

    sqlite3_close(db);
    return is_known;
}
