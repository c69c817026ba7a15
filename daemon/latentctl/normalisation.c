/* A JSON object; its numbers are exact. */
#include "latentctl/normalisation.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

#define WHAT "normalisation of a latentd stream" /* the file says of itself */
#define FORMAT 1
#define MAX_CHANNELS 65536

/* ---- writing ---- */

static json_t *numbers_json(const double *numbers, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_real(numbers[i]));
    return list;
}

static json_t *object_of(const char *stream, const Latent__V1__Normalisation *m)
{
    char id[24], now[32];
    time_t t = time(NULL);
    struct tm utc;

    snprintf(id, sizeof id, "%016" PRIx64, m->decoder_id);
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &utc));
    return json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o}", "what", WHAT, "format",
                     FORMAT, "saved", now, "stream", stream, "decoder_id", id, "kind", m->kind,
                     "bin_width_us", (json_int_t)m->bin_width_us, "version", (json_int_t)m->version,
                     "mean", numbers_json(m->mean, m->n_mean), "sd", numbers_json(m->sd, m->n_sd));
}

int normalisation_write(const char *path, const char *stream, const Latent__V1__Normalisation *m,
                        struct latent_error *err)
{
    json_t *object = object_of(stream, m);
    FILE *out = object ? fopen(path, "wx") : NULL;
    int status = 0;

    if (!object) return error_text(err, LATENT_E_VALUE, "%s: what latentd told is no text", path);
    if (!out)
        status = error_text(err, LATENT_E_IO, "%s: cannot write: %s%s", path, strerror(errno),
                            errno == EEXIST ? "; give another name" : "");
    if (out) {
        bool is_written = json_dumpf(object, out, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) == 0 &&
                          fputc('\n', out) != EOF && fflush(out) == 0 && fsync(fileno(out)) == 0;

        is_written = fclose(out) == 0 && is_written;
        if (!is_written) {
            status = error_text(err, LATENT_E_IO, "%s: cannot write: %s", path, strerror(errno));
            unlink(path);
        }
    }
    json_decref(object);
    return status;
}

/* ---- reading ---- */

/* [*n], the caller's to free; NULL: not a list of numbers. */
static double *numbers_of(const json_t *list, size_t *n)
{
    double *numbers;

    *n = json_array_size(list);
    if (!json_is_array(list) || !*n || *n > MAX_CHANNELS) return NULL;
    numbers = calloc(*n, sizeof *numbers);
    for (size_t i = 0; numbers && i < *n; i++) {
        const json_t *item = json_array_get(list, i);

        numbers[i] = json_number_value(item);
        if (json_is_number(item)) continue;
        free(numbers);
        return NULL;
    }
    return numbers;
}

static int object_read(const char *path, const json_t *object, Latent__V1__Normalisation *m,
                       struct latent_error *err)
{
    const char *what = json_string_value(json_object_get(object, "what"));
    json_int_t format = json_integer_value(json_object_get(object, "format"));
    json_int_t width = json_integer_value(json_object_get(object, "bin_width_us"));

    if (!what || strcmp(what, WHAT) != 0)
        return error_text(err, LATENT_E_VALUE,
                          "%s: not a file that latentctl normalise STREAM save wrote", path);
    if (format != FORMAT)
        return error_text(err, LATENT_E_VALUE, "%s: its format is %lld, this latentctl reads %d",
                          path, (long long)format, FORMAT);
    m->mean = numbers_of(json_object_get(object, "mean"), &m->n_mean);
    m->sd = numbers_of(json_object_get(object, "sd"), &m->n_sd);
    m->bin_width_us = width > 0 ? (uint64_t)width : 0;
    if (m->mean && m->sd) return 0;
    free(m->mean);
    free(m->sd);
    *m = (Latent__V1__Normalisation)LATENT__V1__NORMALISATION__INIT;
    return error_text(err, LATENT_E_VALUE, "%s: \"mean\" and \"sd\" must be lists of numbers",
                      path);
}

int normalisation_read(const char *path, Latent__V1__Normalisation *m, struct latent_error *err)
{
    json_error_t mistake;
    json_t *object = json_load_file(path, JSON_REJECT_DUPLICATES, &mistake);
    int status;

    latent__v1__normalisation__init(m);
    if (!object) return error_text(err, LATENT_E_IO, "%s: %s", path, mistake.text);
    status = object_read(path, object, m, err);
    json_decref(object);
    return status;
}
