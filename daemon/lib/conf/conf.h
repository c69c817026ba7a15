/* The configuration file, read: every value with the line it came from, every mistake with a
 * text. */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/table.h"

/* Lines of a section: 0 = the default holds. */
struct conf_lines {
    unsigned section;            /* of its heading */
    unsigned key[CONF_MAX_KEYS]; /* by place in conf_keys() */
};

#define CONF_MAX_PROBLEMS 100 /* told of one file */

struct conf_stream_section {
    char name[CONF_MAX_NAME + 1];
    struct conf_stream values;
    struct conf_lines lines;
};

struct conf_client_section {
    char name[CONF_MAX_NAME + 1];
    struct conf_client values;
    struct conf_lines lines;
};

struct conf {
    char *path, *folder; /* of the file; relative model paths start at folder */
    struct conf_daemon daemon;
    struct conf_lines daemon_lines;
    struct conf_stream_section *streams;
    size_t n_streams;
    struct conf_client_section *clients;
    size_t n_clients;
    char **problems;   /* "FILE:LINE: KEY: text", in the order they were found */
    size_t n_problems; /* up to CONF_MAX_PROBLEMS: there are as many or more */
};

/* Empty, with the defaults of [latentd]; path names it in problems, and its folder is where
 * relative paths start. conf_free is due. */
void conf_init(struct conf *c, const char *path);
void conf_free(struct conf *c);

/* Add a problem. key may be NULL, line 0 means the whole file. */
void conf_problem(struct conf *c, unsigned line, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A line of this section names the key. */
bool conf_is_given(const struct conf_lines *lines, enum conf_section section, const char *key);
/* Line of a key that was given, else of the section's heading; 0: neither was. */
unsigned conf_line(const struct conf_lines *lines, enum conf_section section, const char *key);
/* Add a problem of a stream, at the line of this key or else of the section's heading. */
void conf_stream_problem(struct conf *c, const struct conf_stream_section *s, const char *key,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Fill in what "auto" means for this bin width, and values every so many bins. */
void conf_resolve(struct conf_stream *s, uint32_t bin_width_us, uint32_t every_bins);
/* A time in whole bins: floor, at least 1. */
uint64_t conf_bins(uint64_t time_ns, uint32_t bin_width_us);
/* A path of the configuration as it is meant, from the root or from the working folder; to be
 * freed. */
char *conf_path_of(const struct conf *c, const char *path);
/* Where the operator's SAFE is kept; to be freed. */
char *conf_safe_file(const struct conf *c);

#endif
