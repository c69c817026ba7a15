/* Limits of the process: what they say, and what really can be had. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "certify/measure.h"
#include "certify/sysfile.h"

#define LEAST_FILES 1024
#define LOCKED_BYTES (1u << 20)

static const char *limit_text(rlim_t limit, char *text, size_t n)
{
    if (limit == RLIM_INFINITY) return "unlimited";
    snprintf(text, n, "%llu", (unsigned long long)limit);
    return text;
}

/* ---- real-time scheduling ---- */

static void add_priority(const struct conf *c, struct findings *f)
{
    struct finding row = {CERTIFY_LIMITS,
                          VERDICT_WARN,
                          "real-time priority",
                          "set, and granted",
                          "realtime-priority = 80, and LimitRTPRIO=80 (or ulimit -r 80)",
                          ""};
    struct notes notes = {0};
    struct thread_wish wish = {.priority = c->daemon.realtime_priority, .cpu = THREAD_ANY_CPU};
    struct rlimit limit = {0};
    char text[32];

    getrlimit(RLIMIT_RTPRIO, &limit);
    if (wish.priority == 0) {
        findings_add(f, &row, "not asked for; limit %s",
                     limit_text(limit.rlim_cur, text, sizeof text));
        return;
    }
    thread_wish_check(&wish, "certify", &notes);
    if (wish.priority) row.verdict = VERDICT_OK;
    findings_add(f, &row, "%u is %s", c->daemon.realtime_priority,
                 wish.priority ? "granted" : "refused");
}

/* ---- memory and files ---- */

static void add_locking(const struct conf *c, struct findings *f)
{
    struct finding row = {CERTIFY_LIMITS,
                          VERDICT_OK,
                          "memory lock",
                          "unlimited",
                          "LimitMEMLOCK=infinity (or ulimit -l unlimited)",
                          ""};
    void *bytes =
        mmap(NULL, LOCKED_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct rlimit limit = {0};
    bool locked = bytes != MAP_FAILED && mlock(bytes, LOCKED_BYTES) == 0;
    char text[32];

    if (bytes != MAP_FAILED) munmap(bytes, LOCKED_BYTES);
    getrlimit(RLIMIT_MEMLOCK, &limit);
    if (!locked || (limit.rlim_cur != RLIM_INFINITY && c->daemon.lock_memory))
        row.verdict = VERDICT_WARN;
    findings_add(f, &row, "1 MiB is %s; limit %s bytes", locked ? "granted" : "refused",
                 limit_text(limit.rlim_cur, text, sizeof text));
}

static void add_files(struct findings *f)
{
    struct finding row = {CERTIFY_LIMITS, VERDICT_OK,          "open files",
                          "1024",         "LimitNOFILE=65536", ""};
    struct rlimit limit = {0};
    char text[32];

    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < LEAST_FILES) row.verdict = VERDICT_WARN;
    findings_add(f, &row, "%s", limit_text(limit.rlim_max, text, sizeof text));
}

/* ---- control group ---- */

static void add_quota(const char *root, struct findings *f)
{
    struct finding row = {CERTIFY_LIMITS,
                          VERDICT_UNKNOWN,
                          "CPU quota",
                          "none",
                          "CPUQuota= of the unit, cpu.max of its group: take it away",
                          ""};
    char group[512], text[256];
    const char *path = NULL;

    if (sysfile_read(root, group, sizeof group, "/proc/self/cgroup") > 0) {
        path = strstr(group, "0::");
        if (path) path += 3;
    }
    if (!path || sysfile_read(root, text, sizeof text, "/sys/fs/cgroup%.*s/cpu.max",
                              (int)strcspn(path, "\n"), path) <= 0) {
        findings_add(f, &row, "not told");
        return;
    }
    row.verdict = strncmp(text, "max", 3) ? VERDICT_WARN : VERDICT_OK;
    findings_add(f, &row, "%.100s", row.verdict == VERDICT_OK ? "none" : text);
}

void limits_measure(const struct conf *c, const char *root, struct findings *f)
{
    add_priority(c, f);
    add_locking(c, f);
    add_files(f);
    add_quota(root, f);
}
