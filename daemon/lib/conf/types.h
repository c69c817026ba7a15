/* The kinds of values a key can have. */
#ifndef CONF_TYPES_H
#define CONF_TYPES_H

#include "conf/table.h"

extern const struct conf_type conf_text;         /* char * */
extern const struct conf_type conf_path;         /* char * */
extern const struct conf_type conf_endpoint;     /* char *: tcp://HOST:PORT or ipc://PATH */
extern const struct conf_type conf_loop;         /* char *: letters, digits, - and _ */
extern const struct conf_type conf_choice;       /* uint32_t: index into words */
extern const struct conf_type conf_set;          /* uint32_t: bit per word */
extern const struct conf_type conf_milliseconds; /* uint64_t: nanoseconds */
extern const struct conf_type conf_count;        /* uint32_t: min .. max */

#define CONF_NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

/* Host part of a tcp endpoint that only this machine can reach; true for ipc. */
bool endpoint_is_local(const char *endpoint);
/* Does the endpoint leave the port to the system (port 0 or *)? */
bool endpoint_is_wildcard(const char *endpoint);

/* Can the two not be bound both? Names of hosts are compared, not looked up. */
bool endpoints_clash(const char *a, const char *b);

#endif
