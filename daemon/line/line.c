/* The one place that asks the clock. */
#include "line/line.h"

uint64_t line_now(struct pipeline *p)
{
    return p->clock.now_ns(p->clock.ctx);
}
