/* The beginning of the line: what arrives is judged, and its bins go to the decoder. */
#ifndef LINE_ARRIVE_H
#define LINE_ARRIVE_H

#include "line/inside.h"

/* The payload of a message, found by a wake at t_recv_ns. */
void arrive_message(struct line *line, const void *payload, size_t n_bytes, uint64_t t_recv_ns);

#endif
