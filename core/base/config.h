/* The model file's latent.config: typed access to its JSON with errors that name the key. Every
 * key must be read: config_finish refuses unknown ones. */
#ifndef LATENT_CONFIG_H
#define LATENT_CONFIG_H

#include <jansson.h>
#include <stdbool.h>

#include "latent.h"

struct config {
    json_t *object;
    const char *where;        /* "latent.config", "latent.config.hyper", ... for texts */
    struct latent_error *err; /* first error wins */
    int status;
    char seen[1024]; /* names read so far, each followed by '\n' */
};

void config_init(struct config *c, json_t *object, const char *where, struct latent_error *err);
/* Required keys; on error status is set and a harmless value returned. Bounds are inclusive. */
long long config_int(struct config *c, const char *key, long long min, long long max);
bool config_bool(struct config *c, const char *key);
double config_number(struct config *c, const char *key, double min, double max);
const char *config_string(struct config *c, const char *key);
/* A string of 1 to max_bytes bytes without control characters. */
const char *config_text(struct config *c, const char *key, size_t max_bytes);
/* An array of min_items to max_items items; an object. NULL on error. */
json_t *config_array(struct config *c, const char *key, size_t min_items, size_t max_items);
json_t *config_object(struct config *c, const char *key);
/* Index into a NULL-terminated list of allowed words. */
int config_choice(struct config *c, const char *key, const char *const *words);
/* Any JSON value; NULL when absent (optional keys). Marks the key as read. */
json_t *config_value(struct config *c, const char *key);
bool config_has(const struct config *c, const char *key);
/* Refuse for a reason the caller found ("expected ..., found ..."); key NULL: the
 * object as a whole. */
int config_refuse(struct config *c, int status, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int config_finish(struct config *c); /* refuses keys nobody read; returns status */

#endif
