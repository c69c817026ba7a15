/* Benchmark worker: one core reads so many bytes, and does nothing else. What bounds a
 * step that reads every weight once per bin. */
#include <stdlib.h>

#include "worker.h"

typedef float lane __attribute__((vector_size(32)));

#define N_LINES 6 /* read before the next of any stream: the kernels' largest tile */
#define LINE_LANES (64 / sizeof(lane))
#define N_SUMS (N_LINES * LINE_LANES)

struct memory {
    const lane *data;    /* all ones, so that the sum counts what was read */
    size_t n_rows;       /* of N_LINES lines each */
    size_t step, stride; /* lanes from row to row, and from line to line of a row */
    float n_read;
};

/* Independent sums, so that no addition waits for the one before. */
__attribute__((target_clones("avx2", "default"))) static float
read_rows(const lane *data, size_t n_rows, size_t step, size_t stride)
{
    lane sums[N_SUMS] = {{0}}, total = {0};
    for (size_t i = 0; i < n_rows; i++, data += step)
        for (size_t j = 0; j < N_SUMS; j++)
            sums[j] += data[j / LINE_LANES * stride + j % LINE_LANES];
    for (size_t j = 0; j < N_SUMS; j++) total += sums[j];
    float sum = 0.0f;
    for (size_t k = 0; k < sizeof total / sizeof sum; k++) sum += total[k];
    return sum;
}

static void memory_step(void *context, size_t i)
{
    struct memory *m = context;
    (void)i;
    m->n_read = read_rows(m->data, m->n_rows, m->step, m->stride);
}

static size_t memory_values(void *context, float *out, size_t cap)
{
    const struct memory *m = context;
    if (cap) out[0] = m->n_read;
    return 1;
}

static const lane *ones(size_t n_lanes)
{
    float *data = worker_alloc(n_lanes * sizeof(lane));
    for (size_t i = 0; i < n_lanes * sizeof(lane) / sizeof *data; i++) data[i] = 1.0f;
    return (const lane *)data;
}

int main(int argc, char **argv)
{
    size_t row_bytes = N_SUMS * sizeof(lane);
    size_t n_rows = (worker_size(argc, argv, "bytes") + row_bytes - 1) / row_bytes;
    int beside = worker_size(argc, argv, "streams") > 1;
    struct memory m = {
        .data = ones(n_rows * N_SUMS),
        .n_rows = n_rows,
        .step = beside ? LINE_LANES : N_SUMS,
        .stride = beside ? n_rows * LINE_LANES : LINE_LANES,
    };
    struct worker w = {&m, memory_step, memory_values, NULL};
    worker_run(&w, beside ? "reads in six streams" : "reads in one stream");
    free((void *)m.data);
    return 0;
}
