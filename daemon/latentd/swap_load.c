/* A file from the disk to the shadow: opened and verified in the pool, then given a thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "latentd/stream.h"
#include "latentd/swap.h"

struct swap_loading {
    uv_work_t work;
    struct swap *swap;
    struct engine_place place;
    char path[RECORDING_MAX_PATH];
    /* Of the pool's thread, until it is done. */
    struct engine *engine;
    char said[SWAP_TEXT / 3];
    struct latent_error err;
};

static uint64_t read_clock(void *ctx)
{
    (void)ctx;
    return clock_now_ns();
}

/* ---- in the pool ---- */

static void open_file(uv_work_t *work)
{
    struct swap_loading *l = work->data;

    engine_open(&l->engine, &l->place, l->said, sizeof l->said, &l->err);
}

/* ---- in the control thread ---- */

static int begin_shadow(struct swap *w, struct engine *e)
{
    const struct shadow_of of = {.recent = w->recent, .clock = {.now_ns = read_clock}};
    const struct shadow_decoder decoder = {e->decoder, &e->info, e};
    int status = shadow_new(&w->shadow, &of, decoder);

    if (status) return status;
    if (shadow_start(w->shadow)) {
        shadow_free(w->shadow);
        w->shadow = NULL;
        return LATENT_E_NOMEM;
    }
    w->other = e;
    w->state = SWAP_SHADOWING;
    return 0;
}

/* What it is to be told, once the file is open; true: it is in shadow. */
static bool settle_loaded(struct swap *w, const struct swap_loading *l)
{
    const char *name = w->stream->conf->name;
    const struct swap_options *o = &w->loaded_with;

    if (l->err.status)
        swap_say(&w->load, CONTROL_REFUSED, "%s goes on with its decoder: %.*s", name,
                 LATENT_ERROR_TEXT, l->err.text);
    else if (w->load_is_unwanted)
        swap_say(&w->load, CONTROL_REFUSED, "%s: %.300s was dropped", name, l->path);
    else if (!o->forced && swap_is_refused(w, l->engine->info.sha256))
        swap_say(&w->load, CONTROL_REFUSED,
                 "%s: %.300s was promoted and rolled back before; --force takes it again", name,
                 l->path);
    else if (o->dry_run)
        swap_say(&w->load, CONTROL_DONE, "%s: %.300s would be taken (%s)", name, l->path, l->said);
    else if (begin_shadow(w, l->engine))
        swap_say(&w->load, CONTROL_NO_MEMORY, "%s: %.300s: out of memory", name, l->path);
    else
        return true;
    return false;
}

static void on_opened(uv_work_t *work, int status)
{
    struct swap_loading *l = work->data;
    struct swap *w = l->swap;

    (void)status; /* nobody cancels it */
    w->state = SWAP_NONE;
    w->loading = NULL;
    if (settle_loaded(w, l)) {
        swap_note(w, "operator", "%s is in shadow%s (%s)", l->path,
                  w->loaded_with.promotes ? ", to be promoted when warm" : "", l->said);
        swap_say(&w->load, CONTROL_DONE, "%s: %.300s is in shadow (%s)%s", w->stream->conf->name,
                 l->path, l->said,
                 w->loaded_with.promotes ? "; it is promoted when it is warm: latentctl status"
                                         : "");
    } else {
        if (!w->loaded_with.dry_run) swap_note(w, "operator", "not taken: %s", w->load.text);
        engine_free(l->engine);
    }
    free(l);
}

/* Why no file can be taken now; NULL: one can. */
static const char *busy_with(const struct swap *w)
{
    switch (w->state) {
    case SWAP_LOADING:
        return "another file is being loaded; latentctl drop ends that";
    case SWAP_SHADOWING:
        return "a decoder is in shadow already; latentctl drop it first";
    case SWAP_KEEPING:
        return "the decoder before is still kept for a roll-back; wait, or latentctl drop it";
    case SWAP_DROPPING:
        return "the last one is still ending; try again";
    default:
        return w->n_retired == SWAP_MAX_REFUSED
                   ? "records that run, or are being closed, still need the models before"
                   : NULL;
    }
}

static bool begin_loading(struct swap *w, uv_loop_t *loop, const char *path)
{
    struct swap_loading *l = calloc(1, sizeof *l);

    if (!l) return false;
    snprintf(l->path, sizeof l->path, "%s", path);
    l->swap = w;
    l->work.data = l;
    l->place = (struct engine_place){w->stream, w->stream->info, l->path};
    w->loading = l;
    w->load_is_unwanted = false;
    w->load.is_owed = true;
    w->state = SWAP_LOADING;
    uv_queue_work(loop, &l->work, open_file, on_opened);
    return true;
}

bool swap_load(struct swap *w, uv_loop_t *loop, const char *path,
               const struct swap_options *options)
{
    const char *name = w->stream->conf->name, *why = busy_with(w);

    w->load.number++;
    if (why) return swap_say(&w->load, CONTROL_REFUSED, "%s: %s", name, why);
    if (path[0] != '/')
        return swap_say(&w->load, CONTROL_REFUSED, "%s: model '%.300s': expected an absolute path",
                        name, path);
    if (strlen(path) >= RECORDING_MAX_PATH)
        return swap_say(&w->load, CONTROL_REFUSED, "%s: the path is too long", name);
    w->loaded_with = *options;
    if (!begin_loading(w, loop, path))
        return swap_say(&w->load, CONTROL_NO_MEMORY, "%s: out of memory", name);
    return false;
}

bool swap_is_loading(const struct swap *w)
{
    return w->loading != NULL;
}
