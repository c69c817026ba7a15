/* Words are their length, then their letters. */
#include "line/label.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/serial.h"

_Static_assert(LABEL_MAX_PATH >= PATH_MAX, "realpath's answer fits");

/* In the bytes of groups; labels of earlier versions end with the path. */
#define SESSION_FOLLOWS (1u << 31)

static void visit_word(struct serial *f, char *word, size_t max)
{
    uint32_t n = f->how == SERIAL_READ ? 0 : (uint32_t)strlen(word);

    serial_u32_to(f, &n, (uint32_t)max - 1);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t letter = (uint8_t)word[i];

        serial_byte_to(f, &letter, UINT8_MAX);
        if (letter == 0) f->is_bad = true;
        word[i] = (char)letter;
    }
    word[n] = 0;
}

static void visit(struct serial *f, struct label *label)
{
    uint32_t groups = label->groups | (label->session[0] ? SESSION_FOLLOWS : 0);

    serial_u64(f, &label->decoder_id);
    for (size_t i = 0; i < sizeof label->sha256; i++)
        serial_byte_to(f, &label->sha256[i], UINT8_MAX);
    serial_u32(f, &groups);
    label->groups = groups & ~SESSION_FOLLOWS;
    visit_word(f, label->mode, sizeof label->mode);
    visit_word(f, label->precision, sizeof label->precision);
    visit_word(f, label->path, sizeof label->path);
    if (groups & SESSION_FOLLOWS) visit_word(f, label->session, sizeof label->session);
}

void label_of(struct label *out, const latent_decoder *d, const struct latent_info *info)
{
    char whole[PATH_MAX];
    const char *session = latent_decoder_session(d);

    *out = (struct label){.decoder_id = latent_decoder_id(d), .groups = latent_decoder_groups(d)};
    memcpy(out->sha256, info->sha256, sizeof out->sha256);
    snprintf(out->mode, sizeof out->mode, "%s", latent_decoder_mode(d)->name);
    snprintf(out->precision, sizeof out->precision, "%s", latent_decoder_precision(d));
    snprintf(out->session, sizeof out->session, "%s", session ? session : "");
    snprintf(out->path, sizeof out->path, "%s", realpath(info->path, whole) ? whole : info->path);
}

size_t label_size(const struct label *label)
{
    struct serial f = {.how = SERIAL_COUNT};
    struct label same = *label;

    visit(&f, &same);
    return f.at;
}

void label_write(const struct label *label, unsigned char *bytes)
{
    struct serial f = {.how = SERIAL_WRITE, .to = bytes, .n_bytes = label_size(label)};
    struct label same = *label;

    visit(&f, &same);
}

bool label_read(struct label *out, const void *bytes, size_t n, size_t *n_label)
{
    struct serial f = {.how = SERIAL_READ, .from = bytes, .n_bytes = n};

    *out = (struct label){0};
    visit(&f, out);
    *n_label = f.at;
    return !f.is_bad;
}
