/* Recipes: one table says which keys there are, of which type and in which range. */
#include "latent-sim/recipe.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define LARGEST_RECIPE_BYTES 65536

enum field_type { WHOLE32, WHOLE64, NUMBER, RANGE, WIDTH_MS, TRIPLE, SYSTEM, WHOLE_RANGE };

struct field {
    const char *object; /* NULL: the top level */
    const char *key;
    enum field_type type;
    size_t offset; /* in struct recipe */
    double low, high;
};

#define AT(member) offsetof(struct recipe, member)

static const struct field common_fields[] = {
    {NULL, "seed", WHOLE64, AT(seed), 0, 9007199254740992.0},
    {NULL, "n_channels", WHOLE32, AT(n_channels), 1, 65535},
    {NULL, "bin_width_ms", WIDTH_MS, AT(bin_width_us), 0.1, 1000},
    {NULL, "trial_bins", WHOLE32, AT(trial_bins), 1, 100000},
    {"trials", "train", WHOLE32, AT(n_train), 0, 1e6},
    {"trials", "valid", WHOLE32, AT(n_valid), 0, 1e6},
    {"trials", "test", WHOLE32, AT(n_test), 0, 1e6},
    {0},
};

static const struct field lorenz_fields[] = {
    {"lorenz", "n_conditions", WHOLE32, AT(lorenz.n_conditions), 1, 65535},
    {"lorenz", "sigma", NUMBER, AT(lorenz.sigma), 0, 1000},
    {"lorenz", "rho", NUMBER, AT(lorenz.rho), 0, 1000},
    {"lorenz", "beta", NUMBER, AT(lorenz.beta), 0, 1000},
    {"lorenz", "burn_in_time", NUMBER, AT(lorenz.burn_in_time), 0, 1000},
    {"lorenz", "time_per_bin", NUMBER, AT(lorenz.time_per_bin), 1e-6, 1},
    {"lorenz", "steps_per_bin", WHOLE32, AT(lorenz.steps_per_bin), 1, 10000},
    {"readout", "mean_counts_per_bin", NUMBER, AT(lorenz.mean_counts_per_bin), 1e-6, 100},
    {"readout", "loading_norm", NUMBER, AT(lorenz.loading_norm), 0, 10},
    {0},
};

static const struct field reach_fields[] = {
    {"movement", "n_targets", WHOLE32, AT(reach.n_targets), 1, 360},
    {"movement", "radius_mm", NUMBER, AT(reach.radius_mm), 1, 1000},
    {"movement", "random_target_fraction", NUMBER, AT(reach.random_target_fraction), 0, 1},
    {"movement", "random_radius_mm", RANGE, AT(reach.random_radius_mm), 1, 1000},
    {"movement", "duration_ms", RANGE, AT(reach.duration_ms), 10, 10000},
    {"movement", "hold_ms", RANGE, AT(reach.hold_ms), 0, 10000},
    {"movement", "curvature_mm", NUMBER, AT(reach.curvature_mm), 0, 100},
    {"tuning", "mean_rate_hz", RANGE, AT(reach.mean_rate_hz), 0.01, 500},
    {"tuning", "lag_ms", RANGE, AT(reach.lag_ms), 0, 1000},
    {"tuning", "velocity_scale_mm_s", NUMBER, AT(reach.velocity_scale_mm_s), 1, 10000},
    {"tuning", "velocity_depth", RANGE, AT(reach.velocity_depth), -5, 5},
    {"tuning", "speed_depth", RANGE, AT(reach.speed_depth), -5, 5},
    {"tuning", "position_scale_mm", NUMBER, AT(reach.position_scale_mm), 1, 1000},
    {"tuning", "position_depth", RANGE, AT(reach.position_depth), -5, 5},
    {"rotation", "n_planes", WHOLE32, AT(reach.n_planes), 0, RECIPE_MAX_PLANES},
    {"rotation", "frequency_hz", RANGE, AT(reach.frequency_hz), 0, 50},
    {"rotation", "decay_ms", NUMBER, AT(reach.decay_ms), 1, 100000},
    {"rotation", "drive_ms", NUMBER, AT(reach.drive_ms), 1, 10000},
    {"rotation", "drive", NUMBER, AT(reach.drive), 0, 100},
    {"rotation", "loading_sd", NUMBER, AT(reach.loading_sd), 0, 5},
    {"gain", "sd", NUMBER, AT(reach.gain_sd), 0, 2},
    {"gain", "time_ms", NUMBER, AT(reach.gain_time_ms), 1, 1e6},
    {0},
};

static const struct field segments_fields[] = {
    {"orbit", "system", SYSTEM, AT(segments.system), 0, 0},
    {"orbit", "parameters", TRIPLE, AT(segments.parameters), -1000, 1000},
    {"orbit", "start", TRIPLE, AT(segments.start), -1000, 1000},
    {"orbit", "period", NUMBER, AT(segments.period), 1e-6, 1000},
    {"orbit", "bins_per_period", NUMBER, AT(segments.bins_per_period), 2, 100000},
    {"orbit", "steps_per_bin", WHOLE32, AT(segments.steps_per_bin), 1, 10000},
    {"readout", "log_mean", NUMBER, AT(segments.log_mean), -20, 5},
    {"readout", "log_sd", NUMBER, AT(segments.log_sd), 0, 5},
    {0},
};

static const struct field chaotic_fields[] = {
    {"network", "n_conditions", WHOLE32, AT(chaotic.n_conditions), 1, 65535},
    {"network", "gain", NUMBER, AT(chaotic.gain), 0, 100},
    {"network", "tau_ms", NUMBER, AT(chaotic.tau_ms), 0.1, 10000},
    {"network", "steps_per_bin", WHOLE32, AT(chaotic.steps_per_bin), 1, 10000},
    {"network", "initial_sd", NUMBER, AT(chaotic.initial_sd), 0, 100},
    {"readout", "peak_rate_hz", NUMBER, AT(chaotic.peak_rate_hz), 0.01, 10000},
    {0},
};

static const struct field speech_fields[] = {
    {"speech", "n_phonemes", WHOLE32, AT(speech.n_phonemes), 2, 1000},
    {"speech", "word_phonemes", WHOLE_RANGE, AT(speech.word_phonemes), 1, 1000},
    {"speech", "phoneme_ms", RANGE, AT(speech.phoneme_ms), 1, 10000},
    {"speech", "pause_ms", RANGE, AT(speech.pause_ms), 1, 10000},
    {"articulation", "n_articulators", WHOLE32, AT(speech.n_articulators), 1, 1000},
    {"articulation", "tau_ms", NUMBER, AT(speech.tau_ms), 0.1, 10000},
    {"tuning", "rest_rate_hz", RANGE, AT(speech.rest_rate_hz), 0.01, 500},
    {"tuning", "depth", NUMBER, AT(speech.depth), 0, 2},
    {0},
};

static const char *const systems[] = {
    [SYSTEM_ARNEODO] = "arneodo", [SYSTEM_ROSSLER] = "rossler", [SYSTEM_LORENZ] = "lorenz"};
#define N_SYSTEMS (sizeof systems / sizeof systems[0])

static const struct {
    const char *name;
    enum recipe_kind kind;
    const struct field *fields;
} kinds[] = {
    {"lorenz", RECIPE_LORENZ, lorenz_fields},       {"reach", RECIPE_REACH, reach_fields},
    {"segments", RECIPE_SEGMENTS, segments_fields}, {"chaotic", RECIPE_CHAOTIC, chaotic_fields},
    {"speech", RECIPE_SPEECH, speech_fields},
};
#define N_KINDS (sizeof kinds / sizeof kinds[0])

/* What is being read, for the texts. */
struct reading {
    const char *path;
    json_t *root;
    const struct field *fields; /* of the kind */
    struct latent_error *err;
};

static int field_fail(struct reading *in, const struct field *f, const char *expected,
                      const json_t *found)
{
    char *shown = found ? json_dumps(found, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    error_text(in->err, LATENT_E_CONFIG, "recipe %s: %s%s%s: expected %s, found %.60s", in->path,
               f->object ? f->object : "", f->object ? "." : "", f->key, expected,
               shown ? shown : "nothing: add the key");
    free(shown);
    return LATENT_E_CONFIG;
}

static int field_in_range(const struct field *f, const json_t *value)
{
    double x = json_number_value(value);
    return json_is_number(value) && x >= f->low && x <= f->high;
}

static int field_store_range(struct reading *in, const struct field *f, const json_t *value,
                             struct recipe_range *out)
{
    const json_t *low = json_array_get(value, 0), *high = json_array_get(value, 1);
    char expected[96];
    snprintf(expected, sizeof expected, "[low, high] with %g <= low <= high <= %g", f->low,
             f->high);
    if (json_array_size(value) != 2 || !field_in_range(f, low) || !field_in_range(f, high) ||
        json_number_value(low) > json_number_value(high))
        return field_fail(in, f, expected, value);
    *out = (struct recipe_range){json_number_value(low), json_number_value(high)};
    return 0;
}

static int field_store_whole_range(struct reading *in, const struct field *f, const json_t *value,
                                   uint32_t out[2])
{
    const json_t *low = json_array_get(value, 0), *high = json_array_get(value, 1);
    struct recipe_range range;
    int status = field_store_range(in, f, value, &range);
    if (status) return status;
    if (!json_is_integer(low) || !json_is_integer(high))
        return field_fail(in, f, "two whole numbers", value);
    out[0] = (uint32_t)json_integer_value(low);
    out[1] = (uint32_t)json_integer_value(high);
    return 0;
}

static int field_store_triple(struct reading *in, const struct field *f, const json_t *value,
                              double out[3])
{
    int good = json_array_size(value) == 3;
    char expected[96];
    for (size_t i = 0; good && i < 3; i++) {
        good = field_in_range(f, json_array_get(value, i));
        out[i] = json_number_value(json_array_get(value, i));
    }
    snprintf(expected, sizeof expected, "three numbers from %g to %g", f->low, f->high);
    return good ? 0 : field_fail(in, f, expected, value);
}

static int field_store_system(struct reading *in, const struct field *f, const json_t *value,
                              uint32_t *out)
{
    const char *name = json_string_value(value);
    for (uint32_t i = 0; name && i < N_SYSTEMS; i++)
        if (strcmp(name, systems[i]) == 0) {
            *out = i;
            return 0;
        }
    return field_fail(in, f, "\"arneodo\", \"rossler\" or \"lorenz\"", value);
}

/* A bin is a whole number of microseconds. */
static int field_store_width(struct reading *in, const struct field *f, const json_t *value,
                             uint32_t *out_us)
{
    double us = json_number_value(value) * 1000.0;
    if (!field_in_range(f, value) || fabs(us - round(us)) > 1e-6)
        return field_fail(in, f, "0.1 to 1000 ms in whole microseconds", value);
    *out_us = (uint32_t)lround(us);
    return 0;
}

static int field_store(struct reading *in, const struct field *f, struct recipe *recipe)
{
    const json_t *object = f->object ? json_object_get(in->root, f->object) : in->root;
    const json_t *value = json_object_get(object, f->key);
    void *out = (char *)recipe + f->offset;
    char expected[96];

    if (!value) return field_fail(in, f, "a value", NULL);
    if (f->type == RANGE) return field_store_range(in, f, value, out);
    if (f->type == WHOLE_RANGE) return field_store_whole_range(in, f, value, out);
    if (f->type == WIDTH_MS) return field_store_width(in, f, value, out);
    if (f->type == TRIPLE) return field_store_triple(in, f, value, out);
    if (f->type == SYSTEM) return field_store_system(in, f, value, out);
    int whole = f->type != NUMBER;
    snprintf(expected, sizeof expected, "a %snumber from %.17g to %.17g", whole ? "whole " : "",
             f->low, f->high);
    if (!field_in_range(f, value) || (whole && !json_is_integer(value)))
        return field_fail(in, f, expected, value);
    if (f->type == WHOLE32) *(uint32_t *)out = (uint32_t)json_integer_value(value);
    if (f->type == WHOLE64) *(uint64_t *)out = (uint64_t)json_integer_value(value);
    if (f->type == NUMBER) *(double *)out = json_number_value(value);
    return 0;
}

static int fields_store(struct reading *in, const struct field *fields, struct recipe *recipe)
{
    for (const struct field *f = fields; f->key; f++) {
        int status = field_store(in, f, recipe);
        if (status) return status;
    }
    return 0;
}

static int same_object(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Is `key` of `object` in the table, as a value or (at the top level) as an object? */
static int fields_know(const struct field *fields, const char *object, const char *key)
{
    for (const struct field *f = fields; f->key; f++) {
        if (same_object(f->object, object) && strcmp(f->key, key) == 0) return 1;
        if (!object && f->object && strcmp(f->object, key) == 0) return 1;
    }
    return 0;
}

static int keys_check(struct reading *in, json_t *json, const char *object)
{
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value)
    {
        int special = !object && (strcmp(key, "format") == 0 || strcmp(key, "kind") == 0);
        if (!special && !fields_know(common_fields, object, key) &&
            !fields_know(in->fields, object, key))
            return error_text(in->err, LATENT_E_CONFIG,
                              "recipe %s: unknown key \"%s%s%s\": remove it or correct "
                              "its spelling",
                              in->path, object ? object : "", object ? "." : "", key);
        int status = json_is_object(value) && !object ? keys_check(in, value, key) : 0;
        if (status) return status;
    }
    return 0;
}

/* The fields of the recipe's kind; NULL when it has none that we know. */
static const struct field *kind_find(const char *name, enum recipe_kind *kind)
{
    for (size_t i = 0; name && i < N_KINDS; i++)
        if (strcmp(name, kinds[i].name) == 0) {
            *kind = kinds[i].kind;
            return kinds[i].fields;
        }
    return NULL;
}

static int trials_check(struct reading *in, const struct recipe *recipe)
{
    if (recipe->n_train + recipe->n_valid + recipe->n_test > 0) return 0;
    return error_text(in->err, LATENT_E_CONFIG,
                      "recipe %s: trials: expected at least one, found none", in->path);
}

static int recipe_parse(struct reading *in, struct recipe *recipe)
{
    const json_t *format = json_object_get(in->root, "format");
    if (!json_is_object(in->root) || json_integer_value(format) != 1)
        return error_text(in->err, LATENT_E_CONFIG,
                          "recipe %s: expected a JSON object with \"format\": 1", in->path);
    const char *kind = json_string_value(json_object_get(in->root, "kind"));
    in->fields = kind_find(kind, &recipe->kind);
    if (!in->fields)
        return error_text(in->err, LATENT_E_CONFIG,
                          "recipe %s: kind: expected lorenz, reach, segments, chaotic or speech, "
                          "found %s",
                          in->path, kind ? kind : "no text");
    int status = keys_check(in, in->root, NULL);
    if (!status) status = fields_store(in, common_fields, recipe);
    if (!status) status = fields_store(in, in->fields, recipe);
    if (!status) status = trials_check(in, recipe);
    return status;
}

static char *text_read(const char *path, struct latent_error *err)
{
    FILE *file = fopen(path, "rb");
    char *text = file ? calloc(1, LARGEST_RECIPE_BYTES + 1) : NULL;
    size_t n = text ? fread(text, 1, LARGEST_RECIPE_BYTES, file) : 0;
    if (!text || ferror(file) || n == LARGEST_RECIPE_BYTES) {
        error_text(err, LATENT_E_IO, "recipe %s: %s", path,
                   n == LARGEST_RECIPE_BYTES ? "too long for a recipe" : strerror(errno));
        free(text);
        text = NULL;
    }
    if (file) fclose(file);
    return text;
}

int recipe_load(struct recipe *recipe, const char *path, struct latent_error *err)
{
    *recipe = (struct recipe){.text = text_read(path, err)};
    if (!recipe->text) return err->status;

    json_error_t where;
    struct reading in = {.path = path, .err = err};
    in.root = json_loads(recipe->text, JSON_REJECT_DUPLICATES, &where);
    int status = in.root ? recipe_parse(&in, recipe)
                         : error_text(err, LATENT_E_CONFIG, "recipe %s line %d: not JSON: %s", path,
                                      where.line, where.text);
    json_decref(in.root);
    if (status) recipe_free(recipe);
    return status;
}

void recipe_free(struct recipe *recipe)
{
    free(recipe->text);
    recipe->text = NULL;
}
