/* SAFE is ordered before its file is touched, and answered for when the line has it: the disk gets
 * a moment, and then is told of instead. */
#include "latentd/ordering.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"

static const char *const done_words[] = {[LINE_RESET] = "reset before its next bin",
                                         [LINE_SAFE_ON] = "SAFE",
                                         [LINE_SAFE_OFF] = "no longer held in SAFE"};

/* What a stream is once its order is carried out. */
static void set_words(struct ordering *o)
{
    snprintf(o->words, sizeof o->words, "%s", done_words[o->entry]);
}

__attribute__((format(printf, 3, 4))) static bool say(struct ordering *o, enum control_code code,
                                                      const char *format, ...)
{
    va_list args;

    o->code = code;
    va_start(args, format);
    vsnprintf(o->text, sizeof o->text, format, args);
    va_end(args);
    return true;
}

void ordering_would(struct ordering *o, const struct stream *s, enum line_event_kind entry)
{
    *o = (struct ordering){.entry = entry};
    say(o, CONTROL_DONE, "%s would be %s", s->conf->name, done_words[entry]);
}

void ordering_would_mask(struct ordering *o, struct stream *s, const uint8_t *bits)
{
    *o = (struct ordering){.entry = LINE_MASK};
    masking_words(&s->masking, bits, o->words, sizeof o->words);
    say(o, CONTROL_DONE, "%s would be %s", s->conf->name, o->words);
}

static const char *const normalise_words[] = {
    [LATENT_NORMALISE_FREEZE] = "normalised by a mean and sd that stay",
    [LATENT_NORMALISE_THAW] = "normalised by a mean and sd that follow its bins",
    [LATENT_NORMALISE_RESET] = "normalised by the mean and sd of its model file",
    [LATENT_NORMALISE_LOAD] = "normalised by the mean and sd that were loaded"};

void ordering_would_normalise(struct ordering *o, struct stream *s, enum latent_normalise_act act)
{
    *o = (struct ordering){.entry = LINE_NORMALISE};
    say(o, CONTROL_DONE, "%s would be %s", s->conf->name, normalise_words[act]);
}

void ordering_normalise(struct ordering *o, struct stream *s, enum latent_normalise_act act,
                        const double *numbers)
{
    *o = (struct ordering){.stream = s, .entry = LINE_NORMALISE, .t_taken_ns = clock_now_ns()};
    o->order = orders_normalise(s->orders, s->place, act, numbers);
    o->t_posted_ns = clock_now_ns();
    snprintf(o->words, sizeof o->words, "%s", normalise_words[act]);
    if (o->order.number && (act == LATENT_NORMALISE_FREEZE || act == LATENT_NORMALISE_THAW))
        s->is_frozen = act == LATENT_NORMALISE_FREEZE;
}

void ordering_mask(struct ordering *o, struct stream *s, const uint8_t *bits)
{
    *o = (struct ordering){.stream = s, .entry = LINE_MASK, .t_taken_ns = clock_now_ns()};
    o->order = orders_mask(s->orders, s->place, bits, s->masking.version + 1);
    o->t_posted_ns = clock_now_ns();
    masking_words(&s->masking, bits, o->words, sizeof o->words);
    if (o->order.number) masking_ordered(&s->masking, bits);
}

/* What was refused changes nothing, in the file either. */
void ordering_post(struct ordering *o, struct stream *s, struct held *held,
                   enum line_event_kind entry)
{
    *o = (struct ordering){.stream = s,
                           .held = held,
                           .entry = entry,
                           .t_taken_ns = clock_now_ns(),
                           .order = orders_enter(s->orders, s->place, entry)};
    set_words(o);
    o->t_posted_ns = clock_now_ns();
    if (o->order.number && entry != LINE_RESET)
        o->change = held_set(held, s->conf->name, entry == LINE_SAFE_ON);
}

static bool look_owed(struct ordering *o, uint64_t now_ns)
{
    struct recording_told told;

    if (recording_look_late(&o->stream->recording, o->t_taken_ns, now_ns, &told) == RECORDING_OWED)
        return false;
    return say(o, CONTROL_NOT_DONE, "%s", told.text);
}

static bool look_done(struct ordering *o, uint64_t now_ns)
{
    const char *name = o->stream->conf->name;
    char kept[HELD_TEXT];

    if (!o->change) return say(o, CONTROL_DONE, "%s is %s", name, o->words);
    if (!o->t_seen_ns) o->t_seen_ns = now_ns;
    switch (held_look(o->held, o->change, o->t_seen_ns, now_ns, kept)) {
    case HELD_OWED:
        return false;
    case HELD_KEPT:
        if (o->entry == LINE_SAFE_OFF) kept[0] = '\0';
        return say(o, CONTROL_DONE, "%s is %s%s%s", name, o->words, kept[0] ? "; kept in " : "",
                   kept);
    case HELD_NOT_KEPT:
        break;
    }
    return say(o, CONTROL_DONE, "%s is %s, but that is NOT KEPT: after a restart it may be %s: %s",
               name, o->words, o->entry == LINE_SAFE_ON ? "let go" : "held again", kept);
}

bool ordering_look(struct ordering *o, uint64_t now_ns)
{
    const char *name;

    if (!o->stream) return true; /* a dry run */
    name = o->stream->conf->name;
    switch (order_look(&o->order, &o->t_done_ns)) {
    case ORDER_REFUSED:
        return say(o, CONTROL_REFUSED, "%s is busy with other orders; try again", name);
    case ORDER_OVERTAKEN:
        return say(o, CONTROL_REFUSED, "%s is SAFE: it was asked for again meanwhile", name);
    case ORDER_DONE:
        return look_done(o, now_ns);
    case ORDER_OWED:
    case ORDER_EXPIRED: /* promotions, which are not ordered here */
    case ORDER_GIVEN_UP:
        break;
    }
    return look_owed(o, now_ns);
}
