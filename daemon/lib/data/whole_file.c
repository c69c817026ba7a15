/* Atomic appearance of files. */
#include "data/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/text.h"

#define SUFFIX_BYTES 32 /* ".tmp-PID" */

int whole_file_fail(const struct whole_file *file, const char *doing, struct latent_error *err)
{
    int reason = errno;
    return error_text(err, LATENT_E_IO, "output %s: cannot %s: %s", file->path, doing,
                      reason ? strerror(reason) : "refused by the library");
}

int whole_file_name(struct whole_file *file, const char *path, struct latent_error *err)
{
    struct stat target;
    *file = (struct whole_file){0};
    if (lstat(path, &target) == 0 && !S_ISREG(target.st_mode))
        return error_text(err, LATENT_E_IO,
                          "output %s: expected a new name or a regular file, found something "
                          "else; choose another name",
                          path);
    if (path_lacks_folder(path))
        return error_text(err, LATENT_E_IO, "output %s: its folder does not exist; make it first",
                          path);
    if (strlen(path) >= WHOLE_FILE_PATH - SUFFIX_BYTES)
        return error_text(err, LATENT_E_IO, "output %.100s...: the name is too long", path);
    snprintf(file->path, sizeof file->path, "%s", path);
    snprintf(file->temporary, sizeof file->temporary, "%.*s.tmp-%d", WHOLE_FILE_PATH - SUFFIX_BYTES,
             path, (int)getpid());
    return 0;
}

/* The name must not stand before the bytes do. */
static int bytes_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    int failed = fsync(fd), reason = errno;
    close(fd);
    errno = reason;
    return failed;
}

int whole_file_commit(struct whole_file *file, struct latent_error *err)
{
    int status = 0;
    errno = 0;
    if (bytes_sync(file->temporary) != 0)
        status = whole_file_fail(file, "write", err);
    else if (rename(file->temporary, file->path) != 0)
        status = whole_file_fail(file, "rename the finished file to it", err);
    if (status) whole_file_abort(file);
    file->temporary[0] = '\0';
    return status;
}

void whole_file_abort(struct whole_file *file)
{
    if (file->temporary[0]) unlink(file->temporary);
    file->temporary[0] = '\0';
}
