/* The rules of proto/README.md, "When a frame may be acted on". */
#include "judge.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void judge_open(struct judge *j, uint64_t local_clock_id)
{
    *j = (struct judge){.local_clock_id = local_clock_id};
}

static void info_free(struct judge_info *info)
{
    if (info->message) latent__v1__info__free_unpacked(info->message, NULL);
    free(info->fields);
    free(info->holds);
    free(info->resting);
    *info = (struct judge_info){0};
}

void judge_close(struct judge *j)
{
    info_free(&j->infos[0]);
    info_free(&j->infos[1]);
}

/* ---- infos ---- */

/* Whatever else is in a frame, these values may reach a device. */
static bool is_sound(const Latent__V1__Info *m)
{
    for (size_t i = 0; i < m->n_readout; i++) {
        const Latent__V1__ReadoutInfo *r = m->readout[i];
        if (!isfinite(r->neutral) || isnan(r->min) || isnan(r->max) || isnan(r->slew)) return false;
    }
    return true;
}

static int info_load(struct judge_info *info, Latent__V1__Info *m)
{
    info->message = m;
    info->fields = calloc(m->n_readout + 1, sizeof *info->fields);
    info->holds = calloc(m->n_readout + 1, sizeof *info->holds);
    info->resting = calloc(m->n_readout + 1, sizeof *info->resting);
    if (!info->fields || !info->holds || !info->resting) return -1;
    for (size_t i = 0; i < m->n_readout; i++) {
        const Latent__V1__ReadoutInfo *r = m->readout[i];

        info->fields[i] =
            (struct latent_readout){r->name, r->unit, r->neutral, r->min, r->max, r->slew, r->hold};
        info->holds[i] = r->hold;
        info->resting[i] = r->neutral;
    }
    return 0;
}

/* Held values by name and unit, so that they outlive infos and swaps. */
static void copy_held(struct judge_info *to, const struct judge_info *from, const float *values)
{
    size_t n_to = to->message ? to->message->n_readout : 0;
    size_t n_from = from->message ? from->message->n_readout : 0;

    for (size_t i = 0; i < n_to; i++)
        for (size_t k = 0; to->holds[i] && k < n_from; k++)
            if (from->holds[k] && strcmp(to->fields[i].name, from->fields[k].name) == 0 &&
                strcmp(to->fields[i].unit, from->fields[k].unit) == 0)
                to->resting[i] = values[k];
}

int judge_on_info(struct judge *j, const void *payload, size_t n)
{
    Latent__V1__Info *m = latent__v1__info__unpack(NULL, n, payload);
    struct judge_info info = {0};

    if (!m) return -1;
    if (!is_sound(m) || info_load(&info, m)) {
        info.message = m;
        info_free(&info);
        return -1;
    }
    copy_held(&info, &j->infos[1], j->infos[1].resting);
    copy_held(&info, &j->infos[0], j->infos[0].resting);
    if (j->infos[0].message && j->infos[0].message->decoder_id == m->decoder_id) {
        info_free(&j->infos[0]);
    } else {
        info_free(&j->infos[1]);
        j->infos[1] = j->infos[0];
    }
    j->infos[0] = info;
    return 0;
}

/* The Info of the newest frame; otherwise the newest, whose neutral values are the best
 * known. */
static struct judge_info *info_of_frame(struct judge *j)
{
    struct judge_info *other = &j->infos[1];

    if (j->has_frame && other->message && other->message->decoder_id == j->frame.decoder_id)
        return other;
    return &j->infos[0];
}

/* ---- frames ---- */

/* A HELD frame says again what was said before, so it may carry on what a consumer has,
 * and never bring back what has expired. Both times are of the publisher's clock. */
static bool carries_on(const struct judge *j, const struct wire_frame *f)
{
    const struct wire_frame *before = &j->frame;
    uint64_t apart_ns = f->t_publish_ns - before->t_publish_ns;

    if (!(f->values.flags & LATENT_HELD)) return true;
    return j->has_frame && j->continues && f->clock_id == before->clock_id &&
           before->valid_for_ns <= JUDGE_MAX_VALID_FOR_NS && apart_ns < before->valid_for_ns;
}

void judge_on_frame(struct judge *j, const struct wire_frame *f, int64_t t_receipt_ns)
{
    const struct clocks_frame times = {f->clock_id, f->t_publish_ns, f->valid_for_ns};

    j->continues = carries_on(j, f);
    j->frame = *f;
    j->has_frame = true;
    j->t_receipt_ns = t_receipt_ns;
    j->t_published_ns = (int64_t)f->t_publish_ns;
    j->clock_is_known = true;
    if (j->local_clock_id != 0 && f->clock_id == j->local_clock_id) return;
    if (f->valid_for_ns <= JUDGE_MAX_VALID_FOR_NS)
        j->clock_is_known = clocks_on_frame(&j->clocks, &times, t_receipt_ns, &j->t_published_ns);
}

bool judge_is_after(const struct judge *j, int64_t t_ns)
{
    return clocks_difference_ns((uint64_t)j->t_published_ns, (uint64_t)t_ns) > 0;
}

/* ---- the readout ---- */

static bool all_finite(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i])) return false;
    return true;
}

static const char *expired(struct judge *j, int64_t age_ns)
{
    snprintf(j->reason, sizeof j->reason, "expired: %.1f ms old, valid for %.1f ms",
             (double)age_ns / 1e6, (double)j->frame.valid_for_ns / 1e6);
    return j->reason;
}

/* Why the times of the newest frame do not let it drive a device; NULL when they do. */
static const char *untimely(struct judge *j, int64_t now_ns)
{
    int64_t age_ns = clocks_difference_ns((uint64_t)now_ns, (uint64_t)j->t_published_ns);

    if (j->frame.valid_for_ns > JUDGE_MAX_VALID_FOR_NS) {
        snprintf(j->reason, sizeof j->reason, "valid_for of %.0f s; at most %.0f s are believed",
                 (double)j->frame.valid_for_ns / 1e9, (double)JUDGE_MAX_VALID_FOR_NS / 1e9);
        return j->reason;
    }
    if (!j->clock_is_known) {
        snprintf(j->reason, sizeof j->reason,
                 "the publisher's clock is not known yet: %u of %d frames, over valid_for, agree",
                 clocks_n_support(&j->clocks, j->frame.clock_id), CLOCKS_FRAMES);
        return j->reason;
    }
    if (judge_is_after(j, j->t_receipt_ns) || age_ns < 0)
        return "published in the future: the clocks of publisher and subscriber disagree";
    if ((uint64_t)age_ns >= j->frame.valid_for_ns) return expired(j, age_ns);
    if (!j->continues) return "held: what this frame repeats had expired";
    return NULL;
}

/* Why the newest frame must not drive a device; NULL when it may. */
static const char *unfit(struct judge *j, const Latent__V1__Info *info, int64_t now_ns)
{
    const struct latent_frame *values = &j->frame.values;

    if (!j->has_frame) return "no frame yet";
    if (j->frame.decoder_id != info->decoder_id)
        return "the decoder changed and its info has not come yet";
    if (values->n_readout != info->n_readout)
        return "the frame carries another number of readout values than its info names";
    if (!all_finite(values->readout, values->n_readout)) return "the readout is not finite";
    return untimely(j, now_ns);
}

int judge_readout(struct judge *j, int64_t now_ns, struct latent_client_readout *out)
{
    struct judge_info *info = info_of_frame(j);

    if (!info->message || info->message->n_readout == 0) return 0;
    out->n = (uint32_t)info->message->n_readout;
    out->fields = info->fields;
    out->holds = info->holds;
    out->reason = unfit(j, info->message, now_ns);
    out->values = out->reason ? info->resting : j->frame.values.readout;
    if (out->reason) return 1;
    copy_held(&j->infos[0], info, out->values);
    copy_held(&j->infos[1], info, out->values);
    return 1;
}
