/* A record never replaces a file: these find a name that is free. */
#include "record/path.h"

#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "record/place.h"
#include "record/store.h"

#define MOST_NUMBERS 10000

/* What a letter after % becomes; -1: no letter that means something. */
static int number_of(char letter, const struct tm *utc)
{
    switch (letter) {
    case 'Y':
        return utc->tm_year + 1900;
    case 'm':
        return utc->tm_mon + 1;
    case 'd':
        return utc->tm_mday;
    case 'H':
        return utc->tm_hour;
    case 'M':
        return utc->tm_min;
    case 'S':
        return utc->tm_sec;
    default:
        return -1;
    }
}

int record_path(const char *pattern, time_t now, char *path, size_t n_path,
                struct latent_error *err)
{
    struct tm utc;
    size_t n = 0;
    int status = store_possible(err);

    if (status) return status;
    gmtime_r(&now, &utc);
    for (const char *c = pattern; *c && n < n_path; c++) {
        int number = *c == '%' ? number_of(c[1], &utc) : 0;

        if (number < 0)
            return error_text(err, LATENT_E_CONFIG,
                              "record %.200s: expected %%Y, %%m, %%d, %%H, %%M or %%S, found %.2s",
                              pattern, c);
        if (*c == '%')
            n += (size_t)snprintf(path + n, n_path - n, "%02d", number);
        else
            path[n++] = *c;
        c += *c == '%';
    }
    if (n >= n_path)
        return error_text(err, LATENT_E_CONFIG, "record %.100s: the name is too long", pattern);
    path[n] = '\0';
    return 0;
}

/* A device, say: /dev/null-2 is not what was meant. */
static bool is_no_file(const char *path)
{
    struct stat found;

    return stat(path, &found) == 0 && !S_ISREG(found.st_mode);
}

int record_path_resolve(char *path, size_t n_path, struct latent_error *err)
{
    char copy[PATH_MAX], folder[PATH_MAX];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int n = snprintf(copy, sizeof copy, "%s", path);

    if (n >= PATH_MAX - 16 || *name == '\0' || is_no_file(path))
        return error_text(err, LATENT_E_IO, "record %.200s: expected the name of a regular file",
                          path);
    if (!realpath(dirname(copy), folder) || access(folder, W_OK | X_OK) != 0)
        return error_text(err, LATENT_E_IO, "record %.200s: its folder: %s%s", path,
                          strerror(errno), errno == ENOENT ? "; make it first" : "");
    snprintf(copy, sizeof copy, "%s", name);
    n = snprintf(path, n_path, "%s/%s", strcmp(folder, "/") ? folder : "", copy);
    if (n >= 0 && (size_t)n < n_path) return 0;
    return error_text(err, LATENT_E_IO, "record %.200s: the name is too long", copy);
}

static bool is_free(const char *path)
{
    char beside[PATH_MAX + 16];
    struct stat found;

    return lstat(path, &found) != 0 && !place_beside(path, beside, sizeof beside);
}

int record_path_next(char *path, size_t n_path, uint64_t number, struct latent_error *err)
{
    char first[PATH_MAX], *name, *suffix;

    snprintf(first, sizeof first, "%s", path);
    name = strrchr(first, '/');
    suffix = strrchr(name ? name + 1 : first, '.');
    if (!suffix) suffix = first + strlen(first);
    for (; number < MOST_NUMBERS; number++) {
        int n = snprintf(path, n_path, "%.*s-%" PRIu64 "%s", (int)(suffix - first), first, number,
                         suffix);
        if (n < 0 || (size_t)n >= n_path) break;
        if (is_free(path)) return 0;
    }
    return error_text(err, LATENT_E_IO, "record %.200s: no name is free", first);
}

int record_path_number(char *path, size_t n_path, struct latent_error *err)
{
    return is_free(path) ? 0 : record_path_next(path, n_path, 2, err);
}
