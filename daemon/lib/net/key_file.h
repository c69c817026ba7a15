/* CURVE keys in files: ZeroMQ certificates as czmq and pyzmq write them. FILE holds the public key,
 * FILE_secret both. */
#ifndef NET_KEY_FILE_H
#define NET_KEY_FILE_H

#include <stdint.h>

#include "latent.h"

#define KEY_BYTES 32
#define KEY_TEXT 41 /* Z85, with the zero */

struct key_pair {
    uint8_t public[KEY_BYTES], secret[KEY_BYTES];
};

/* The key of a peer. The file may not hold a secret key, nor may others write to it. 0, or negative
 * and a text. */
int key_file_read_public(const char *path, uint8_t key[KEY_BYTES], struct latent_error *err);
/* One's own keys. Nobody but their owner may read the file, and the public key must be that of the
 * secret one. 0, or negative and a text; key_pair_forget is due in both cases. */
int key_file_read_pair(const char *path, struct key_pair *pair, struct latent_error *err);
/* Make a new pair and write both files; files that exist are never replaced. */
int key_file_make(const char *path, struct latent_error *err);

/* As people know it. */
void key_text(const uint8_t key[KEY_BYTES], char text[KEY_TEXT]);
/* Out of memory, so that no later mistake can show it. */
void key_pair_forget(struct key_pair *pair);

#endif
