/* Values from text and back. A text that is not a value is explained: what was found, what is
 * allowed. */
#include "conf/types.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/words.h"

#define MAX_IPC_PATH 107 /* sun_path of a Unix socket */
#define MAX_MILLISECONDS 3600000.0

/* ---- texts ---- */

static bool is_unset(const struct conf_key *key, const char *value)
{
    return key->unset && strcmp(key->unset, value) == 0;
}

static bool replace_text(void *at, const char *value)
{
    char **text = at;
    char *copy = value ? memory_need(strdup(value)) : NULL;

    free(*text);
    *text = copy;
    return true;
}

static bool set_text(const struct conf_key *key, void *at, const char *value, char *text,
                     size_t n_text)
{
    if (*value == '\0') {
        snprintf(text, n_text, "is empty; write %s", key->type->form);
        return false;
    }
    return replace_text(at, is_unset(key, value) ? NULL : value);
}

static void print_text(const struct conf_key *key, const void *at, char *text, size_t n_text)
{
    const char *const *value = at;
    const char *unset = key->unset ? key->unset : "";

    snprintf(text, n_text, "%s", *value ? *value : unset);
}

const struct conf_type conf_text = {set_text, print_text, "NAME", true, sizeof(char *)};

/* An answer to another question: a file of this name would be made, or missed. */
static bool is_answer(const char *value)
{
    static const char *const words[] = {"yes", "no", "true", "false", "on",
                                        "off", "0",  "1",    "none",  "auto"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(value, words[i]) == 0) return true;
    return false;
}

static bool set_path(const struct conf_key *key, void *at, const char *value, char *text,
                     size_t n_text)
{
    size_t n = strlen(value);
    bool is_quoted = n > 1 && strchr("\"'", value[0]) && value[n - 1] == value[0];

    if (is_unset(key, value) || (!is_quoted && !is_answer(value)))
        return set_text(key, at, value, text, n_text);
    if (is_quoted)
        snprintf(text, n_text, "%s: write the path without quotes", value);
    else
        snprintf(text, n_text,
                 "'%s' is no path; allowed: %s%sthe path of a file (./%s if it is "
                 "called so)",
                 value, key->unset ? key->unset : "", key->unset ? ", or " : "", value);
    return false;
}

const struct conf_type conf_path = {set_path, print_text, "PATH", true, sizeof(char *)};

static bool set_loop(const struct conf_key *key, void *at, const char *value, char *text,
                     size_t n_text)
{
    size_t n = strlen(value);

    (void)key;
    if (n > 0 && n <= CONF_MAX_LOOP && strspn(value, CONF_NAME_LETTERS) == n)
        return replace_text(at, value);
    snprintf(text, n_text, "'%s' is no name of a loop; up to %d letters, digits, - and _", value,
             CONF_MAX_LOOP);
    return false;
}

const struct conf_type conf_loop = {set_loop, print_text, "NAME", true, sizeof(char *)};

/* ---- endpoints ---- */

/* Start of the port in tcp://HOST:PORT, or NULL. */
static const char *tcp_port(const char *endpoint)
{
    const char *host = endpoint + strlen("tcp://"), *colon;

    if (strncmp(endpoint, "tcp://", strlen("tcp://")) != 0) return NULL;
    colon = strrchr(host, ':');
    return colon && colon > host ? colon + 1 : NULL;
}

static bool is_port(const char *port)
{
    size_t n = strlen(port);

    if (strcmp(port, "*") == 0) return true;
    return n > 0 && n <= 5 && strspn(port, "0123456789") == n && strtoul(port, NULL, 10) <= 65535;
}

static bool is_ipc(const char *endpoint)
{
    const char *path = endpoint + strlen("ipc://");

    if (strncmp(endpoint, "ipc://", strlen("ipc://")) != 0) return false;
    return *path != '\0' && strlen(path) <= MAX_IPC_PATH;
}

/* By its text alone: looking a name up would trust whoever answers. */
bool endpoint_is_local(const char *endpoint)
{
    const char *host = endpoint + strlen("tcp://");

    if (is_ipc(endpoint)) return true;
    if (strncmp(host, "localhost:", strlen("localhost:")) == 0) return true;
    return strncmp(host, "127.", 4) == 0 && host[strspn(host, "0123456789.")] == ':';
}

bool endpoint_is_wildcard(const char *endpoint)
{
    const char *port = tcp_port(endpoint);
    return port && (strcmp(port, "*") == 0 || strcmp(port, "0") == 0);
}

/* Length of HOST in HOST:PORT of a tcp endpoint; 0 for every address. */
static size_t host_length(const char *endpoint)
{
    const char *host = endpoint + strlen("tcp://");
    size_t n = (size_t)(tcp_port(endpoint) - 1 - host);
    bool is_any =
        (n == 1 && *host == '*') || (n == strlen("0.0.0.0") && memcmp(host, "0.0.0.0", n) == 0);

    return is_any ? 0 : n;
}

bool endpoints_clash(const char *a, const char *b)
{
    const char *port_a = tcp_port(a), *port_b = tcp_port(b);
    size_t n_a, n_b;

    if (!port_a || !port_b) return strcmp(a, b) == 0;
    if (endpoint_is_wildcard(a) || endpoint_is_wildcard(b)) return false;
    if (strtoul(port_a, NULL, 10) != strtoul(port_b, NULL, 10)) return false;
    n_a = host_length(a);
    n_b = host_length(b);
    if (n_a == 0 || n_b == 0) return true;
    return n_a == n_b && memcmp(a, b, strlen("tcp://") + n_a) == 0;
}

static bool set_endpoint(const struct conf_key *key, void *at, const char *value, char *text,
                         size_t n_text)
{
    const char *port = tcp_port(value);

    (void)key;
    if ((port && is_port(port)) || is_ipc(value)) return replace_text(at, value);
    snprintf(text, n_text,
             "'%s' is no endpoint; allowed: tcp://HOST:PORT (PORT 0 to 65535 or *), "
             "ipc://PATH (at most %d bytes)",
             value, MAX_IPC_PATH);
    return false;
}

const struct conf_type conf_endpoint = {set_endpoint, print_text, "ENDPOINT", true, sizeof(char *)};

/* ---- words ---- */

static void list_words(const char *const *words, char *text, size_t n_text)
{
    size_t used = 0;

    text[0] = '\0';
    for (const char *const *word = words; *word && used < n_text; word++)
        used +=
            (size_t)snprintf(text + used, n_text - used, "%s%s", word == words ? "" : ", ", *word);
}

/* unset: the word for "not given" where it is allowed, or NULL. */
static void explain_word(const struct conf_key *key, const char *unset, const char *word,
                         char *text, size_t n_text)
{
    const char *nearest = word_nearest(word, key->words);
    char allowed[CONF_MAX_VALUE];

    list_words(key->words, allowed, sizeof allowed);
    snprintf(text, n_text, "'%s' is not known; allowed: %s%s%s%s%s", word, unset ? unset : "",
             unset ? ", " : "", allowed, nearest ? "; nearest: " : "", nearest ? nearest : "");
}

static bool find_word(const struct conf_key *key, const char *value, uint32_t *index)
{
    for (*index = 0; key->words[*index]; ++*index)
        if (strcmp(key->words[*index], value) == 0) return true;
    return false;
}

static bool set_choice(const struct conf_key *key, void *at, const char *value, char *text,
                       size_t n_text)
{
    uint32_t index;
    bool is_given = !is_unset(key, value), is_known = !is_given || find_word(key, value, &index);

    if (is_known)
        *(uint32_t *)at = is_given ? index : key->unset_count;
    else
        explain_word(key, key->unset, value, text, n_text);
    return is_known;
}

static void print_choice(const struct conf_key *key, const void *at, char *text, size_t n_text)
{
    uint32_t index = *(const uint32_t *)at;
    bool is_given = !key->unset || index != key->unset_count;

    snprintf(text, n_text, "%s", is_given ? key->words[index] : key->unset);
}

const struct conf_type conf_choice = {set_choice, print_choice, NULL, false, sizeof(uint32_t)};

static bool set_words(const struct conf_key *key, void *at, const char *value, char *text,
                      size_t n_text)
{
    char words[CONF_MAX_VALUE], *rest = words;
    uint32_t set = 0, index;

    *(uint32_t *)at = 0;
    if (is_unset(key, value)) return true;
    snprintf(words, sizeof words, "%s", value);
    for (char *word = strsep(&rest, " ,\t"); word; word = strsep(&rest, " ,\t")) {
        if (*word == '\0') continue;
        if (!find_word(key, word, &index)) {
            explain_word(key, NULL, word, text, n_text);
            return false;
        }
        set |= 1u << index;
    }
    if (set == 0) list_words(key->words, words, sizeof words);
    if (set == 0)
        snprintf(text, n_text, "is empty; allowed: %s%sseveral of %s", key->unset ? key->unset : "",
                 key->unset ? ", or " : "", words);
    *(uint32_t *)at = set;
    return set != 0;
}

static void print_words(const struct conf_key *key, const void *at, char *text, size_t n_text)
{
    uint32_t set = *(const uint32_t *)at;
    size_t used = 0;

    snprintf(text, n_text, "%s", key->unset ? key->unset : "");
    for (uint32_t i = 0; key->words[i] && used < n_text; i++) {
        if (!(set & 1u << i)) continue;
        used +=
            (size_t)snprintf(text + used, n_text - used, "%s%s", used ? " " : "", key->words[i]);
    }
}

const struct conf_type conf_set = {set_words, print_words, NULL, false, sizeof(uint32_t)};

/* ---- numbers ---- */

static bool set_milliseconds(const struct conf_key *key, void *at, const char *value, char *text,
                             size_t n_text)
{
    char *end;
    double ms = strtod(value, &end);
    bool is_plain = value[strspn(value, "0123456789.")] == '\0'; /* no 0x10, no 1e3 */

    *(uint64_t *)at = 0;
    if (is_unset(key, value)) return true;
    if (is_plain && end != value && *end == '\0' && ms >= 0.001 && ms <= MAX_MILLISECONDS) {
        *(uint64_t *)at = (uint64_t)llround(ms * 1e6);
        return true;
    }
    snprintf(text, n_text, "'%s' is no time; allowed: %s%smilliseconds from 0.001 to %.0f", value,
             key->unset ? key->unset : "", key->unset ? ", or " : "", MAX_MILLISECONDS);
    return false;
}

static void print_milliseconds(const struct conf_key *key, const void *at, char *text,
                               size_t n_text)
{
    uint64_t ns = *(const uint64_t *)at;

    if (ns == 0 && key->unset)
        snprintf(text, n_text, "%s", key->unset);
    else
        snprintf(text, n_text, "%.12g", (double)ns / 1e6);
}

const struct conf_type conf_milliseconds = {set_milliseconds, print_milliseconds, "MILLISECONDS",
                                            false, sizeof(uint64_t)};

static bool set_count(const struct conf_key *key, void *at, const char *value, char *text,
                      size_t n_text)
{
    size_t n = strlen(value);
    unsigned long count = strtoul(value, NULL, 10);

    if (is_unset(key, value)) {
        *(uint32_t *)at = key->unset_count;
        return true;
    }
    if (n > 0 && n <= 9 && strspn(value, "0123456789") == n && count >= key->min &&
        count <= key->max) {
        *(uint32_t *)at = (uint32_t)count;
        return true;
    }
    snprintf(text, n_text, "'%s' is no such number; allowed: %s%s%u to %u", value,
             key->unset ? key->unset : "", key->unset ? ", or " : "", key->min, key->max);
    return false;
}

static void print_count(const struct conf_key *key, const void *at, char *text, size_t n_text)
{
    uint32_t count = *(const uint32_t *)at;

    if (key->unset && count == key->unset_count)
        snprintf(text, n_text, "%s", key->unset);
    else
        snprintf(text, n_text, "%u", count);
}

const struct conf_type conf_count = {set_count, print_count, "NUMBER", false, sizeof(uint32_t)};
