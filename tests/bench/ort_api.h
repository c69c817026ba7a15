/* The few calls of ONNX Runtime's C interface that the benchmark needs, found at run
 * time.
 *
 * The npm package carries the shared library but no header. The interface is a table of
 * function pointers whose order is fixed for good (new functions are only added at its
 * end), so a call is named by its position; all used here exist since version 1 of the
 * table. */
#ifndef BENCH_ORT_API_H
#define BENCH_ORT_API_H

#include <stddef.h>
#include <stdint.h>

typedef struct ort_object ort_object; /* status, environment, session, value ... */

/* Load the library. NULL, or what went wrong. */
const char *ort_open(const char *library);
const char *ort_version(void);
/* A session on a graph file: every optimisation, one thread, sequential. */
ort_object *ort_session(const char *graph);
/* A float tensor over the caller's memory. */
ort_object *ort_tensor(float *data, size_t n_dims, const int64_t *shape);
/* One inference into prepared outputs. */
void ort_run(ort_object *session, size_t n_in, const char *const *in_names, ort_object *const *in,
             size_t n_out, const char *const *out_names, ort_object **out);

#endif
