/* The known answer: expected tensors found by name, a fresh state per mode, element by element. */
#include "decode/selftest.h"

#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "decode/forward.h"
#include "decode/input_stage.h"
#include "kernels/denormals.h"

/* |found - expected| <= tolerance * max(1, size), against a float64 reference with the
 * weights as they were before rounding. size is |expected|; of a readout the largest
 * |expected| of its dimension, since a velocity of hundreds of mm/s is no more exact
 * where it crosses zero. f32 differs by the rounding of its sums, bf16 and int8 by that
 * of the weights, which is the price of a precision: their tolerance finds damage and
 * models that cannot afford it, not the last digit. */
static const double tolerances[N_PRECISIONS] = {
    [PRECISION_F32] = 1e-4,
    [PRECISION_BF16] = 0.02,
    [PRECISION_INT8] = 0.05,
};
#define N_GROUPS 4

/* One output group of one mode: what the file expects and where the model writes. */
struct answer {
    const char *key;             /* latents, lograte, ... */
    size_t width;                /* n: L, N, O; 0: the model has none */
    bool log_rates;              /* the model writes rates, the file holds their logarithm */
    bool gaps;                   /* NaN where the model gives nothing */
    bool by_column;              /* the tolerance follows the largest value of a column */
    const struct tensor *tensor; /* [T, n] */
    float *found;                /* [T, n] */
};

struct selftest {
    const struct latent_model *m;
    const struct safetensors *file;
    const struct latent_mode *mode;
    const char *precision;
    double tolerance;
    const struct tensor *input; /* [T, C] */
    size_t n_bins;              /* T of this mode */
    bool linear_rates;          /* compare rates, not their logarithm */
    struct answer answers[N_GROUPS];
    float *counts;    /* [T, C] as the model gets them */
    size_t first_bad; /* the first bin in which a value inside was not finite; n_bins: none */
    struct forward forward;
    struct input_stage input_stage;
    struct arena state_memory, work_memory, buffers;
    struct latent_error *err;
};

/* Element i of an F32 tensor, whatever its alignment. */
static float element_get(const struct tensor *t, size_t i)
{
    float value;
    memcpy(&value, (const unsigned char *)t->data + i * sizeof value, sizeof value);
    return value;
}

/* A tensor [any, width] of F32; NULL, with *status set, when missing or of another kind. */
static const struct tensor *rows_find(const struct selftest *s, const char *name, size_t width,
                                      int *status)
{
    const struct tensor *t = safetensors_find(s->file, name);
    char shape[TENSOR_SHAPE_TEXT];
    if (!t)
        *status = error_set(s->err, LATENT_E_TENSOR,
                            "tensor \"%s\" is missing: expected F32 [bins,%zu], "
                            "the known answer that every load checks; export the model again",
                            name, width);
    else if (t->type != TENSOR_F32)
        *status = error_set(s->err, LATENT_E_TENSOR, "tensor \"%s\": expected type F32, found %s",
                            name, tensor_type_name(t->type));
    else if (t->n_dims != 2 || t->shape[1] != width || t->shape[0] < 1 ||
             t->shape[0] > SELFTEST_MAX_BINS)
        *status =
            error_set(s->err, LATENT_E_TENSOR,
                      "tensor \"%s\": expected shape [bins,%zu] with 1 to %u bins, found %s", name,
                      width, SELFTEST_MAX_BINS, tensor_shape_text(shape, t->n_dims, t->shape));
    return *status ? NULL : t;
}

/* Counts are whole numbers, as a file can hold them: what a bin can really hold. */
static int input_check(const struct selftest *s)
{
    size_t n_channels = s->m->info.n_channels;
    for (size_t i = 0; i < s->input->n_elements; i++) {
        float count = element_get(s->input, i);
        if (s->m->info.input == LATENT_INPUT_REAL && isfinite(count)) continue;
        if (count >= 0.0f && count <= 65535.0f && floorf(count) == count) continue;
        return error_set(s->err, LATENT_E_TENSOR,
                         "tensor \"" SELFTEST_PREFIX "input\": expected %s, found %g at [%zu,%zu]",
                         s->m->info.input == LATENT_INPUT_REAL ? "finite values"
                                                               : "whole counts from 0 to 65535",
                         (double)count, i / n_channels, i % n_channels);
    }
    return 0;
}

static void answer_name(char name[SAFETENSORS_MAX_NAME + 1], const struct latent_mode *mode,
                        const char *key)
{
    snprintf(name, SAFETENSORS_MAX_NAME + 1, SELFTEST_PREFIX "%s.%s", mode->name, key);
}

/* Expected values are numbers; only a rate of zero has a logarithm of -inf. */
static int answer_check(const struct selftest *s, const struct answer *a)
{
    for (size_t i = 0; i < a->tensor->n_elements; i++) {
        double value = (double)element_get(a->tensor, i);
        if (isfinite(value)) continue;
        if (a->log_rates && s->linear_rates && value < 0.0) continue;
        if (a->gaps && isnan(value)) continue;
        return error_set(s->err, LATENT_E_TENSOR,
                         "tensor \"%s\": expected finite numbers, found %g at [%zu,%zu]",
                         a->tensor->name, value, i / a->width, i % a->width);
    }
    return 0;
}

/* The tensor of each group the model has; all of a mode have the same number of bins. */
static int answers_find(struct selftest *s)
{
    int status = 0;
    const struct answer *first = NULL;
    for (struct answer *a = s->answers; a < s->answers + N_GROUPS; a++) {
        if (!a->width) continue;
        char name[SAFETENSORS_MAX_NAME + 1];
        answer_name(name, s->mode, a->key);
        a->tensor = rows_find(s, name, a->width, &status);
        if (!status) status = answer_check(s, a);
        if (status) return status;
        if (!first) first = a;
        if (a->tensor->shape[0] != first->tensor->shape[0])
            return error_set(s->err, LATENT_E_TENSOR,
                             "tensor \"%s\": expected %zu bins, as in \"%s\", found %zu", name,
                             first->tensor->shape[0], first->tensor->name, a->tensor->shape[0]);
    }
    assert(first); /* model_config refuses a model without outputs */
    s->n_bins = first->tensor->shape[0];
    if (s->n_bins > s->m->dims.first_bin) return 0;
    return error_set(s->err, LATENT_E_TENSOR,
                     "tensor \"%s\": expected more than %llu bins, since the model gives nothing "
                     "before, found %zu",
                     first->tensor->name, (unsigned long long)s->m->dims.first_bin, s->n_bins);
}

/* No more bins than there is input, nor than a trial has where positions end with it. */
static int bins_check(const struct selftest *s)
{
    size_t limit = s->input->shape[0], trial_bins = s->m->dims.trial_bins;
    if ((s->mode->aligned || s->mode->offline) && trial_bins && trial_bins < limit)
        limit = trial_bins;
    if (s->n_bins <= limit) return 0;
    return error_set(s->err, LATENT_E_TENSOR,
                     "tensors \"" SELFTEST_PREFIX "%s.*\": expected at most %zu bins, found %zu",
                     s->mode->name, limit, s->n_bins);
}

/* Buffers start as NaN, so that an output nobody wrote is seen. */
static int buffers_new(struct selftest *s)
{
    size_t n_counts = s->n_bins * s->m->info.n_channels, n = n_counts + N_GROUPS * ARENA_ALIGN;
    for (int g = 0; g < N_GROUPS; g++) n += s->n_bins * s->answers[g].width;
    if (n > MODEL_MAX_BYTES / sizeof(float) || arena_new(&s->buffers, n * sizeof(float)))
        return error_set(s->err, LATENT_E_NOMEM, "known answer: no memory for %zu numbers", n);
    s->counts = arena_floats(&s->buffers, n_counts);
    memcpy(s->counts, s->input->data, n_counts * sizeof *s->counts);
    for (struct answer *a = s->answers; a < s->answers + N_GROUPS; a++) {
        a->found = a->width ? arena_floats(&s->buffers, s->n_bins * a->width) : NULL;
        for (size_t i = 0; i < s->n_bins * a->width; i++) a->found[i] = NAN;
    }
    return 0;
}

/* A state of its own: counted, then made. */
static int state_new(struct selftest *s)
{
    const struct latent_model *m = s->m;
    int mode = model_mode(m, s->mode->name);
    const void *bound = model_bound(m, s->precision);
    struct arena state = {0}, work = {0};
    struct model_memory counting = {.state = &state, .work = &work, .session = m->dims.session};
    forward_init(&s->forward, m, bound, mode, &counting);
    input_stage_init(&s->input_stage, m, &counting);
    if (state.used > MODEL_MAX_BYTES || work.used > MODEL_MAX_BYTES ||
        arena_new(&s->state_memory, state.used) || arena_new(&s->work_memory, work.used))
        return error_set(s->err, LATENT_E_NOMEM,
                         "mode \"%s\": no memory for a state of %zu and a scratch of %zu bytes "
                         "(at most %llu)",
                         s->mode->name, state.used, work.used, MODEL_MAX_BYTES);
    struct model_memory memory = {
        .state = &s->state_memory, .work = &s->work_memory, .session = m->dims.session};
    forward_init(&s->forward, m, bound, mode, &memory);
    input_stage_init(&s->input_stage, m, &memory);
    input_stage_clear(&s->input_stage);
    forward_reset(&s->forward);
    return 0;
}

/* Where bin t of each group goes. */
static struct model_out out_at(const struct selftest *s, size_t t)
{
    const struct answer *a = s->answers;
    return (struct model_out){
        .latents = a[0].width ? a[0].found + t * a[0].width : NULL,
        .rates = a[1].width ? a[1].found + t * a[1].width : NULL,
        .readout = a[2].width ? a[2].found + t * a[2].width : NULL,
        .logits = a[3].width ? a[3].found + t * a[3].width : NULL,
    };
}

/* As live, of a stream that says nothing of trials. */
static void input_take(struct selftest *s)
{
    for (size_t t = 0; t < s->n_bins; t++) {
        float *row = s->counts + t * s->m->info.n_channels;
        input_stage_take(&s->input_stage, row, &(struct latent_bin){.counts = row});
    }
}

/* As live: denormals off. */
static void mode_compute(struct selftest *s)
{
    s->first_bad = s->n_bins;
    input_take(s);
    denormals_mode before = denormals_off();
    for (size_t t = 0; t < s->n_bins && !s->mode->offline; t++) {
        struct model_out out = out_at(s, t);
        forward_step(&s->forward, s->counts + t * s->m->info.n_channels, &out);
        if (out.infinite && t < s->first_bad) s->first_bad = t;
    }
    if (s->mode->offline) {
        struct model_out out = out_at(s, 0);
        forward_trial(&s->forward, s->counts, s->n_bins, &out);
    }
    denormals_restore(before);
}

/* The largest expected value of one column. */
static double column_size(const struct answer *a, size_t n_bins, size_t column)
{
    double size = 0.0;
    for (size_t t = 0; t < n_bins; t++)
        size = fmax(size, fabs((double)element_get(a->tensor, t * a->width + column)));
    return size;
}

/* Rates are compared as logarithms, unless the model's own rates are linear: those reach zero. */
static int answer_compare(const struct selftest *s, const struct answer *a)
{
    for (size_t i = 0; i < s->n_bins * a->width; i++) {
        double expected = (double)element_get(a->tensor, i), found = (double)a->found[i];
        if (a->log_rates && s->linear_rates)
            expected = exp(expected);
        else if (a->log_rates)
            found = log(found);
        if (a->gaps && isnan(expected) && isnan(found)) continue;
        double size = a->by_column ? column_size(a, s->n_bins, i % a->width) : fabs(expected);
        if (fabs(found - expected) <= s->tolerance * fmax(1.0, size)) continue;
        return error_set(s->err, LATENT_E_SELFTEST,
                         "known answer not reproduced in mode \"%s\": tensor \"%s\", bin %zu, "
                         "element %zu: expected %.9g, found %.9g (tolerance %g, precision %s); "
                         "the weights, the hyper-parameters or the answer are damaged%s",
                         s->mode->name, a->tensor->name, i / a->width, i % a->width, expected,
                         found, s->tolerance, s->precision,
                         s->tolerance > tolerances[PRECISION_F32]
                             ? ", or this model cannot afford the precision"
                             : "");
    }
    return 0;
}

static int answers_compare(const struct selftest *s)
{
    int status = 0;
    for (int g = 0; g < N_GROUPS && !status; g++) status = answer_compare(s, &s->answers[g]);
    if (status || s->first_bad == s->n_bins) return status;
    return error_set(s->err, LATENT_E_SELFTEST,
                     "known answer, mode \"%s\", bin %zu: a layer's values are not finite, though "
                     "the outputs are: nothing that it is part of would be believed live",
                     s->mode->name, s->first_bad);
}

static int mode_test(struct selftest *s)
{
    int status = answers_find(s);
    if (!status) status = bins_check(s);
    if (!status) status = buffers_new(s);
    if (!status) status = state_new(s);
    if (!status) {
        mode_compute(s);
        status = answers_compare(s);
    }
    arena_free(&s->state_memory);
    arena_free(&s->work_memory);
    arena_free(&s->buffers);
    return status;
}

/* Does a selftest tensor belong to a mode the file lists and a group the model has? */
static bool answer_is_known(const struct selftest *s, const char *tensor)
{
    if (strcmp(tensor, SELFTEST_PREFIX "input") == 0) return true;
    for (uint32_t i = 0; i < s->m->info.n_modes; i++)
        for (int g = 0; g < N_GROUPS; g++) {
            char name[SAFETENSORS_MAX_NAME + 1];
            answer_name(name, &s->m->info.modes[i], s->answers[g].key);
            if (s->answers[g].width && strcmp(tensor, name) == 0) return true;
        }
    return false;
}

static int names_check(const struct selftest *s)
{
    for (size_t i = 0; i < s->file->n_tensors; i++) {
        const char *name = s->file->tensors[i].name;
        if (strncmp(name, SELFTEST_PREFIX, strlen(SELFTEST_PREFIX)) != 0) continue;
        if (!answer_is_known(s, name))
            return error_set(s->err, LATENT_E_TENSOR,
                             "tensor \"%s\": expected known answers only of the file's modes "
                             "and of outputs the model has, found this one besides",
                             name);
    }
    return 0;
}

int selftest_run(const struct latent_model *m, const struct safetensors *file,
                 struct latent_error *err)
{
    bool plain = m->dims.answers_rates, gaps = m->dims.every_bins > 1 || m->dims.first_bin > 0;
    struct selftest s = {
        .m = m,
        .file = file,
        .linear_rates = json_is_false(json_object_get(m->config.hyper, "lograte")),
        .answers = {{.key = "latents", .width = m->dims.n_latents, .gaps = gaps},
                    {.key = plain ? "rates" : "lograte",
                     .width = m->dims.n_rates,
                     .log_rates = !plain,
                     .gaps = gaps},
                    {.key = "readout", .width = m->dims.n_readout, .by_column = true, .gaps = gaps},
                    {.key = "logits", .width = m->dims.n_logits, .gaps = gaps}},
        .err = err,
    };
    int status = names_check(&s);
    if (!status) s.input = rows_find(&s, SELFTEST_PREFIX "input", m->info.n_channels, &status);
    if (!status) status = input_check(&s);
    for (uint32_t p = 0; p < m->info.n_precisions && !status; p++) {
        s.precision = m->info.precisions[p];
        s.tolerance = tolerances[precision_find(s.precision)];
        for (uint32_t i = 0; i < m->info.n_modes && !status; i++) {
            s.mode = &m->info.modes[i];
            status = mode_test(&s);
        }
    }
    return status;
}
