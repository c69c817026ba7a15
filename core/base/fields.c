/* Typed access to the JSON of a model file; every error names object, key, expected and found. */
#include "base/fields.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define FOUND_TEXT 64 /* bytes of a value shown in an error */
#define NEAR_KEY 48   /* longest key compared for nearness */

void fields_init(struct fields *c, json_t *object, const char *where, struct latent_error *err)
{
    *c = (struct fields){.object = object, .where = where, .err = err};
}

/* Differing characters between two short words: insert, delete, replace (Levenshtein). */
static size_t word_distance(const char *a, const char *b)
{
    size_t row[NEAR_KEY + 1], n_b = strlen(b);
    if (strlen(a) > NEAR_KEY || n_b > NEAR_KEY) return NEAR_KEY;
    for (size_t j = 0; j <= n_b; j++) row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n_b; j++) {
            size_t replaced = diagonal + (a[i] != b[j]);
            size_t skipped = 1 + (row[j] < row[j + 1] ? row[j] : row[j + 1]);
            diagonal = row[j + 1];
            row[j + 1] = replaced < skipped ? replaced : skipped;
        }
    }
    return row[n_b];
}

/* Near enough to be a slip of the pen: two letters, or a third of the word. */
static bool word_is_near(const char *a, const char *b, size_t *nearest)
{
    size_t distance = word_distance(a, b), allowed = strlen(a) / 3 > 2 ? strlen(a) / 3 : 2;
    if (distance > allowed || distance >= strlen(a) || distance >= *nearest) return false;
    *nearest = distance;
    return true;
}

static bool fields_was_read(const struct fields *c, const char *key)
{
    size_t n = strlen(key);
    for (const char *s = c->seen; *s; s = strchr(s, '\n') + 1)
        if (strncmp(s, key, n) == 0 && s[n] == '\n') return true;
    return false;
}

static void fields_mark_read(struct fields *c, const char *key)
{
    if (fields_was_read(c, key)) return;
    size_t used = strlen(c->seen), n = strlen(key);
    assert(used + n + 1 < sizeof c->seen);
    memcpy(c->seen + used, key, n);
    memcpy(c->seen + used + n, "\n", 2);
}

int fields_refuse(struct fields *c, int status, const char *key, const char *format, ...)
{
    if (c->status) return c->status;
    char text[LATENT_ERROR_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->status = key ? error_set(c->err, status, "%s: \"%s\" %s", c->where, key, text)
                    : error_set(c->err, status, "%s: %s", c->where, text);
    return c->status;
}

/* `"layers" expected an integer from 1 to 64, found "six"`. */
static void fields_refuse_value(struct fields *c, const char *key, const json_t *value,
                                const char *expected)
{
    char found[FOUND_TEXT + 1];
    size_t n = json_dumpb(value, found, FOUND_TEXT,
                          JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    found[n < FOUND_TEXT ? n : FOUND_TEXT] = '\0';
    fields_refuse(c, LATENT_E_CONFIG, key, "expected %s, found %s%s", expected, found,
                  n > FOUND_TEXT ? "..." : "");
}

/* A missing key is often a misspelt one: name the unread key that is nearest. */
static void fields_refuse_missing(struct fields *c, const char *key, const char *expected)
{
    const char *near = NULL, *other;
    size_t nearest = NEAR_KEY;
    json_t *value;
    json_object_foreach(c->object, other, value)
    {
        if (!fields_was_read(c, other) && word_is_near(key, other, &nearest)) near = other;
    }
    fields_refuse(c, LATENT_E_CONFIG, key, "is missing: expected %s%s%s%s", expected,
                  near ? ", found \"" : "", near ? near : "", near ? "\" (misspelt?)" : "");
}

json_t *fields_value(struct fields *c, const char *key)
{
    fields_mark_read(c, key);
    return json_object_get(c->object, key);
}

bool fields_has(const struct fields *c, const char *key)
{
    return json_object_get(c->object, key) != NULL;
}

/* The value of a required key; NULL, and refused, when absent. */
static json_t *fields_required(struct fields *c, const char *key, const char *expected)
{
    json_t *value = fields_value(c, key);
    if (!value) fields_refuse_missing(c, key, expected);
    return value;
}

long long fields_int(struct fields *c, const char *key, long long min, long long max)
{
    char expected[96];
    if (min == max)
        snprintf(expected, sizeof expected, "%lld", min);
    else
        snprintf(expected, sizeof expected, "an integer from %lld to %lld", min, max);
    json_t *value = fields_required(c, key, expected);
    if (!value) return min;
    long long found = json_integer_value(value);
    if (json_is_integer(value) && found >= min && found <= max) return found;
    fields_refuse_value(c, key, value, expected);
    return min;
}

bool fields_bool(struct fields *c, const char *key)
{
    json_t *value = fields_required(c, key, "true or false");
    if (value && !json_is_boolean(value)) fields_refuse_value(c, key, value, "true or false");
    return json_is_true(value);
}

double fields_number(struct fields *c, const char *key, double min, double max)
{
    char expected[96];
    snprintf(expected, sizeof expected, "a number from %g to %g", min, max);
    json_t *value = fields_required(c, key, expected);
    if (!value) return min;
    double found = json_number_value(value);
    if (json_is_number(value) && found >= min && found <= max) return found;
    fields_refuse_value(c, key, value, expected);
    return min;
}

const char *fields_string(struct fields *c, const char *key)
{
    json_t *value = fields_required(c, key, "a string");
    if (!value) return "";
    if (!json_is_string(value)) fields_refuse_value(c, key, value, "a string");
    return json_is_string(value) ? json_string_value(value) : "";
}

const char *fields_text(struct fields *c, const char *key, size_t max_bytes)
{
    char expected[96];
    snprintf(expected, sizeof expected, "a string of 1 to %zu bytes without control characters",
             max_bytes);
    json_t *value = fields_required(c, key, expected);
    if (!value) return "";
    size_t n = json_string_length(value);
    if (n >= 1 && n <= max_bytes && text_is_clean(json_string_value(value)))
        return json_string_value(value);
    fields_refuse_value(c, key, value, expected);
    return "";
}

json_t *fields_array(struct fields *c, const char *key, size_t min_items, size_t max_items)
{
    char expected[96];
    snprintf(expected, sizeof expected, "a list of %zu to %zu items", min_items, max_items);
    if (min_items == max_items)
        snprintf(expected, sizeof expected, "a list of %zu items", min_items);
    json_t *value = fields_required(c, key, expected);
    size_t n = json_array_size(value);
    if (json_is_array(value) && n >= min_items && n <= max_items) return value;
    if (json_is_array(value))
        fields_refuse(c, LATENT_E_CONFIG, key, "expected %s, found %zu", expected, n);
    else if (value)
        fields_refuse_value(c, key, value, expected);
    return NULL;
}

json_t *fields_object(struct fields *c, const char *key)
{
    json_t *value = fields_required(c, key, "an object");
    if (json_is_object(value)) return value;
    if (value) fields_refuse_value(c, key, value, "an object");
    return NULL;
}

int fields_choice(struct fields *c, const char *key, const char *const *words)
{
    char expected[256] = "one of";
    for (size_t i = 0; words[i]; i++) {
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s \"%s\"", i ? "," : "", words[i]);
    }
    json_t *value = fields_required(c, key, expected);
    for (int i = 0; json_is_string(value) && words[i]; i++)
        if (strcmp(json_string_value(value), words[i]) == 0) return i;
    if (value) fields_refuse_value(c, key, value, expected);
    return 0;
}

/* The key read that is nearest to an unknown one; NULL when none is near. */
static const char *fields_nearest(const struct fields *c, const char *unknown, char *near,
                                  size_t size)
{
    size_t nearest = NEAR_KEY;
    bool found = false;
    for (const char *s = c->seen; *s; s = strchr(s, '\n') + 1) {
        char key[NEAR_KEY + 1];
        size_t n = strcspn(s, "\n");
        if (n >= sizeof key) continue;
        memcpy(key, s, n);
        key[n] = '\0';
        if (!word_is_near(unknown, key, &nearest)) continue;
        snprintf(near, size, "%s", key);
        found = true;
    }
    return found ? near : NULL;
}

void fields_names(struct fields *c, const char *key, const json_t *list, size_t max_bytes,
                  const char **out)
{
    json_t *seen = json_object();
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        const char *name = json_string_value(item);
        size_t n = json_string_length(item);
        if (!name || n < 1 || n > max_bytes || !text_is_clean(name))
            fields_refuse(
                c, LATENT_E_CONFIG, key,
                "expected item %zu to be a string of 1 to %zu bytes without control characters", i,
                max_bytes);
        else if (json_object_get(seen, name))
            fields_refuse(c, LATENT_E_CONFIG, key, "expected each name once, found \"%s\" twice",
                          name);
        else if (json_object_set_new(seen, name, json_null()))
            fields_refuse(c, LATENT_E_NOMEM, key, "does not fit memory");
        if (c->status) break;
        out[i] = name;
    }
    json_decref(seen);
}

int fields_finish(struct fields *c)
{
    const char *key;
    json_t *value;
    json_object_foreach(c->object, key, value)
    {
        if (c->status || fields_was_read(c, key)) continue;
        char near[NEAR_KEY + 1];
        const char *known = fields_nearest(c, key, near, sizeof near);
        fields_refuse(c, LATENT_E_CONFIG, NULL, "unknown key \"%.80s\": %s%s%s", key,
                      known ? "nearest known key \"" : "expected no such key", known ? known : "",
                      known ? "\"" : "");
    }
    return c->status;
}
