/* From the creation of the file to its end. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "record/meta.h"
#include "record/schema.h"
#include "record/store_inside.h"

static int fail(struct store *s, int status, struct latent_error *err)
{
    if (store_result_of(s, status) == STORE_BUSY)
        snprintf(s->text, sizeof s->text, "somebody else holds it");
    return error_text(err, LATENT_E_IO, "record %s: cannot write: %.300s", s->place.path, s->text);
}

/* SQLite opens what is there; the exclusive creation here is what refuses it. */
static int create_file(struct store *s, const char *path, struct latent_error *err)
{
    char beside[PLACE_MAX_PATH + 16];
    int fd;

    place_init(&s->place, path, -1);
    if (access(path, F_OK) != 0 && place_beside(path, beside, sizeof beside))
        return error_text(err, LATENT_E_IO,
                          "record %.300s: cannot create: %.300s is there, of a record that was "
                          "renamed or removed; move it to its record, or choose another name",
                          path, beside);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    place_init(&s->place, path, fd);
    if (fd >= 0) return 0;
    return error_text(err, LATENT_E_IO,
                      "record %s: cannot create: %s; a record never replaces a file", path,
                      strerror(errno));
}

static int prepare(struct store *s)
{
    for (int i = 0; i < N_STATEMENTS; i++) {
        int status = sqlite3_prepare_v3(s->db, store_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                        &s->statement[i], NULL);
        if (status) return status;
    }
    return SQLITE_OK;
}

/* Tables and meta are one transaction: a record has all of it or is empty. */
static int fill(struct store *s, const struct store_about *about)
{
    int status = sqlite3_exec(s->db, "PRAGMA page_size = " PAGE_TEXT ";PRAGMA journal_mode = WAL",
                              NULL, NULL, NULL);

    if (!status) status = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (!status) status = sqlite3_exec(s->db, record_schema, NULL, NULL, NULL);
    if (!status) status = meta_write(s->db, about);
    if (!status) status = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    return status ? status : prepare(s);
}

static int on_wal(void *ctx, sqlite3 *db, const char *name, int n_pages)
{
    struct store *s = ctx;

    (void)db, (void)name;
    s->n_wal_pages = (uint64_t)n_pages;
    return SQLITE_OK;
}

static int open_db(struct store *s)
{
    int status = sqlite3_open_v2(s->place.path, &s->db, SQLITE_OPEN_READWRITE, NULL);

    if (!status) sqlite3_wal_hook(s->db, on_wal, s);
    return status;
}

static int open_beside(struct store *s, struct latent_error *err)
{
    int status = place_open(&s->place);

    if (!status) return 0;
    return error_text(err, LATENT_E_IO, "record %s: its -wal: %s", s->place.path, strerror(status));
}

static int take_memory(struct store *s, const struct latent_info *info)
{
    size_t n_values = (size_t)info->n_latents + info->n_rates + info->n_readout + info->n_logits;

    s->arena.size = WIRE_ARENA_BASE + 4 * wire_frame_bound(n_values);
    s->arena.bytes = malloc(s->arena.size);
    return s->arena.bytes ? 0 : -1;
}

int store_possible(struct latent_error *err)
{
    (void)err;
    return 0;
}

/* NULL is allowed. */
static void free_store(struct store *s)
{
    if (!s) return;
    free(s->arena.bytes);
    buffer_free(&s->payload);
    buffer_free(&s->clock);
    free(s);
}

/* A file of this name, and memory. NULL and a text. */
static struct store *new_store(const char *path, const struct store_about *about,
                               struct latent_error *err)
{
    struct store *s = calloc(1, sizeof *s);

    if (!s || take_memory(s, about->info)) {
        error_text(err, LATENT_E_NOMEM, "out of memory");
        free_store(s);
        return NULL;
    }
    if (create_file(s, path, err) == 0) return s;
    store_close(s);
    return NULL;
}

int store_create(struct store **out, const char *path, const struct store_about *about,
                 struct latent_error *err)
{
    struct store *s = new_store(path, about, err);
    int status = 0;

    *out = NULL;
    if (!s) return err->status;
    if (open_db(s) || fill(s, about)) status = fail(s, sqlite3_errcode(s->db), err);
    if (!status) status = open_beside(s, err);
    if (status) {
        store_close(s);
        return status;
    }
    *out = s;
    return 0;
}

/* ---- a copy ---- */

static int copy_pages(struct store *to, struct store *from)
{
    sqlite3_backup *backup = sqlite3_backup_init(to->db, "main", from->db, "main");

    if (!backup) return sqlite3_errcode(to->db);
    sqlite3_backup_step(backup, -1);
    return sqlite3_backup_finish(backup);
}

/* The first column of the first row is this text, or this number. */
static bool answers(sqlite3 *db, const char *sql, const char *text, int64_t *number)
{
    sqlite3_stmt *question = NULL;
    bool is_so = sqlite3_prepare_v2(db, sql, -1, &question, NULL) == SQLITE_OK &&
                 sqlite3_step(question) == SQLITE_ROW;

    if (is_so && text) is_so = strcmp((const char *)sqlite3_column_text(question, 0), text) == 0;
    if (is_so && number) *number = sqlite3_column_int64(question, 0);
    sqlite3_finalize(question);
    return is_so;
}

/* Pages that could not be read any more are zeros in the copy, which the check finds. */
static bool is_whole(struct store *s)
{
    return answers(s->db, "PRAGMA quick_check(1)", "ok", NULL) &&
           answers(s->db, "SELECT coalesce(max(entry), 0) FROM entries", NULL, &s->entry);
}

int store_rescue(struct store **out, struct store *from, const char *path,
                 const struct store_about *about, struct latent_error *err)
{
    struct store *s = new_store(path, about, err);

    *out = NULL;
    if (!s) return err->status;
    if (open_db(s) || copy_pages(s, from) || !is_whole(s) || meta_write_file(s->db, about) ||
        prepare(s) || open_beside(s, err)) {
        error_text(err, LATENT_E_IO, "what is left of it cannot be copied: %.200s",
                   sqlite3_errmsg(s->db));
        store_close(s);
        unlink(path);
        return err->status;
    }
    *out = s;
    return 0;
}

/* ---- the end ---- */

void store_finish(struct store *s)
{
    meta_write_end(s->db);
}

static void close_db(struct store *s)
{
    for (int i = 0; i < N_STATEMENTS; i++) sqlite3_finalize(s->statement[i]);
    sqlite3_close(s->db);
    s->db = NULL;
}

void store_close(struct store *s)
{
    if (!s) return;
    close_db(s);
    place_close(&s->place);
    free_store(s);
}

/* SQLite's own end would look for the WAL at its old name. */
enum store_result store_fold(struct store *s)
{
    enum store_result result = store_result_of(
        s, sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL));

    if (result) return result;
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    close_db(s);
    place_tidy(&s->place);
    place_close(&s->place);
    free_store(s);
    return STORE_OK;
}

void store_forget(struct store *s)
{
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    close_db(s);
    place_tidy(&s->place);
    place_close(&s->place);
    free_store(s);
}

void store_abandon(struct store *s)
{
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    store_close(s);
}
