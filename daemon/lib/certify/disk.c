/* The disk of a record: how long it takes to keep bytes, and how many it has room for. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "certify/measure.h"

#define N_WRITES 200
#define WRITE_BYTES 4096
#define SLOW_NS UINT64_C(1000000000) /* the recorder's buffer covers far more */
#define LEAST_HOURS 12

static void add_room(const char *folder, double bytes_per_s, struct findings *f)
{
    struct finding row = {CERTIFY_DISK,
                          VERDICT_OK,
                          "room for a record",
                          "12 hours",
                          "make room, or record elsewhere",
                          ""};
    struct statvfs disk;
    double free_bytes, hours;

    if (statvfs(folder, &disk)) {
        row.verdict = VERDICT_UNKNOWN;
        findings_add(f, &row, "%s: %s", folder, strerror(errno));
        return;
    }
    free_bytes = (double)disk.f_bavail * (double)disk.f_frsize;
    hours = free_bytes / bytes_per_s / 3600;
    if (hours < LEAST_HOURS) row.verdict = VERDICT_WARN;
    findings_add(f, &row, "%.1f GB, about %.0f hours at %.0f kB/s", free_bytes / 1e9, hours,
                 bytes_per_s / 1e3);
}

/* -1 and errno when a write fails. */
static int write_often(int fd, struct series *s)
{
    unsigned char bytes[WRITE_BYTES] = {0};

    for (int i = 0; i < N_WRITES; i++) {
        uint64_t t_ns = clock_now_ns();

        if (write(fd, bytes, sizeof bytes) != (ssize_t)sizeof bytes) return -1;
        if (fdatasync(fd)) return -1;
        series_add(s, clock_now_ns() - t_ns);
    }
    return 0;
}

void disk_measure(const char *folder, double bytes_per_s, struct findings *f)
{
    struct finding row = {CERTIFY_DISK,      VERDICT_UNKNOWN,          "time to keep 4 KiB",
                          "99 % within 1 s", "record on another disk", ""};
    struct series *s = findings_series(f, CERTIFY_DISK, N_WRITES, SLOW_NS, "fdatasync, 4 KiB");
    char path[4096];
    int fd;

    snprintf(path, sizeof path, "%s/.latent-certify-XXXXXX", folder);
    fd = s ? mkstemp(path) : -1;
    if (fd < 0) {
        findings_add(f, &row, "%s: %s", folder, strerror(errno));
        return;
    }
    unlink(path);
    if (write_often(fd, s)) {
        findings_add(f, &row, "%s: %s", folder, strerror(errno));
    } else {
        series_sort(s);
        row.verdict = series_quantile(s, 0.99) < SLOW_NS ? VERDICT_OK : VERDICT_WARN;
        findings_add(f, &row, "p50 %.2f, p99 %.2f, max %.2f ms",
                     (double)series_quantile(s, 0.5) / 1e6, (double)series_quantile(s, 0.99) / 1e6,
                     (double)series_quantile(s, 1) / 1e6);
    }
    close(fd);
    add_room(folder, bytes_per_s, f);
}
