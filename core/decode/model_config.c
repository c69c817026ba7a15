/* The model file's latent.config outside "hyper", checked key by key. */
#include "decode/model_config.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define MAX_CHANNELS 65536
#define MAX_OUTPUTS 65536    /* of each group */
#define MAX_LABELS 4096      /* of logits: an Info carries them */
#define MAX_WORDS 16         /* modes, precisions */
#define MAX_NAME_BYTES 64    /* of a channel, readout dimension or unit */
#define MAX_PROSE_BYTES 1000 /* licence, source */
#define N_CHANNEL_NUMBERS 5  /* mean, variance, clip, clip_low; zeros */
#define MAX_RUN 1000000000   /* bins */
#define BIN_WIDTH_MIN_US 100
#define BIN_WIDTH_MAX_US 10000000

/* Any number that a float can hold. */
static float fields_float(struct fields *c, const char *key)
{
    return (float)fields_number(c, key, (double)-FLT_MAX, (double)FLT_MAX);
}

/* The same, or null for "none". */
static float fields_float_or(struct fields *c, const char *key, float none)
{
    return json_is_null(fields_value(c, key)) ? none : fields_float(c, key);
}

/* Finite numbers of a list into out, none below min. */
static void numbers_read(struct fields *c, const char *key, const json_t *list, double min,
                         float *out)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        double number = json_number_value(item);
        if (!json_is_number(item) || number < min || number > (double)FLT_MAX)
            fields_refuse(c, LATENT_E_CONFIG, key,
                          "expected item %zu to be a number of at least %g", i, min);
        out[i] = (float)number;
    }
}

static void arch_read(struct model_config *mc, struct fields *c, struct latent_info *info)
{
    info->arch = fields_text(c, "arch", MAX_NAME_BYTES);
    if (c->status) return;
    mc->ops = model_find(info->arch);
    if (!mc->ops)
        fields_refuse(c, LATENT_E_UNSUPPORTED, "arch", "expected one of %s, found \"%s\"",
                      model_names(), info->arch);
}

/* Absent in files from before there were two kinds. */
static void input_read(struct fields *c, struct latent_info *info)
{
    if (!fields_has(c, "input")) return;
    const char *input = fields_text(c, "input", MAX_NAME_BYTES);
    for (uint32_t kind = LATENT_INPUT_COUNTS; kind <= LATENT_INPUT_REAL; kind++)
        if (!c->status && strcmp(input, latent_input_name(kind)) == 0) {
            info->input = kind;
            return;
        }
    fields_refuse(c, LATENT_E_CONFIG, "input", "expected \"counts\" or \"real\", found \"%s\"",
                  input);
}

/* Names of an architecture's modes, "A, C, trial". */
static void mode_names(char *text, size_t size, const struct latent_mode *modes)
{
    text[0] = '\0';
    for (size_t i = 0; modes[i].name; i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s", i ? ", " : "", modes[i].name);
    }
}

static const struct latent_mode *mode_find(const struct latent_mode *modes, const char *name)
{
    for (; modes->name; modes++)
        if (strcmp(modes->name, name) == 0) return modes;
    return NULL;
}

static void modes_read(struct model_config *mc, struct fields *c, struct latent_info *info)
{
    const char *names[MAX_WORDS];
    json_t *list = fields_array(c, "modes", 1, MAX_WORDS);
    if (!list) return;
    fields_names(c, "modes", list, MAX_NAME_BYTES, names);
    struct latent_mode *modes = arena_take(&mc->arrays, json_array_size(list) * sizeof *modes);
    for (size_t i = 0; !c->status && i < json_array_size(list); i++) {
        const struct latent_mode *mode = mode_find(mc->ops->modes, names[i]);
        char offered[128];
        mode_names(offered, sizeof offered, mc->ops->modes);
        if (!mode)
            fields_refuse(c, LATENT_E_UNSUPPORTED, "modes",
                          "expected modes of %s that this build offers (%s), found \"%s\"",
                          mc->ops->name, offered, names[i]);
        else
            modes[i] = *mode;
    }
    info->modes = modes;
    info->n_modes = (uint32_t)json_array_size(list);
}

static void precision_check(struct model_config *mc, struct fields *c, const char *name)
{
    int precision = precision_find(name);
    if (precision < 0)
        fields_refuse(c, LATENT_E_CONFIG, "precisions",
                      "expected words of \"f32\", \"bf16\", \"int8\", found \"%s\"", name);
    else if (precision != PRECISION_F32 && !mc->ops->narrow)
        fields_refuse(c, LATENT_E_UNSUPPORTED, "precisions",
                      "expected precisions that this build offers for %s (f32), found \"%s\"",
                      mc->ops->name, name);
}

static void precisions_read(struct model_config *mc, struct fields *c, struct latent_info *info)
{
    json_t *list = fields_array(c, "precisions", 1, MAX_WORDS);
    if (!list) return;
    size_t n = json_array_size(list);
    const char **names = arena_take(&mc->arrays, n * sizeof *names);
    fields_names(c, "precisions", list, MAX_NAME_BYTES, names);
    for (size_t i = 0; !c->status && i < n; i++) precision_check(mc, c, names[i]);
    info->precisions = names;
    info->n_precisions = (uint32_t)n;
}

/* One dimension: neutral within min and max, null = none. */
static int dimension_read(struct latent_readout *r, json_t *object, size_t i,
                          struct latent_error *err)
{
    static const char *const rests[] = {"neutral", "hold", NULL};
    char where[64];
    snprintf(where, sizeof where, "latent.config.outputs.readout[%zu]", i);
    if (!json_is_object(object))
        return error_set(err, LATENT_E_CONFIG, "%s: expected an object", where);
    struct fields c;
    fields_init(&c, object, where, err);
    r->name = fields_text(&c, "name", MAX_NAME_BYTES);
    r->unit = fields_text(&c, "unit", MAX_NAME_BYTES);
    r->neutral = fields_float(&c, "neutral");
    r->min = fields_float_or(&c, "min", -INFINITY);
    r->max = fields_float_or(&c, "max", INFINITY);
    r->slew = fields_float_or(&c, "slew", INFINITY);
    r->hold = fields_has(&c, "safe") && fields_choice(&c, "safe", rests) == 1;
    if (!(r->min < r->max))
        fields_refuse(&c, LATENT_E_CONFIG, "min", "expected less than \"max\" (%g), found %g",
                      (double)r->max, (double)r->min);
    if (!(r->neutral >= r->min && r->neutral <= r->max))
        fields_refuse(&c, LATENT_E_CONFIG, "neutral", "expected from %g to %g, found %g",
                      (double)r->min, (double)r->max, (double)r->neutral);
    if (!(r->slew > 0.0f))
        fields_refuse(&c, LATENT_E_CONFIG, "slew", "expected more than 0 or null, found %g",
                      (double)r->slew);
    return fields_finish(&c);
}

static void readout_names_check(struct fields *c, const struct latent_readout *readout, size_t n)
{
    json_t *seen = json_object();
    for (size_t i = 0; i < n && !c->status; i++) {
        if (json_object_get(seen, readout[i].name))
            fields_refuse(c, LATENT_E_CONFIG, "readout",
                          "expected each name once, found \"%s\" twice", readout[i].name);
        else if (json_object_set_new(seen, readout[i].name, json_null()))
            fields_refuse(c, LATENT_E_NOMEM, "readout", "does not fit memory");
    }
    json_decref(seen);
}

/* The label of each. */
static void logits_read(struct model_config *mc, struct fields *c, struct latent_info *info)
{
    json_t *list = fields_array(c, "logits", 1, MAX_LABELS);
    size_t n = json_array_size(list);
    const char **labels = arena_take(&mc->arrays, n * sizeof *labels);
    if (list) fields_names(c, "logits", list, MAX_NAME_BYTES, labels);
    info->logit_labels = labels;
    info->n_logits = (uint32_t)n;
}

static int outputs_read(struct model_config *mc, json_t *object, struct latent_info *info,
                        struct latent_error *err)
{
    struct fields c;
    fields_init(&c, object, "latent.config.outputs", err);
    info->n_latents = (uint32_t)fields_int(&c, "latents", 0, MAX_OUTPUTS);
    info->n_rates = (uint32_t)fields_int(&c, "rates", 0, MAX_OUTPUTS);
    json_t *list = fields_array(&c, "readout", 0, MAX_OUTPUTS);
    size_t n = json_array_size(list);
    struct latent_readout *readout = arena_take(&mc->arrays, n * sizeof *readout);
    for (size_t i = 0; !c.status && i < n; i++)
        c.status = dimension_read(&readout[i], json_array_get(list, i), i, err);
    readout_names_check(&c, readout, n);
    if (info->n_latents + info->n_rates + n == 0 && !fields_has(&c, "logits"))
        fields_refuse(&c, LATENT_E_CONFIG, NULL,
                      "expected latents, rates, readout or logits, found none");
    info->readout = readout;
    info->n_readout = (uint32_t)n;
    if (fields_has(&c, "logits")) logits_read(mc, &c, info);
    return fields_finish(&c);
}

static float *channel_numbers(struct model_config *mc, struct fields *c, const char *key, size_t n,
                              double min)
{
    if (!fields_has(c, key)) return NULL;
    float *numbers = arena_floats(&mc->arrays, n);
    numbers_read(c, key, fields_array(c, key, n, n), min, numbers);
    return numbers;
}

/* What reaches the model: counts have no limit below. */
static void clip_read(struct model_config *mc, struct fields *c, struct latent_info *info)
{
    size_t n = info->n_channels;
    bool real = info->input == LATENT_INPUT_REAL;
    const float *high = channel_numbers(mc, c, "clip", n, real ? (double)-FLT_MAX : 0.0);
    const float *low = channel_numbers(mc, c, "clip_low", n, (double)-FLT_MAX);
    if (low && !real)
        fields_refuse(c, LATENT_E_CONFIG, "clip_low", "expected with \"input\": \"real\" alone");
    for (size_t i = 0; low && high && !c->status && i < n; i++)
        if (low[i] > high[i])
            fields_refuse(c, LATENT_E_CONFIG, "clip_low",
                          "expected item %zu to be at most that of \"clip\" (%g), found %g", i,
                          (double)high[i], (double)low[i]);
    info->channel_clip = high;
    info->channel_clip_low = low;
}

/* A number of bins that may be absent. */
static uint32_t run_read(struct fields *c, const char *key)
{
    return fields_has(c, key) ? (uint32_t)fields_int(c, key, 0, MAX_RUN) : LATENT_NOT_SAID;
}

/* Statistics of the training set; each of them may be absent. */
static int channels_read(struct model_config *mc, json_t *object, struct latent_info *info,
                         struct latent_error *err)
{
    size_t n = info->n_channels;
    struct fields c;
    fields_init(&c, object, "latent.config.channels", err);
    if (fields_has(&c, "names")) {
        const char **names = arena_take(&mc->arrays, n * sizeof *names);
        fields_names(&c, "names", fields_array(&c, "names", n, n), MAX_NAME_BYTES, names);
        info->channel_names = names;
    }
    info->channel_mean = channel_numbers(mc, &c, "mean", n,
                                         info->input == LATENT_INPUT_REAL ? (double)-FLT_MAX : 0.0);
    info->channel_variance = channel_numbers(mc, &c, "variance", n, 0.0);
    clip_read(mc, &c, info);
    info->longest_silence = run_read(&c, "longest_silence");
    info->longest_repeat = run_read(&c, "longest_repeat");
    return fields_finish(&c);
}

static int normalise_object_read(struct model_config *mc, json_t *object, struct latent_info *info,
                                 struct latent_error *err)
{
    struct fields c;
    fields_init(&c, object, "latent.config.normalise", err);
    normalise_read(&mc->normalise, &c, info->n_channels, info->bin_width_us, &mc->arrays);
    info->normalise = mc->normalise.kind;
    mc->zeros = arena_floats(&mc->arrays, info->n_channels);
    return fields_finish(&c);
}

static void sha256_check(struct fields *c, const char *key)
{
    const char *text = fields_string(c, key);
    size_t n = strspn(text, "0123456789abcdefABCDEF");
    if (n != 64 || text[n])
        fields_refuse(c, LATENT_E_CONFIG, key, "expected 64 hexadecimal digits, found \"%.70s\"",
                      text);
}

/* Memory for every array of info, from the counts the file claims. */
static int arrays_allocate(struct model_config *mc, size_t n_channels, struct latent_error *err)
{
    const json_t *outputs = json_object_get(mc->root, "outputs");
    size_t n_readout = json_array_size(json_object_get(outputs, "readout"));
    size_t n_logits = json_array_size(json_object_get(outputs, "logits"));
    size_t per_channel = sizeof(const char *) + N_CHANNEL_NUMBERS * sizeof(float);
    size_t size = MAX_WORDS * (sizeof(struct latent_mode) + sizeof(const char *)) +
                  n_readout * sizeof(struct latent_readout) + n_channels * per_channel +
                  n_logits * sizeof(const char *) + (5 + N_CHANNEL_NUMBERS) * ARENA_ALIGN +
                  normalise_array_bytes(n_channels);
    if (arena_new(&mc->arrays, size))
        return error_set(err, LATENT_E_NOMEM, "latent.config: no memory for %zu bytes", size);
    return 0;
}

/* Keys in the order in which a mistake is most usefully reported. */
static int root_read(struct model_config *mc, struct latent_info *info, struct latent_error *err)
{
    struct fields c;
    fields_init(&c, mc->root, "latent.config", err);
    fields_int(&c, "format", 1, 1);
    arch_read(mc, &c, info);
    info->n_channels = (uint32_t)fields_int(&c, "n_channels", 1, MAX_CHANNELS);
    info->bin_width_us =
        (uint32_t)fields_int(&c, "bin_width_us", BIN_WIDTH_MIN_US, BIN_WIDTH_MAX_US);
    if (!c.status) c.status = arrays_allocate(mc, info->n_channels, err);
    if (c.status) return c.status;
    info->longest_silence = info->longest_repeat = LATENT_NOT_SAID;
    input_read(&c, info);
    modes_read(mc, &c, info);
    precisions_read(mc, &c, info);
    mc->hyper = fields_object(&c, "hyper");
    json_t *outputs = fields_object(&c, "outputs");
    info->licence = fields_text(&c, "licence", MAX_PROSE_BYTES);
    info->source = fields_text(&c, "source", MAX_PROSE_BYTES);
    sha256_check(&c, "checkpoint_sha256");
    if (fields_has(&c, "checked")) info->checked = fields_text(&c, "checked", MAX_PROSE_BYTES);
    if (fields_has(&c, "stage")) mc->stage = fields_object(&c, "stage");
    json_t *channels = fields_has(&c, "channels") ? fields_object(&c, "channels") : NULL;
    json_t *normalise = fields_has(&c, "normalise") ? fields_object(&c, "normalise") : NULL;
    int status = fields_finish(&c);
    if (!status && normalise) status = normalise_object_read(mc, normalise, info, err);
    if (!status) status = outputs_read(mc, outputs, info, err);
    if (!status && channels) status = channels_read(mc, channels, info, err);
    return status;
}

int model_config_read(struct model_config *mc, const char *text, struct latent_info *info,
                      struct latent_error *err)
{
    *mc = (struct model_config){0};
    if (!text)
        return error_set(err, LATENT_E_CONFIG,
                         "latent.config: expected this key in the file's __metadata__, found none: "
                         "not a latentd model, export it with models/<arch>/export.py");
    json_error_t why;
    mc->root = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(mc->root))
        return error_set(err, LATENT_E_CONFIG,
                         "latent.config: expected a JSON object, found at byte %d: %s",
                         why.position, mc->root ? "a list" : why.text);
    return root_read(mc, info, err);
}

void model_config_free(struct model_config *mc)
{
    json_decref(mc->root);
    arena_free(&mc->arrays);
    *mc = (struct model_config){0};
}
