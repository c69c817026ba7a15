/* Ids and hashes as a record has them: digits, for whoever asks in SQL. */
#ifndef RECORD_HEX_H
#define RECORD_HEX_H

#include <stdbool.h>
#include <stdint.h>

#define HEX_ID_BYTES 17
#define HEX_SHA256_BYTES 65

void hex_of_id(char *text, uint64_t id);               /* [HEX_ID_BYTES] */
void hex_of_sha256(char *text, const uint8_t *sha256); /* [HEX_SHA256_BYTES], of [32] */
/* false: text is NULL, or something else. */
bool hex_to_id(const char *text, uint64_t *id);
bool hex_to_sha256(const char *text, uint8_t *sha256);

#endif
