/* The log: lines on stderr. Each says when and how bad; under systemd the journal knows when, and
 * is told how bad by the number that it expects before a line (sd-daemon(3)). */
#ifndef BASE_LOG_H
#define BASE_LOG_H

/* Numbers of syslog(3). */
enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTE = 5,
    LOG_LEVEL_INFO = 6,
};

/* A log begins: from now on lines carry their times. Before, what is said is an answer to whoever
 * started the program. While there is one thread. */
void log_open(void);
/* One line, without its end; at most 1,000 bytes of it. Any thread. */
void log_say(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
