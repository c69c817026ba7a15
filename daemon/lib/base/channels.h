/* Sets of channels: a bit each (bit c % 8 of byte c / 8 is channel c), and as people write them:
 * "3,17,40-43". Channels are counted from 0. */
#ifndef BASE_CHANNELS_H
#define BASE_CHANNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a set over n_channels. */
size_t channels_bytes(size_t n_channels);
bool channels_has(const uint8_t *set, size_t channel);
void channels_set(uint8_t *set, size_t channel, bool is_in);
size_t channels_count(const uint8_t *set, size_t n_channels);
/* Add the channels of a list to set, or take them out. false: not such a list, or a channel that is
 * not below n_channels; why [n_why] then says it, and set is as before up to there. */
bool channels_read(const char *list, bool is_in, uint8_t *set, size_t n_channels, char *why,
                   size_t n_why);
/* As a list, which ends with " ..." where it is longer than n bytes; "none" when empty. */
void channels_write(const uint8_t *set, size_t n_channels, char *list, size_t n);

#endif
