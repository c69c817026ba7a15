/* One configured stream: its model, decoder and line. */
#ifndef LATENTD_STREAM_H
#define LATENTD_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/notes.h"
#include "command/options.h"
#include "conf/conf.h"
#include "feed/orders.h"
#include "latent.h"
#include "latentd/access.h"
#include "latentd/channel_watch.h"
#include "latentd/masking.h"
#include "latentd/recording.h"
#include "latentd/refusals.h"
#include "latentd/swap.h"
#include "line/line.h"
#include "line/minute.h"

struct input;
struct output;
struct outputs;

#define STREAM_LEFT SIZE_MAX

struct stream {
    size_t number; /* among the daemon's, 0, 1, ...; STREAM_LEFT */
    const struct conf *whole_conf;
    struct conf_stream_section *conf;
    struct conf_stream_section section; /* its own, once it has taken it: then conf */
    const struct access *access;
    uint8_t input_server[KEY_BYTES], output_server[KEY_BYTES]; /* where it connects */
    /* In use, as the control thread knows it: those of engine, once there is a line. */
    latent_model *model;
    struct latent_info info;
    latent_decoder *decoder;
    const char *mode, *precision, *session; /* session: NULL: the file has none */
    struct engine *engine;
    struct engine *in_line; /* in use, as the data thread knows it */
    struct swap swap;
    uint64_t bin_ns; /* the same for every model of the stream */
    uint32_t groups; /* enum latent_group: sent */
    struct line *line;
    struct orders *orders; /* of the data loop that serves it ... */
    size_t place;          /* ... and which of its lines this one is */
    struct recording recording;
    struct masking masking;
    struct channel_watch watch; /* the control thread's */
    bool is_frozen; /* its normalisation, as it was ordered last; the control thread's */
    struct line_normalisation *told; /* by order `telling`, room for mean and sd behind it */
    struct order telling;
    struct refusal_said said[REFUSALS_MAX]; /* of what it refused; the control thread's */
    struct input *input;                    /* the sockets it shares */
    struct output *output;
    const struct outputs *outputs; /* what that needs; set before data_loop_open */
    char topic_bins[WIRE_TOPIC_BYTES], topic_info[WIRE_TOPIC_BYTES];
    uint64_t recv_ns;      /* of its last message; 0: none; the data loop's own */
    uint64_t warmed_ns;    /* recv_ns of the message after which it was warmed */
    struct minute *minute; /* the control thread's */
    uint64_t n_late_read;  /* late bins that a lateness looked at which is closed */
};

/* Open model and decoder as section says, and write the values that the model decides back into it;
 * it stays the caller's. Mistakes become problems of c; what the model lacks and the configuration
 * does not insist on is noted. PROGRAM_FAILED: the model cannot be used; PROGRAM_MISUSED: the
 * configuration asks for what the model does not have. stream_close of *out is due in any case. */
enum program_exit stream_open(struct stream **out, struct conf *c,
                              struct conf_stream_section *section, const struct access *access,
                              struct notes *notes);
/* Run the decoder on silence, at most 300 bins or 300 ms, and note when its steps exceed
 * the budget (setup/admission.h): then refused, if the configuration says so. Its state
 * is as before. 0, or negative and a text. */
int stream_admit(struct stream *s, struct notes *notes, struct latent_error *err);
/* Make the line and the info message; frames go to output through send. 0 or -1: out of
 * memory. */
int stream_attach(struct stream *s, struct output *output, struct line_sink sink);
/* Orders reach the line by them, as their line number place. */
void stream_give_orders(struct stream *s, struct orders *orders, size_t place);
/* Its section is its own from here on, as one of whole_conf. */
void stream_take_section(struct stream *s, const struct conf *whole_conf);
/* What it counted, a line for the log. */
void stream_say_ledgers(const struct stream *s);
/* It is freed, unless the disk holds its record; NULL is allowed. */
void stream_close(struct stream *s);

#endif
