/* What the parts of swap share: saying, and the way to the end. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/text.h"
#include "latentd/stream.h"
#include "latentd/swap.h"

const char *swap_state_name(enum swap_state state)
{
    static const char *const names[SWAP_N_STATES] = {
        [SWAP_NONE] = "none",    [SWAP_LOADING] = "loading",   [SWAP_SHADOWING] = "shadow",
        [SWAP_KEEPING] = "kept", [SWAP_DROPPING] = "dropping",
    };
    return names[state];
}

bool swap_say(struct swap_task *task, enum control_code code, const char *format, ...)
{
    va_list args;

    task->is_owed = false;
    task->code = code;
    va_start(args, format);
    vsnprintf(task->text, sizeof task->text, format, args);
    va_end(args);
    return true;
}

void swap_note(struct swap *w, const char *who, const char *format, ...)
{
    char text[SWAP_TEXT - 64], date[32];
    time_t now = time(NULL);
    struct tm utc;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    snprintf(w->newest, sizeof w->newest, "%s %s: %s", date, who, printable(text));
    log_say(LOG_LEVEL_NOTE, "%s: %s: %s", w->stream->conf->name, who, text);
}

void swap_begin_drop(struct swap *w)
{
    shadow_stop(w->shadow);
    w->loaded_with.promotes = false;
    w->drops_after = false;
    w->state = SWAP_DROPPING;
}

bool swap_is_refused(const struct swap *w, const uint8_t *hash)
{
    for (size_t i = 0; i < w->n_refused && i < SWAP_MAX_REFUSED; i++)
        if (memcmp(w->refused[i], hash, SWAP_HASH_BYTES) == 0) return true;
    return false;
}
