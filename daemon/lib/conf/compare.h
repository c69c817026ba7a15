/* Two configurations, value by value. */
#ifndef CONF_COMPARE_H
#define CONF_COMPARE_H

#include "conf/conf.h"

struct conf_difference {
    enum conf_section section;
    const char *name; /* of the stream or client; "" of [latentd] */
    const char *key;  /* NULL: the whole section is new, or gone */
    bool is_gone;
    unsigned line; /* in the newer file; 0: the key is not in it */
    char before[CONF_MAX_VALUE], after[CONF_MAX_VALUE]; /* values, as --print-config has them */
};

/* May the key of a stream change while latentd runs? No other may. */
bool conf_is_live(const char *key);
/* Values of a stream for those of another, key by key: of those that may change. No memory is
 * needed. */
void conf_swap_live(struct conf_stream *a, struct conf_stream *b);
/* on_difference is called for each, in the order of the sections; what it is given ends with the
 * call. Sections are compared by their names, whatever their order. */
void conf_compare(const struct conf *before, const struct conf *after,
                  void (*on_difference)(void *ctx, const struct conf_difference *d), void *ctx);

#endif
