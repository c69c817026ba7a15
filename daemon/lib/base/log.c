/* One write for each line, so that those of several threads stay whole. */
#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"

#define LOG_TEXT 1000
#define LOG_HEAD 64

static bool is_open, goes_to_journal;

/* JOURNAL_STREAM: device and inode of what the journal reads from (systemd.exec(5)). */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char ours[64];
    struct stat s;

    if (!stream || fstat(fileno(stderr), &s)) return false;
    snprintf(ours, sizeof ours, "%ju:%ju", (uintmax_t)s.st_dev, (uintmax_t)s.st_ino);
    return strcmp(stream, ours) == 0;
}

void log_open(void)
{
    goes_to_journal = is_journal();
    is_open = true;
}

static const char *level_name(enum log_level level)
{
    static const char *const names[] = {[LOG_LEVEL_ERROR] = "error: ",
                                        [LOG_LEVEL_WARNING] = "warning: ",
                                        [LOG_LEVEL_NOTE] = "note: ",
                                        [LOG_LEVEL_INFO] = ""};

    return names[level];
}

/* UTC, to the millisecond. */
static size_t write_time(char *text, size_t n)
{
    uint64_t now_ns = clock_wall_ns();
    time_t seconds = (time_t)(now_ns / 1000000000u);
    struct tm utc;
    size_t used;

    gmtime_r(&seconds, &utc);
    used = strftime(text, n, "%Y-%m-%dT%H:%M:%S", &utc);
    return used + (size_t)snprintf(text + used, n - used, ".%03uZ ",
                                   (unsigned)(now_ns / 1000000u % 1000u));
}

static size_t write_head(char *text, size_t n, enum log_level level)
{
    size_t used = 0;

    if (goes_to_journal) return (size_t)snprintf(text, n, "<%d>", (int)level);
    if (is_open) used = write_time(text, n);
    return used + (size_t)snprintf(text + used, n - used, "latentd: %s", level_name(level));
}

void log_say(enum log_level level, const char *format, ...)
{
    char line[LOG_HEAD + LOG_TEXT + 1]; /* and the end of the line in the place of its zero */
    size_t used = write_head(line, LOG_HEAD, level);
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line + used, LOG_TEXT, format, args);
    va_end(args);
    if (n > 0) used += (size_t)n < LOG_TEXT ? (size_t)n : LOG_TEXT - 1;
    line[used] = '\n';
    line[used + 1] = '\0';
    fputs(line, stderr);
}
