/* The model file's latent.config: typed access to its JSON with errors that name the key. Every
 * key must be read: fields_finish refuses unknown ones. */
#ifndef LATENT_FIELDS_H
#define LATENT_FIELDS_H

#include <jansson.h>
#include <stdbool.h>

#include "latent.h"

struct fields {
    json_t *object;
    const char *where;        /* "latent.config", "latent.config.hyper", ... for texts */
    struct latent_error *err; /* first error wins */
    int status;
    char seen[1024]; /* names read so far, each followed by '\n' */
};

void fields_init(struct fields *c, json_t *object, const char *where, struct latent_error *err);
/* Required keys; on error status is set and a harmless value returned. Bounds are inclusive. */
long long fields_int(struct fields *c, const char *key, long long min, long long max);
bool fields_bool(struct fields *c, const char *key);
double fields_number(struct fields *c, const char *key, double min, double max);
const char *fields_string(struct fields *c, const char *key);
/* A string of 1 to max_bytes bytes without control characters. */
const char *fields_text(struct fields *c, const char *key, size_t max_bytes);
/* An array of min_items to max_items items; an object. NULL on error. */
json_t *fields_array(struct fields *c, const char *key, size_t min_items, size_t max_items);
json_t *fields_object(struct fields *c, const char *key);
/* Each item of a list a string of 1 to max_bytes bytes without control characters, once: out [items
 * of list], borrowed from it. */
void fields_names(struct fields *c, const char *key, const json_t *list, size_t max_bytes,
                  const char **out);
/* Index into a NULL-terminated list of allowed words. */
int fields_choice(struct fields *c, const char *key, const char *const *words);
/* Any JSON value; NULL when absent (optional keys). Marks the key as read. */
json_t *fields_value(struct fields *c, const char *key);
bool fields_has(const struct fields *c, const char *key);
/* Refuse for a reason the caller found ("expected ..., found ..."); key NULL: the
 * object as a whole. */
int fields_refuse(struct fields *c, int status, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int fields_finish(struct fields *c); /* refuses keys nobody read; returns status */

#endif
