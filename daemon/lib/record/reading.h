/* A record, read in the order in which it came about. For programs that look at it afterwards; it
 * may still be being written. */
#ifndef RECORD_READING_H
#define RECORD_READING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "latent.h"
#include "line/event.h"
#include "line/label.h"

struct reading;

/* An entry, with what stood before it. Bytes are valid until the next entry is read. */
struct reading_entry {
    int64_t entry;           /* its number in the file, from 1 */
    struct line_event event; /* for line_enter */
    size_t n_clock;          /* what the clock said, in order: reading_clock */
    const unsigned char *clock;
    const void *snapshot; /* of the line before it, or NULL */
    size_t n_snapshot;
    const struct label *decoder;        /* whose it is; NULL: of the decoder that table meta says */
    uint64_t lost_entries, lost_frames; /* before it */
};

/* What came of an entry. An event of a kind that this version does not know is UINT32_MAX. */
struct reading_event {
    uint32_t code;
    uint64_t epoch, seq;
};

struct reading_frame {
    uint64_t epoch, seq;
    uint32_t flags;
    bool sent;         /* the sink took it */
    const void *bytes; /* NULL: thinned */
    size_t n_bytes;
};

/* 0, or negative and a text: not a record, of a version that this one cannot read, or damaged. */
int reading_open(struct reading **out, const char *path, struct latent_error *err);
void reading_close(struct reading *r); /* NULL is allowed */

/* A value of table meta; NULL when it is not there. */
const char *reading_text(struct reading *r, const char *key);
uint64_t reading_whole(struct reading *r, const char *key); /* 0 */
/* The only value that a question answers with; 0 when it has none. */
uint64_t reading_ask(struct reading *r, const char *sql);

/* Was it closed in order? Else what its writer had not yet folded in may be missing. */
bool reading_is_closed(struct reading *r);
/* What is not in the record, a line each: gaps, and what the second says: files before it, an end
 * that is missing. path: as it was opened. */
void reading_say_missing(struct reading *r, const char *path, FILE *out);
void reading_say_ends(struct reading *r, const char *path, FILE *out);

/* Are the steps of a message entries of their own (LINE_CONTINUE)? Records of latentd before it
 * worked so hold each message with all its steps as one entry, for line_enter_whole. */
bool reading_has_turns(const struct reading *r);

/* true: there is one. At the end, or when the file cannot be read, false: reading_check tells
 * which. */
bool reading_next_entry(struct reading *r, struct reading_entry *out);
/* Of the entry that was read last, in order. */
bool reading_next_frame(struct reading *r, struct reading_frame *out);
bool reading_next_action(struct reading *r, struct reading_event *out);
bool reading_next_outcome(struct reading *r, struct reading_event *out);
uint64_t reading_clock(const struct reading_entry *e, size_t i);
/* From the first entry again. */
void reading_rewind(struct reading *r);
int reading_check(struct reading *r, struct latent_error *err);

#endif
