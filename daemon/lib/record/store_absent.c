/* In place of store.c in a build without SQLite: no file can be made, so nothing else is called. */
#include "record/store.h"

#include <assert.h>

#include "base/text.h"

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

uint64_t store_bytes(const char *path)
{
    (void)path;
    return 0;
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
