/* In place of store.c in a build without SQLite: no file can be made, so nothing else is called. */
#include "record/store.h"

#include <assert.h>

#include "base/text.h"
#include "record/kept.h"

int store_possible(struct latent_error *err)
{
    return error_text(err, LATENT_E_UNSUPPORTED,
                      "this latentd cannot write records: it was built without SQLite. Leave "
                      "record out, or install libsqlite3-dev and build with LATENT_SQLITE=ON");
}

int store_create(struct store **out, const char *path, const struct store_about *about,
                 struct latent_error *err)
{
    (void)path, (void)about;
    *out = NULL;
    return store_possible(err);
}

static enum store_result never(const struct store *s)
{
    (void)s;
    assert(!"there is no store");
    return STORE_FAILED;
}

enum store_result store_begin(struct store *s)
{
    return never(s);
}

enum store_result store_put(struct store *s, const struct ring_record *record)
{
    (void)record;
    return never(s);
}

enum store_result store_commit(struct store *s, bool to_disk)
{
    (void)to_disk;
    return never(s);
}

enum store_result store_checkpoint(struct store *s)
{
    return never(s);
}

enum place_found store_look(struct store *s)
{
    never(s);
    return PLACE_SAME;
}

uint64_t store_wal_bytes(const struct store *s)
{
    never(s);
    return 0;
}

bool store_name(const struct store *s, char *path, size_t n)
{
    (void)path, (void)n;
    never(s);
    return false;
}

enum store_result store_fold(struct store *s)
{
    return never(s);
}

void store_abandon(struct store *s)
{
    never(s);
}

void store_forget(struct store *s)
{
    never(s);
}

int store_rescue(struct store **out, struct store *from, const char *path,
                 const struct store_about *about, struct latent_error *err)
{
    (void)from;
    return store_create(out, path, about, err);
}

bool kept_count(const char *path, uint64_t *n_entries, uint64_t *n_frames)
{
    (void)path, (void)n_entries, (void)n_frames;
    assert(!"there is no store");
    return false;
}

enum store_result store_put_late(struct store *s, const struct why_bin *b)
{
    (void)b;
    return never(s);
}

void store_rollback(struct store *s)
{
    never(s);
}

const char *store_text(const struct store *s)
{
    never(s);
    return "";
}

void store_finish(struct store *s)
{
    never(s);
}

void store_close(struct store *s)
{
    if (s) never(s);
}
