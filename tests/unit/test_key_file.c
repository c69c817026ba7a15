/* Key files: what is written can be read, by us and as everybody else does; what is
 * damaged, too open or in the wrong place is refused without showing the key. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "net/key_file.h"

/* The key pair of the libzmq manual's example (zmq_curve). */
#define PUBLIC "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define SECRET "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"

struct place {
    char folder[64], path[96], secret_path[104];
};

static int place_open(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    snprintf(p->folder, sizeof p->folder, "/tmp/test-key-file.XXXXXX");
    if (!mkdtemp(p->folder)) {
        free(p);
        return -1;
    }
    snprintf(p->path, sizeof p->path, "%s/k", p->folder);
    snprintf(p->secret_path, sizeof p->secret_path, "%s/k_secret", p->folder);
    *state = p;
    return 0;
}

static int place_close(void **state)
{
    struct place *p = *state;
    unlink(p->path);
    unlink(p->secret_path);
    int status = rmdir(p->folder);
    free(p);
    return status;
}

static void write_file(const char *path, mode_t mode, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static mode_t mode_of(const char *path)
{
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    return s.st_mode & 07777;
}

/* Refused with this word in its text, and without any part of the secret. */
static void check_pair_refused(struct place *p, mode_t mode, const char *text, const char *word)
{
    struct latent_error err = {0};
    struct key_pair pair;

    write_file(p->path, mode, text, strlen(text));
    assert_true(key_file_read_pair(p->path, &pair, &err) < 0);
    if (!strstr(err.text, word)) fail_msg("no '%s' in: %s", word, err.text);
    assert_non_null(strstr(err.text, p->path));
    assert_null(strstr(err.text, "D:)Q"));
}

static void test_made_pair(void **state)
{
    struct place *p = *state;
    struct latent_error err = {0};
    uint8_t public[KEY_BYTES];
    struct key_pair pair;
    mode_t mask = umask(0);

    assert_int_equal(key_file_make(p->path, &err), 0);
    umask(mask);
    assert_int_equal(mode_of(p->path), 0644);
    assert_int_equal(mode_of(p->secret_path), 0600);
    assert_int_equal(key_file_read_public(p->path, public, &err), 0);
    assert_int_equal(key_file_read_pair(p->secret_path, &pair, &err), 0);
    assert_memory_equal(public, pair.public, KEY_BYTES);
    assert_memory_not_equal(pair.secret, pair.public, KEY_BYTES);
    key_pair_forget(&pair);
    for (size_t i = 0; i < KEY_BYTES; i++) assert_int_equal(pair.secret[i], 0);
}

/* Even a umask that takes everything leaves a public file that can be read. */
static void test_umask(void **state)
{
    struct place *p = *state;
    struct latent_error err = {0};
    mode_t mask = umask(0777);
    int status = key_file_make(p->path, &err);

    umask(mask);
    assert_int_equal(status, 0);
    assert_int_equal(mode_of(p->path), 0644);
    assert_int_equal(mode_of(p->secret_path), 0600);
}

static void test_never_replaced(void **state)
{
    struct place *p = *state;
    struct latent_error err = {0};
    char bytes[8] = "";
    FILE *file;

    write_file(p->path, 0644, "mine", 4);
    assert_true(key_file_make(p->path, &err) < 0);
    assert_non_null(strstr(err.text, "never replaced"));
    assert_int_equal(access(p->secret_path, F_OK), -1);
    unlink(p->path);
    write_file(p->secret_path, 0600, "mine", 4);
    assert_true(key_file_make(p->path, &err) < 0);
    assert_non_null(strstr(err.text, "never replaced"));
    assert_int_equal(access(p->path, F_OK), -1);
    file = fopen(p->secret_path, "r");
    assert_int_equal(fread(bytes, 1, sizeof bytes, file), 4);
    assert_string_equal(bytes, "mine");
    fclose(file);
    assert_true(key_file_make("/nonexistent/k", &err) < 0);
}

/* A known pair, as czmq, pyzmq and people write it. */
static void test_forms(void **state)
{
    static const char *const forms[] = {
        "curve\n    public-key = \"" PUBLIC "\"\n    secret-key = \"" SECRET "\"\n",
        "#  ****  by CZMQ  ****\n\nmetadata\n    name = \"a = b\"\ncurve\n"
        "    public-key = \"" PUBLIC "\"\n    secret-key = \"" SECRET "\"\n",
        "secret-key='" SECRET "'\r\npublic-key = " PUBLIC "\r\n",
        "\tsecret-key =" SECRET "\n# public-key = \"x\"\npublic-key=\"" PUBLIC "\""};
    struct place *p = *state;
    struct latent_error err = {0};
    struct key_pair pair;
    char text[KEY_TEXT];

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        write_file(p->path, 0600, forms[i], strlen(forms[i]));
        if (key_file_read_pair(p->path, &pair, &err)) fail_msg("%s", err.text);
        key_text(pair.public, text);
        assert_string_equal(text, PUBLIC);
        key_text(pair.secret, text);
        assert_string_equal(text, SECRET);
    }
}

static void test_damaged_pair(void **state)
{
    struct place *p = *state;
    check_pair_refused(p, 0600, "", "has no public-key");
    check_pair_refused(p, 0600, "public-key = \"" PUBLIC "\"\n", "has no secret-key");
    check_pair_refused(p, 0600, "secret-key = \"" SECRET "\"\n", "has no public-key");
    check_pair_refused(p, 0600, "public-key = \"" PUBLIC "\"\nsecret-key = \"D:)Q\"\n",
                       "secret-key is damaged");
    check_pair_refused(p, 0600, "public-key = \"" PUBLIC "\"\nsecret-key = \"" SECRET "a\"\n",
                       "found 41 bytes");
    check_pair_refused(p, 0600,
                       "public-key = \"" PUBLIC "\"\nsecret-key = \"" SECRET
                       "\"\nsecret-key = \"" SECRET "\"\n",
                       "more than one secret-key");
    check_pair_refused(p, 0600, "public-key = \"" SECRET "\"\nsecret-key = \"" SECRET "\"\n",
                       "not that of its secret key");
    /* Letters that Z85 does not have, and a group of five that is too large. */
    check_pair_refused(p, 0600,
                       "public-key = \"" PUBLIC
                       "\"\nsecret-key = \"~:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs\"\n",
                       "damaged");
    check_pair_refused(p, 0600,
                       "public-key = \"" PUBLIC
                       "\"\nsecret-key = \"#####IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs\"\n",
                       "damaged");
}

/* Every cut of a good file and every byte of it changed: read as it was, or refused. */
static void test_every_damage(void **state)
{
    static const char good[] =
        "curve\n    public-key = \"" PUBLIC "\"\n    secret-key = \"" SECRET "\"\n";
    struct place *p = *state;
    struct latent_error err;
    struct key_pair pair;
    char text[KEY_TEXT], bytes[sizeof good];
    size_t n = sizeof good - 1, n_refused = 0;

    for (size_t cut = 0; cut < n; cut++) {
        write_file(p->path, 0600, good, cut);
        if (key_file_read_pair(p->path, &pair, &err)) n_refused++;
    }
    assert_int_equal(n_refused, n - 2); /* without the last end of line, and quote */
    for (size_t at = 0; at < n; at++) {
        memcpy(bytes, good, n);
        bytes[at] = (char)(bytes[at] ^ 0x80);
        write_file(p->path, 0600, bytes, n);
        if (key_file_read_pair(p->path, &pair, &err)) continue;
        key_text(pair.secret, text);
        assert_string_equal(text, SECRET);
        key_text(pair.public, text);
        assert_string_equal(text, PUBLIC);
    }
}

static void test_permissions(void **state)
{
    static const char good[] = "public-key = \"" PUBLIC "\"\nsecret-key = \"" SECRET "\"\n";
    static const char public[] = "public-key = \"" PUBLIC "\"\n";
    static const mode_t loose[] = {0640, 0604, 0620, 0602, 0610, 0601, 0666};
    struct place *p = *state;
    struct latent_error err = {0};
    uint8_t key[KEY_BYTES];

    for (size_t i = 0; i < sizeof loose / sizeof loose[0]; i++)
        check_pair_refused(p, loose[i], good, "chmod 600");
    write_file(p->path, 0444, public, strlen(public));
    assert_int_equal(key_file_read_public(p->path, key, &err), 0);
    write_file(p->path, 0664, public, strlen(public));
    assert_true(key_file_read_public(p->path, key, &err) < 0);
    assert_non_null(strstr(err.text, "chmod go-w"));
    write_file(p->path, 0646, public, strlen(public));
    assert_true(key_file_read_public(p->path, key, &err) < 0);
}

/* A secret key in the place of a public one has been given away. */
static void test_secret_as_public(void **state)
{
    static const char good[] = "public-key = \"" PUBLIC "\"\nsecret-key = \"" SECRET "\"\n";
    struct place *p = *state;
    struct latent_error err = {0};
    uint8_t key[KEY_BYTES];

    write_file(p->path, 0600, good, strlen(good));
    assert_true(key_file_read_public(p->path, key, &err) < 0);
    assert_non_null(strstr(err.text, "holds a secret key"));
    assert_null(strstr(err.text, "D:)Q"));
}

static void test_no_file(void **state)
{
    struct place *p = *state;
    struct latent_error err = {0};
    struct key_pair pair;
    char bytes[20000];

    assert_true(key_file_read_pair(p->path, &pair, &err) < 0);
    assert_non_null(strstr(err.text, "No such file"));
    assert_true(key_file_read_pair(p->folder, &pair, &err) < 0);
    assert_non_null(strstr(err.text, "not a file"));
    assert_int_equal(mkfifo(p->path, 0600), 0); /* must not wait for a writer */
    assert_true(key_file_read_pair(p->path, &pair, &err) < 0);
    assert_non_null(strstr(err.text, "not a file"));
    unlink(p->path);
    memset(bytes, '\n', sizeof bytes);
    write_file(p->path, 0600, bytes, sizeof bytes);
    assert_true(key_file_read_pair(p->path, &pair, &err) < 0);
    write_file(p->path, 0600, "public-key\0 = x", 15);
    assert_true(key_file_read_pair(p->path, &pair, &err) < 0);
    assert_non_null(strstr(err.text, "not a key file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made_pair, place_open, place_close),
        cmocka_unit_test_setup_teardown(test_umask, place_open, place_close),
        cmocka_unit_test_setup_teardown(test_never_replaced, place_open, place_close),
        cmocka_unit_test_setup_teardown(test_forms, place_open, place_close),
        cmocka_unit_test_setup_teardown(test_damaged_pair, place_open, place_close),
        cmocka_unit_test_setup_teardown(test_every_damage, place_open, place_close),
        cmocka_unit_test_setup_teardown(test_permissions, place_open, place_close),
        cmocka_unit_test_setup_teardown(test_secret_as_public, place_open, place_close),
        cmocka_unit_test_setup_teardown(test_no_file, place_open, place_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
