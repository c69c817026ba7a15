/* A model opened for a stream, and all that is to be there when its decoder is in the line: made
 * off the data thread, by libuv's pool or before the start. */
#ifndef LATENTD_ENGINE_H
#define LATENTD_ENGINE_H

#include <stdbool.h>
#include <stddef.h>

#include "latent.h"
#include "line/seat.h"
#include "record/store.h"

struct stream;
struct conf_stream_section;

/* What is told of an engine. Those of before stay until its end: a record may hold them. */
struct engine_words {
    void *info_payload; /* packed NAME/info */
    size_t n_info_payload;
    char *config; /* for records: the configuration with this model in it */
    struct engine_words *before;
};

struct engine {
    latent_model *model;
    struct latent_info info;
    latent_decoder *decoder;
    const char *mode, *precision, *session; /* words of the model, or of the configuration;
                                               session: NULL: the file has none */
    struct line_decoder *seat;              /* its place in a line */
    bool is_first;                          /* of the stream's start: the seat is the line's */
    struct engine_words *words;             /* of the data thread while it is in the line */
    struct store_about about;               /* for records; config: of the newest words */
};

/* What a file may be promoted over; nothing of it changes while the file is opened. */
struct engine_place {
    const struct stream *stream; /* its configuration alone is read */
    struct latent_info now;      /* of the decoder in the line */
    const char *path;
};

/* Open the file, verify it, and make what follows: it takes the place of the decoder in the line,
 * with the same mode and precision where its file has them; of several sessions its file must have
 * the configuration's. May take long. said: what was measured, [n_said]. 0, or negative and a text:
 * then *out is NULL. */
int engine_open(struct engine **out, const struct engine_place *place, char *said, size_t n_said,
                struct latent_error *err);
/* That of the stream's start, whose line is there; model and decoder become the engine's. 0 or -1:
 * out of memory. */
int engine_of_stream(struct engine **out, const struct stream *s);
/* Words for another section of the configuration of its stream s. 0 or -1: out of memory. */
int engine_words_new(struct engine_words **out, const struct engine *e, const struct stream *s,
                     struct conf_stream_section *section);
/* They become e's. In the data thread while e is in the line. */
void engine_take_words(struct engine *e, struct engine_words *words);
void engine_words_free(struct engine_words *words); /* and those before; NULL is allowed */
/* Not while a line or a shadow has it; NULL is allowed. */
void engine_free(struct engine *e);

#endif
