/* Names, not numbers, last: a reader of another version finds the codes by them. */
#include "record/meta.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "line/event.h"
#include "line/ledger.h"
#include "record/hex.h"

struct writer {
    sqlite3_stmt *statement;
    int status; /* the first that failed is kept */
};

static void writer_open(struct writer *w, sqlite3 *db, const char *sql)
{
    *w = (struct writer){0};
    w->status = sqlite3_prepare_v2(db, sql, -1, &w->statement, NULL);
}

static void step(struct writer *w)
{
    int status = sqlite3_step(w->statement);

    if (status != SQLITE_DONE) w->status = status;
    sqlite3_reset(w->statement);
}

static int writer_close(struct writer *w)
{
    sqlite3_finalize(w->statement);
    return w->status;
}

/* ---- meta ---- */

static const char insert_meta[] = "INSERT OR REPLACE INTO meta VALUES (?, ?)";

static void put_text(struct writer *w, const char *key, const char *text)
{
    if (w->status) return;
    sqlite3_bind_text(w->statement, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_text(w->statement, 2, text, -1, SQLITE_STATIC);
    step(w);
}

static void put_whole(struct writer *w, const char *key, uint64_t value)
{
    if (w->status) return;
    sqlite3_bind_text(w->statement, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(w->statement, 2, (sqlite3_int64)value);
    step(w);
}

static void put_hex(struct writer *w, const char *key, uint64_t value)
{
    char text[HEX_ID_BYTES];

    hex_of_id(text, value);
    put_text(w, key, text);
}

/* Both clocks at once: the one turns times of the record into the other. */
static void put_now(struct writer *w, const char *utc_key, const char *monotonic_key)
{
    put_whole(w, utc_key, clock_wall_ns());
    put_whole(w, monotonic_key, clock_now_ns());
}

/* From the root on: the record may be read from anywhere. */
static void put_path(struct writer *w, const char *key, const char *path)
{
    char whole[PATH_MAX];

    put_text(w, key, realpath(path, whole) ? whole : path);
}

static void put_host(struct writer *w)
{
    char host[256] = "";

    gethostname(host, sizeof host - 1);
    put_text(w, "host", host);
}

static void put_model(struct writer *w, const struct store_about *about)
{
    const struct latent_info *info = about->info;
    char sha256[HEX_SHA256_BYTES];

    hex_of_sha256(sha256, info->sha256);
    put_path(w, "model_path", info->path);
    put_text(w, "model_sha256", sha256);
    put_text(w, "model_config", info->config);
    put_text(w, "arch", info->arch);
    put_text(w, "mode", about->mode);
    put_text(w, "precision", about->precision);
    if (about->session) put_text(w, "session", about->session);
    put_hex(w, "decoder_id", about->decoder_id);
    put_text(w, "input", latent_input_name(info->input));
    put_whole(w, "n_channels", info->n_channels);
    put_whole(w, "bin_width_us", info->bin_width_us);
}

static int write_meta(sqlite3 *db, const struct store_about *about)
{
    struct writer w;

    writer_open(&w, db, insert_meta);
    put_text(&w, "latentd_version", latent_version());
    put_text(&w, "kernels", latent_kernels());
    put_text(&w, "stream", about->stream);
    put_text(&w, "config", about->config);
    put_hex(&w, "clock_id", about->clock_id);
    put_whole(&w, "contract", about->contract);
    put_whole(&w, "file", about->file);
    if (about->continues) put_text(&w, "continues", about->continues);
    put_host(&w);
    put_now(&w, "start_utc_ns", "start_monotonic_ns");
    put_model(&w, about);
    return writer_close(&w);
}

int meta_write_file(sqlite3 *db, const struct store_about *about)
{
    struct writer w;

    writer_open(&w, db, insert_meta);
    put_whole(&w, "file", about->file);
    put_text(&w, "copied_from", about->continues);
    return writer_close(&w);
}

int meta_write_end(sqlite3 *db)
{
    struct writer w;

    writer_open(&w, db, insert_meta);
    put_now(&w, "end_utc_ns", "end_monotonic_ns");
    return writer_close(&w);
}

/* ---- names ---- */

static void put_name(struct writer *w, const char *kind, unsigned code, const char *name)
{
    if (w->status) return;
    sqlite3_bind_text(w->statement, 1, kind, -1, SQLITE_STATIC);
    sqlite3_bind_int64(w->statement, 2, code);
    sqlite3_bind_text(w->statement, 3, name, -1, SQLITE_STATIC);
    step(w);
}

bool meta_entry_name(uint32_t code, char *name, size_t n)
{
    if (code >= LINE_N_EVENTS || !line_event_is_entry((enum line_event_kind)code)) return false;
    snprintf(name, n, "%s", line_event_name((enum line_event_kind)code));
    return true;
}

bool meta_action_name(uint32_t code, char *name, size_t n)
{
    if (code >= LINE_N_ACTIONS) return false;
    snprintf(name, n, "%s", line_action_name((enum line_action)code));
    return true;
}

static enum ledger_group group_of(enum counter c)
{
    enum ledger_group g = 0;

    while (c >= ledger_group_end(g)) g++;
    return g;
}

bool meta_outcome_name(uint32_t code, char *name, size_t n)
{
    if (code >= N_COUNTERS) return false;
    snprintf(name, n, "%s %s", ledger_group_name(group_of((enum counter)code)),
             counter_name((enum counter)code));
    return true;
}

bool meta_promotion_name(uint32_t code, char *name, size_t n)
{
    if (code >= LINE_N_PROMOTIONS) return false;
    snprintf(name, n, "%s", line_promotion_name((enum line_promotion)code));
    return true;
}

static bool flag_name(uint32_t code, char *name, size_t n)
{
    if (code >= LATENT_N_FLAGS) return false;
    snprintf(name, n, "%s", latent_flag_name(code));
    return true;
}

static int write_names(sqlite3 *db)
{
    static const struct {
        const char *kind;
        bool (*name)(uint32_t code, char *name, size_t n);
    } kinds[] = {{"entry", meta_entry_name},
                 {"action", meta_action_name},
                 {"outcome", meta_outcome_name},
                 {"flag", flag_name},
                 {"promotion", meta_promotion_name}};
    char name[META_MAX_NAME];
    struct writer w;

    writer_open(&w, db, "INSERT INTO names VALUES (?, ?, ?)");
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (uint32_t code = 0; kinds[k].name(code, name, sizeof name); code++)
            put_name(&w, kinds[k].kind, code, name);
    return writer_close(&w);
}

int meta_write(sqlite3 *db, const struct store_about *about)
{
    int status = write_meta(db, about);

    return status ? status : write_names(db);
}
