/* The keys of the configuration, one row each: the table that parsing, checking, printing and the
 * manual page all read. */
#ifndef CONF_TABLE_H
#define CONF_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "line/policy.h"
#include "wire.h"

#define CONF_MAX_KEYS 48              /* of one section */
#define CONF_MAX_NAME WIRE_MAX_STREAM /* letters of a name, of a stream or a client */
#define CONF_MAX_LOOP 10              /* letters of a loop's name: data-LOOP is a thread's name */
#define CONF_MAX_STREAMS 256
#define CONF_MAX_CLIENTS 256
#define CONF_ANY_CPU UINT32_MAX
#define CONF_AUTO UINT32_MAX /* of a choice: settled with the model */
#define CONF_MAX_VALUE 512   /* bytes of a value as text */

enum conf_socket { CONF_SUB, CONF_PULL };
enum conf_attach { CONF_BIND, CONF_CONNECT };
enum conf_admission { CONF_ADMISSION_WARN, CONF_ADMISSION_REFUSE };
enum conf_bad_channels { CONF_BAD_OFF, CONF_BAD_PROPOSE, CONF_BAD_AUTO };
enum conf_plaintext { CONF_PLAINTEXT_LOOPBACK, CONF_PLAINTEXT_ANYWHERE };

/* What the owner of a key may do, a bit each. */
enum conf_role {
    CONF_SOURCE = 1,   /* send bins */
    CONF_CONSUMER = 2, /* receive frames */
    CONF_MONITOR = 4,  /* receive frames, ask for the status */
    CONF_OPERATOR = 8, /* everything on the control socket */
};

/* [latentd] */
struct conf_daemon {
    char *control;
    char *safe_file;  /* or NULL: auto */
    char *secret_key; /* or NULL: nothing is encrypted */
    uint32_t lock_memory;
    uint32_t plaintext;         /* enum conf_plaintext */
    uint32_t realtime_priority; /* of SCHED_FIFO; 0 = none */
    uint32_t io_cpu;            /* or CONF_ANY_CPU */
};

/* [stream NAME]. Times in ns; 0 = auto, NULL = the model's default, until resolved against the
 * model. */
struct conf_stream {
    char *model, *mode, *precision;
    char *session; /* or NULL: the file's only one, or it has none */
    char *input, *output;
    char *input_server_key, *output_server_key; /* or NULL */
    uint32_t input_socket;                      /* enum conf_socket */
    uint32_t input_attach, output_attach;       /* enum conf_attach */
    uint32_t outputs;                           /* enum latent_group, bit set; 0 = all */
    uint64_t budget_ns, valid_for_ns, max_gap_ns;
    uint64_t max_jump_ns; /* 0: in a record from before there was one */
    uint64_t missing_after_ns, lease_ns, max_age_ns, safe_ramp_ns;
    uint64_t spin_ns;                        /* 0: the loop sleeps until something comes */
    uint64_t warm_ns;                        /* 0: the caches are left to themselves */
    uint32_t on_gap;                         /* enum line_on_gap, or CONF_AUTO */
    uint32_t on_late, on_missing, on_silent; /* enums of line/policy.h */
    uint32_t publish_late;                   /* 1: whatever its age */
    uint32_t safe_exit;                      /* bins; 0 = operator */
    uint32_t safe_start;                     /* 1: begins in SAFE */
    char *mask;                              /* list of channels, or NULL: none */
    uint32_t max_masked;                     /* percent of the channels */
    uint32_t bad_channels;                   /* enum conf_bad_channels */
    uint32_t contract;
    uint64_t keep_ns;        /* a decoder that was replaced */
    uint32_t admission;      /* enum conf_admission */
    uint32_t reorder_window; /* bins */
    uint32_t source_clock;   /* enum line_source_clock */
    uint32_t min_delay_us;
    char *record; /* or NULL */
    uint64_t record_sync_ns;
    uint32_t record_buffer_mib;
    char *loop;
    uint32_t cpu; /* of the loop; or CONF_ANY_CPU */
};

/* [client NAME] */
struct conf_client {
    char *public_key;
    uint32_t roles; /* enum conf_role, bit set; 0: not given */
};

enum conf_section { CONF_DAEMON, CONF_STREAM, CONF_CLIENT, CONF_N_SECTIONS };

struct conf_key;

/* How values of one type are read and written. set: false and a text for what is wrong with the
 * value. */
struct conf_type {
    bool (*set)(const struct conf_key *key, void *at, const char *value, char *text, size_t n_text);
    void (*print)(const struct conf_key *key, const void *at, char *text, size_t n_text);
    const char *form; /* for the manual: "PATH", "MILLISECONDS", ... */
    bool owns_text;   /* the value is a char * of its own */
    size_t n_bytes;   /* of a value */
};

struct conf_key {
    const char *name;
    const struct conf_type *type;
    size_t offset;            /* in the section's struct */
    const char *const *words; /* allowed, ended by NULL (choices) */
    uint32_t min, max;        /* (counts) */
    uint32_t unset_count;     /* (counts, choices) the value of unset */
    const char *unset;        /* text of the value "not given", or NULL */
    const char *value;        /* default, as text; NULL: the key is required */
    const char *help;
};

/* Rows of a section, ended by a NULL name. */
const struct conf_key *conf_keys(enum conf_section section);
const char *conf_section_form(enum conf_section section); /* "latentd", "stream NAME" */
const struct conf_key *conf_find(enum conf_section section, const char *name);

/* Values of a whole section. */
void conf_set_defaults(enum conf_section section, void *values);
void conf_free_values(enum conf_section section, void *values);

#endif
