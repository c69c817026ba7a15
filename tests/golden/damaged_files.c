/* Model files damaged on purpose, opened and stepped: for test_damaged_stacks.py.
 *
 *   damaged_files AT FIRST N FILE...
 *
 * Damage i (FIRST <= i < FIRST + N) takes file i % (number of FILEs) and changes one to four things
 * in it: values, keys and items of its header's JSON and of its configuration, numbers of its
 * tensors, bytes of the whole. What opens is stepped, moved by a snapshot and stepped again; its
 * values must be finite. AT holds the number of the damage at work, for who looks at a crash.
 * Prints how many opened and the most memory that was taken. */
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "decode/model_file.h"
#include "latent-sim/rng.h"
#include "tensor_file.h"

#define MAX_PLACES 4096
#define N_BINS 12
#define LONG_TEXT "a name that is longer than sixty-four bytes, where nothing longer is taken"

/* ---- JSON ---- */

/* Where a value stands: in an object or array. */
struct place {
    json_t *in;
    const char *key; /* of an object */
    size_t index;    /* of an array */
};

struct places {
    struct place at[MAX_PLACES];
    size_t n;
};

static json_t *place_value(const struct place *p)
{
    return p->key ? json_object_get(p->in, p->key) : json_array_get(p->in, p->index);
}

static void place_put(const struct place *p, json_t *value)
{
    if (p->key)
        json_object_set_new(p->in, p->key, value);
    else
        json_array_set_new(p->in, p->index, value);
}

static void place_drop(const struct place *p)
{
    if (p->key)
        json_object_del(p->in, p->key);
    else
        json_array_remove(p->in, p->index);
}

static void places_add(struct places *all, struct place place)
{
    if (all->n < MAX_PLACES) all->at[all->n++] = place;
}

static void places_find(struct places *all, json_t *root)
{
    const char *key;
    json_t *item;
    size_t i;

    json_object_foreach(root, key, item)
    {
        places_add(all, (struct place){.in = root, .key = key});
        places_find(all, item);
    }
    json_array_foreach(root, i, item)
    {
        places_add(all, (struct place){.in = root, .index = i});
        places_find(all, item);
    }
}

/* A value that somebody may have written there. */
static json_t *value_draw(struct rng *rng, const json_t *was)
{
    static const json_int_t integers[] = {
        0,         1,        -1,    2,      3,       64,      4095,      4096,
        65535,     65536,    65537, 100001, 1 << 20, 1 << 21, INT32_MAX, (json_int_t)1 << 32,
        INT64_MAX, INT64_MIN};
    static const double reals[] = {0.5, -0.5, 1e-300, 1e300, 0.999999, 1.0, -0.0, 1e18};
    static const char *const texts[] = {"",      "input", "n0",   "gru",    "window",
                                        "dense", "F64",   "\x7f", LONG_TEXT};
    uint32_t n_integers = sizeof integers / sizeof *integers;

    if (json_is_integer(was) && rng_below(rng, 2))
        return json_integer(json_integer_value(was) + (json_int_t)rng_below(rng, 5) - 2);
    switch (rng_below(rng, 7)) {
    case 0:
        return json_real(reals[rng_below(rng, sizeof reals / sizeof *reals)]);
    case 1:
        return json_string(texts[rng_below(rng, sizeof texts / sizeof *texts)]);
    case 2:
        return rng_below(rng, 2) ? json_true() : json_null();
    case 3:
        return rng_below(rng, 2) ? json_array() : json_object();
    default:
        return json_integer(integers[rng_below(rng, n_integers)]);
    }
}

/* One of its values replaced, dropped, repeated, or exchanged with another. */
static void json_damage(struct rng *rng, json_t *root)
{
    static struct places all;
    struct place *one, *other;

    all.n = 0;
    places_find(&all, root);
    if (all.n == 0) return;
    one = &all.at[rng_below(rng, (uint32_t)all.n)];
    other = &all.at[rng_below(rng, (uint32_t)all.n)];
    switch (rng_below(rng, 6)) {
    case 0:
        place_drop(one);
        break;
    case 1:
        place_put(one, json_deep_copy(place_value(other)));
        break;
    case 2:
        if (json_is_array(one->in))
            json_array_append_new(one->in, json_deep_copy(place_value(one)));
        else
            json_object_set_new(one->in, "more", json_deep_copy(place_value(one)));
        break;
    default:
        place_put(one, value_draw(rng, place_value(one)));
        break;
    }
}

/* ---- a file ---- */

struct content {
    json_t *header, *config;
    unsigned char *data;
    size_t n_data;
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "damaged_files: %s: %s\n", what, why);
    exit(1);
}

static void *need(void *memory)
{
    if (!memory) fail("memory", "none left");
    return memory;
}

static struct content content_read(struct file_bytes file)
{
    size_t n_header = tensor_file_header_length(file);
    struct content c = {.n_data = file.n - 8 - n_header};
    json_t *about;

    c.header = need(json_loadb((const char *)file.bytes + 8, n_header, 0, NULL));
    about = json_object_get(c.header, "__metadata__");
    c.config =
        need(json_loads(json_string_value(json_object_get(about, "latent.config")), 0, NULL));
    c.data = need(malloc(c.n_data + 1));
    memcpy(c.data, file.bytes + 8 + n_header, c.n_data);
    return c;
}

/* The configuration as the header's text, then the header before the data. */
static struct file_bytes content_write(struct content *c)
{
    json_t *about = json_object_get(c->header, "__metadata__");
    char *config = json_dumps(c->config, JSON_COMPACT | JSON_ENCODE_ANY), *header;
    struct file_bytes file;

    if (config && json_is_object(about) && json_object_get(about, "latent.config"))
        json_object_set_new(about, "latent.config", json_string(config));
    header = need(json_dumps(c->header, JSON_COMPACT));
    file = tensor_file_raw(header, c->data, c->n_data);
    free(config);
    free(header);
    return file;
}

static void content_free(struct content *c)
{
    json_decref(c->header);
    json_decref(c->config);
    free(c->data);
}

static void data_damage(struct rng *rng, struct content *c)
{
    static const float values[] = {NAN, INFINITY, -INFINITY, 0.0f, 1e38f, -1e38f, 1e-42f, 1.0f};
    float value = values[rng_below(rng, sizeof values / sizeof *values)];

    if (c->n_data < sizeof value) return;
    memcpy(c->data + rng_below(rng, (uint32_t)(c->n_data - sizeof value + 1)) / 4 * 4, &value,
           sizeof value);
}

static void bytes_damage(struct rng *rng, struct file_bytes *file)
{
    uint32_t at = rng_below(rng, (uint32_t)file->n);

    if (rng_below(rng, 4) == 0)
        file->n = at;
    else
        file->bytes[at] ^= (unsigned char)(1u << rng_below(rng, 8));
}

static struct file_bytes file_damage(struct rng *rng, struct file_bytes file)
{
    struct content c = content_read(file);
    uint32_t n = 1 + rng_below(rng, 4);
    bool cuts = rng_below(rng, 16) == 0;
    struct file_bytes damaged;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t what = rng_below(rng, 10);

        if (what < 7)
            json_damage(rng, c.config);
        else if (what < 9)
            json_damage(rng, c.header);
        else
            data_damage(rng, &c);
    }
    damaged = content_write(&c);
    if (cuts) bytes_damage(rng, &damaged);
    content_free(&c);
    return damaged;
}

/* ---- what opens ---- */

static void values_check(const char *what, const float *values, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!isfinite(values[i])) fail(what, "published, and not finite");
}

/* false: its state became infinite, which is said. */
static bool bin_step(struct rng *rng, latent_decoder *d, float *counts, uint32_t n_channels)
{
    struct latent_bin bin = {.n_channels = n_channels, .counts = counts};
    struct latent_frame f;
    int status;

    for (uint32_t i = 0; i < n_channels; i++) counts[i] = (float)rng_below(rng, 5);
    status = latent_decoder_step(d, &bin, &f);
    if (status == LATENT_E_OUTPUT) return false;
    if (status) fail("step", latent_strerror(status));
    values_check("latents", f.latents, f.n_latents);
    values_check("rates", f.rates, f.n_rates);
    values_check("readout", f.readout, f.n_readout);
    values_check("logits", f.logits, f.n_logits);
    return true;
}

static void decoder_run(struct rng *rng, latent_decoder *d, latent_decoder *next,
                        uint32_t n_channels)
{
    float *counts = need(malloc(n_channels * sizeof *counts));
    size_t n = latent_decoder_size(d);
    void *snapshot = need(malloc(n));
    bool goes_on = true;

    for (int t = 0; t < N_BINS && goes_on; t++) goes_on = bin_step(rng, d, counts, n_channels);
    if (goes_on) {
        if (latent_decoder_save(d, snapshot, n) || latent_decoder_load(next, snapshot, n))
            fail("snapshot", "refused");
        for (int t = 0; t < N_BINS && goes_on; t++)
            goes_on = bin_step(rng, next, counts, n_channels);
    }
    free(snapshot);
    free(counts);
}

static latent_decoder *decoder_make(const latent_model *m, const struct latent_info *info)
{
    struct latent_options options = {.session = info->n_sessions ? info->sessions[0] : NULL};
    struct latent_error err = {0};
    latent_decoder *d = NULL;

    if (latent_decoder_new(&d, m, &options, &err)) fail("decoder", err.text);
    return d;
}

/* Does it open? */
static bool file_try(struct rng *rng, struct file_bytes file)
{
    struct latent_error err = {0};
    struct latent_info info;
    latent_model *m;
    latent_decoder *d, *next;

    if (model_open_bytes(&m, file.bytes, file.n, &err)) {
        if (!err.status || strlen(err.text) < 20) fail("refused", "without a reason");
        return false;
    }
    latent_model_info(m, &info);
    if (info.modes[0].offline) {
        latent_model_close(m);
        return true;
    }
    d = decoder_make(m, &info);
    next = decoder_make(m, &info);
    decoder_run(rng, d, next, info.n_channels);
    latent_decoder_free(next);
    latent_decoder_free(d);
    latent_model_close(m);
    return true;
}

static struct file_bytes file_read(const char *path)
{
    FILE *in = fopen(path, "rb");
    struct file_bytes file = {0};

    if (!in || fseek(in, 0, SEEK_END)) fail(path, "cannot be read");
    file.n = (size_t)ftell(in);
    file.bytes = need(malloc(file.n));
    rewind(in);
    if (fread(file.bytes, 1, file.n, in) != file.n) fail(path, "cannot be read");
    fclose(in);
    return file;
}

/* The most memory of this program, in KiB: not what the one that started it had before. */
static long memory_most(void)
{
    FILE *in = fopen("/proc/self/status", "r");
    char line[256];
    long most = 0;

    while (in && fgets(line, sizeof line, in))
        if (strncmp(line, "VmHWM:", 6) == 0) most = strtol(line + 6, NULL, 10);
    if (in) fclose(in);
    if (most == 0) fail("/proc/self/status", "has no VmHWM");
    return most;
}

static void say_at(int fd, uint64_t i)
{
    if (pwrite(fd, &i, sizeof i, 0) != sizeof i) fail("AT", "cannot be written");
}

int main(int argc, char **argv)
{
    struct file_bytes files[64];
    size_t n_files = 0, n_opened = 0;

    if (argc < 5 || argc > 68) fail("usage", "damaged_files AT FIRST N FILE...");
    int at = open(argv[1], O_RDWR | O_CREAT, 0600);
    uint64_t first = strtoull(argv[2], NULL, 10), n = strtoull(argv[3], NULL, 10);
    for (int i = 4; i < argc; i++) files[n_files++] = file_read(argv[i]);
    for (uint64_t i = first; i < first + n; i++) {
        struct rng rng;
        struct file_bytes damaged;

        say_at(at, i);
        rng_init(&rng, i, 0);
        damaged = file_damage(&rng, files[i % n_files]);
        n_opened += file_try(&rng, damaged);
        free(damaged.bytes);
    }
    printf("%zu %ld\n", n_opened, memory_most());
    for (size_t i = 0; i < n_files; i++) free(files[i].bytes);
    close(at);
    return 0;
}
