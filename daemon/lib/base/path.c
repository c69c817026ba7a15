/* Folders of paths. */
#include "base/path.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

bool path_lacks_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];
    struct stat s;

    if (!slash || slash == path) return false;
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    return stat(folder, &s) != 0 || !S_ISDIR(s.st_mode);
}
