/* Reading /proc and /sys. */
#include "certify/sysfile.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int read_path(const char *path, char *text, size_t n_text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t n = 0;
    ssize_t got = -1;

    if (fd < 0) return -1;
    while (n + 1 < n_text && (got = read(fd, text + n, n_text - 1 - n)) > 0) n += (size_t)got;
    close(fd);
    if (got < 0) return -1;
    while (n > 0 && text[n - 1] == '\n') n--;
    text[n] = '\0';
    return (int)n;
}

static int read_format(const char *root, char *text, size_t n_text, const char *format,
                       va_list arguments)
{
    char path[2 * SYSFILE_PATH];
    int n_root = snprintf(path, SYSFILE_PATH, "%s", root);

    if (n_root < 0 || n_root >= SYSFILE_PATH) return -1;
    vsnprintf(path + n_root, SYSFILE_PATH, format, arguments);
    return read_path(path, text, n_text);
}

int sysfile_read(const char *root, char *text, size_t n_text, const char *path, ...)
{
    va_list arguments;
    int n;

    va_start(arguments, path);
    n = read_format(root, text, n_text, path, arguments);
    va_end(arguments);
    return n;
}

bool sysfile_number(const char *root, long long *number, const char *path, ...)
{
    va_list arguments;
    char text[64], *end;
    int n;

    va_start(arguments, path);
    n = read_format(root, text, sizeof text, path, arguments);
    va_end(arguments);
    if (n <= 0) return false;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return end != text && errno == 0;
}

bool sysfile_value(const char *text, const char *key, char *value, size_t n_value)
{
    size_t n_key = strlen(key), n;

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n_key) != 0 || (line[n_key] && !strchr(" \t:=", line[n_key])))
            continue;
        line += n_key;
        line += strspn(line, " \t:=");
        n = strcspn(line, "\n");
        if (n >= n_value) n = n_value - 1;
        memcpy(value, line, n);
        value[n] = '\0';
        return true;
    }
    return false;
}

bool sysfile_runs(const char *root, const char *name)
{
    char path[SYSFILE_PATH], comm[64];
    bool found = false;
    struct dirent *entry;
    DIR *proc;

    snprintf(path, sizeof path, "%s/proc", root);
    proc = opendir(path);
    if (!proc) return false;
    while (!found && (entry = readdir(proc)))
        found = isdigit((unsigned char)entry->d_name[0]) &&
                sysfile_read(root, comm, sizeof comm, "/proc/%s/comm", entry->d_name) > 0 &&
                strcmp(comm, name) == 0;
    closedir(proc);
    return found;
}
