/* proc_pid_schedstat, proc_stat(5). */
#include "why/sched.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STEAL_FIELD 7 /* of the line "cpu", from 0 */

static bool read_text(int fd, char *text, size_t n)
{
    ssize_t got = pread(fd, text, n - 1, 0);

    if (got <= 0) return false;
    text[got] = '\0';
    return true;
}

int sched_open(int thread)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", thread);
    return open(path, O_RDONLY | O_CLOEXEC);
}

bool sched_read(int fd, struct sched_times *out)
{
    char text[128], *end;

    if (fd < 0 || !read_text(fd, text, sizeof text)) return false;
    out->ran_ns = strtoull(text, &end, 10);
    out->delay_ns = strtoull(end, &end, 10);
    out->n_runs = strtoull(end, &end, 10);
    return *end == '\n';
}

bool sched_read_steal(uint64_t *ns)
{
    long ticks_per_s = sysconf(_SC_CLK_TCK);
    char text[256], *at = text + sizeof "cpu";
    uint64_t ticks = 0;
    int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
    bool is_read = fd >= 0 && read_text(fd, text, sizeof text);

    if (fd >= 0) close(fd);
    if (!is_read || ticks_per_s <= 0) return false;
    for (int i = 0; i <= STEAL_FIELD; i++) ticks = strtoull(at, &at, 10);
    *ns = ticks * (1000000000u / (uint64_t)ticks_per_s);
    return true;
}
