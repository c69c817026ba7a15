/* Differences of totals. */
#include "line/minute.h"

static void take(struct minute_mark *mark, struct line *line, uint64_t now_ns)
{
    mark->t_ns = now_ns;
    line_read(line, &mark->total);
    for (enum line_time t = 0; t < TIME_SPARE; t++) line_copy_time(line, t, &mark->times[t]);
}

void minute_look(struct minute *m, struct line *line, uint64_t now_ns)
{
    const struct minute_mark *newest = &m->mark[(m->n_marks + MINUTE_MARKS - 1) % MINUTE_MARKS];

    if (m->n_marks > 0 && now_ns - newest->t_ns < MINUTE_STEP_NS) return;
    take(&m->mark[m->n_marks % MINUTE_MARKS], line, now_ns);
    m->n_marks++;
}

void minute_read(const struct minute *m, struct line *line, uint64_t now_ns,
                 struct minute_values *out)
{
    uint64_t oldest = m->n_marks > MINUTE_MARKS ? m->n_marks % MINUTE_MARKS : 0;
    const struct minute_mark *mark = &m->mark[oldest];

    *out = (struct minute_values){0};
    if (m->n_marks == 0) return;
    out->span_ns = now_ns - mark->t_ns;
    line_read(line, &out->counts);
    for (enum counter c = 0; c < N_COUNTERS; c++) out->counts.value[c] -= mark->total.value[c];
    for (enum line_time t = 0; t < N_TIMES; t++)
        line_read_time_since(line, t, &mark->times[t == TIME_SPARE ? TIME_LATENCY : t],
                             &out->times[t]);
}
