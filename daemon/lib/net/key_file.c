/* Reading and writing certificates: a few lines of ZPL, name = "value" under a heading. Texts never
 * quote what stands in a file: it may be a secret. */
#include "net/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "base/path.h"
#include "base/text.h"

#define MAX_FILE_BYTES 16384
#define MAX_PATH_BYTES 4096

void key_text(const uint8_t key[KEY_BYTES], char text[KEY_TEXT])
{
    zmq_z85_encode(text, key, KEY_BYTES);
}

void key_pair_forget(struct key_pair *pair)
{
    explicit_bzero(pair, sizeof *pair);
}

/* ---- the file ---- */

/* Whose it is matters as much as who may read it: the owner of a file can change it. */
static int check_owner(const char *path, const struct stat *s, mode_t forbidden,
                       struct latent_error *err)
{
    bool is_secret = (forbidden & S_IRGRP) != 0;

    if (s->st_uid != geteuid() && s->st_uid != 0)
        return error_text(err, LATENT_E_IO,
                          "%s: belongs to user %u; a key file must belong to the user "
                          "that runs this (%u) or to root",
                          path, (unsigned)s->st_uid, (unsigned)geteuid());
    if ((s->st_mode & forbidden) == 0) return 0;
    return error_text(
        err, LATENT_E_IO, "%s: its permissions are %04o: others may %s it; run chmod %s", path,
        (unsigned)(s->st_mode & 07777), is_secret ? "reach" : "change", is_secret ? "600" : "go-w");
}

/* The whole file as a text; opened without waiting, since it may be a pipe. */
static int read_text(const char *path, mode_t forbidden, char text[MAX_FILE_BYTES],
                     struct latent_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), status;
    struct stat s;
    ssize_t n = 0;

    if (fd < 0) return error_text(err, LATENT_E_IO, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(fd, &s) || !S_ISREG(s.st_mode))
        status = error_text(err, LATENT_E_IO, "%s: not a file", path);
    else
        status = check_owner(path, &s, forbidden, err);
    if (!status) n = read(fd, text, MAX_FILE_BYTES);
    close(fd);
    if (status) return status;
    if (n < 0) return error_text(err, LATENT_E_IO, "%s: cannot read: %s", path, strerror(errno));
    if (n == MAX_FILE_BYTES || memchr(text, '\0', (size_t)n))
        return error_text(err, LATENT_E_FORMAT, "%s: not a key file; latentctl keys FILE makes one",
                          path);
    text[n] = '\0';
    return 0;
}

/* ---- the lines ---- */

/* Value of name = "value" in a line, without quotes; NULL: the line says another thing. The line is
 * changed. */
static char *value_of(char *line, const char *name)
{
    char *at = line + strspn(line, " \t"), *end;

    if (strncmp(at, name, strlen(name)) != 0) return NULL;
    at += strlen(name);
    at += strspn(at, " \t");
    if (*at != '=') return NULL;
    at++;
    at += strspn(at, " \t\"'");
    end = at + strlen(at);
    while (end > at && strchr(" \t\r\"'", end[-1])) *--end = '\0';
    return at;
}

/* Forty letters of Z85 that stand for a number which fits. */
static bool decode(const char *text, uint8_t key[KEY_BYTES])
{
    return strlen(text) == KEY_TEXT - 1 && zmq_z85_decode(key, text) != NULL;
}

/* A key of the text into key. 1: found, 0: not there, negative and a text. */
static int find_key(const char *path, const char *text, const char *name, uint8_t key[KEY_BYTES],
                    struct latent_error *err)
{
    char copy[MAX_FILE_BYTES], *rest = copy;
    int n = 0;

    snprintf(copy, sizeof copy, "%s", text);
    for (char *line = strsep(&rest, "\n"); line && n >= 0; line = strsep(&rest, "\n")) {
        const char *value = value_of(line, name);

        if (!value) continue;
        if (!decode(value, key))
            n = error_text(err, LATENT_E_FORMAT,
                           "%s: its %s is damaged; expected 40 letters of Z85, found %zu bytes",
                           path, name, strlen(value));
        else if (n++)
            n = error_text(err, LATENT_E_FORMAT, "%s: has more than one %s", path, name);
    }
    explicit_bzero(copy, sizeof copy);
    return n;
}

static int need_key(const char *path, const char *text, const char *name, uint8_t key[KEY_BYTES],
                    struct latent_error *err)
{
    int n = find_key(path, text, name, key, err);

    if (n < 0) return n;
    if (n == 1) return 0;
    return error_text(err, LATENT_E_FORMAT, "%s: has no %s; latentctl keys FILE makes %s", path,
                      name, "FILE (public) and FILE_secret");
}

/* ---- reading ---- */

int key_file_read_public(const char *path, uint8_t key[KEY_BYTES], struct latent_error *err)
{
    char text[MAX_FILE_BYTES];
    uint8_t secret[KEY_BYTES];
    int status = read_text(path, S_IWGRP | S_IWOTH, text, err), n;

    if (!status) status = need_key(path, text, "public-key", key, err);
    if (!status) {
        n = find_key(path, text, "secret-key", secret, err);
        status = n <= 0 ? n
                        : error_text(err, LATENT_E_FORMAT,
                                     "%s: holds a secret key; here belongs the file "
                                     "with the public key alone",
                                     path);
    }
    explicit_bzero(text, sizeof text);
    explicit_bzero(secret, sizeof secret);
    return status;
}

static int check_pair(const char *path, const struct key_pair *pair, struct latent_error *err)
{
    char secret[KEY_TEXT], public[KEY_TEXT], expected[KEY_TEXT];
    int status = 0;

    key_text(pair->secret, secret);
    key_text(pair->public, public);
    if (zmq_curve_public(expected, secret))
        status = error_text(err, LATENT_E_UNSUPPORTED,
                            "this libzmq has no CURVE: it was built without libsodium");
    else if (strcmp(public, expected) != 0)
        status = error_text(err, LATENT_E_FORMAT,
                            "%s: its public key is not that of its secret key", path);
    explicit_bzero(secret, sizeof secret);
    return status;
}

int key_file_read_pair(const char *path, struct key_pair *pair, struct latent_error *err)
{
    char text[MAX_FILE_BYTES];
    int status = read_text(path, S_IRWXG | S_IRWXO, text, err);

    if (!status) status = need_key(path, text, "public-key", pair->public, err);
    if (!status) status = need_key(path, text, "secret-key", pair->secret, err);
    if (!status) status = check_pair(path, pair, err);
    explicit_bzero(text, sizeof text);
    return status;
}

/* ---- writing ---- */

static int write_text(const char *path, mode_t mode, const char *text, struct latent_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    size_t n = strlen(text);
    int error = 0;

    if (fd < 0)
        return error_text(err, LATENT_E_IO, "%s: cannot make it: %s%s", path, strerror(errno),
                          errno == EEXIST           ? "; a key is never replaced"
                          : path_lacks_folder(path) ? "; make its folder first"
                                                    : "");
    /* fchmod: the umask may have left less, and nobody could read it. */
    errno = ENOSPC; /* of a write that is short, which says nothing itself */
    if (fchmod(fd, mode) || write(fd, text, n) != (ssize_t)n || fsync(fd)) error = errno;
    if (close(fd) && !error) error = errno;
    if (!error) return 0;
    unlink(path);
    return error_text(err, LATENT_E_IO, "%s: cannot write: %s", path, strerror(error));
}

static int write_secret(const char *path, const char *public, const char *secret,
                        struct latent_error *err)
{
    char text[512];
    int status;

    snprintf(text, sizeof text,
             "# ZeroMQ CURVE secret certificate, by latentctl keys.\n"
             "# Whoever has this file is taken for its owner: show it to nobody.\n"
             "metadata\n"
             "curve\n"
             "    public-key = \"%s\"\n"
             "    secret-key = \"%s\"\n",
             public, secret);
    status = write_text(path, S_IRUSR | S_IWUSR, text, err);
    explicit_bzero(text, sizeof text);
    return status;
}

static int write_public(const char *path, const char *public, struct latent_error *err)
{
    char text[512];

    snprintf(text, sizeof text,
             "# ZeroMQ CURVE public certificate, by latentctl keys.\n"
             "# Give it to those who are to know its owner.\n"
             "metadata\n"
             "curve\n"
             "    public-key = \"%s\"\n",
             public);
    return write_text(path, S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH, text, err);
}

int key_file_make(const char *path, struct latent_error *err)
{
    char public[KEY_TEXT], secret[KEY_TEXT], secret_path[MAX_PATH_BYTES];
    int n = snprintf(secret_path, sizeof secret_path, "%s_secret", path), status;

    if (n < 0 || (size_t)n >= sizeof secret_path)
        return error_text(err, LATENT_E_IO, "path of %zu bytes; expected fewer than %d",
                          strlen(path), MAX_PATH_BYTES);
    if (access(path, F_OK) == 0)
        return error_text(err, LATENT_E_IO, "%s: exists; a key is never replaced", path);
    if (zmq_curve_keypair(public, secret))
        return error_text(err, LATENT_E_UNSUPPORTED,
                          "this libzmq has no CURVE: it was built without libsodium");
    status = write_secret(secret_path, public, secret, err);
    if (!status) {
        status = write_public(path, public, err);
        if (status) unlink(secret_path);
    }
    explicit_bzero(secret, sizeof secret);
    return status;
}
