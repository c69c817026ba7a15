/* Philox4x32-10, and normals from it by Box and Muller in float64. */
#include "layers/draws.h"

#include <math.h>

#define ROUNDS 10

enum stream { STREAM_NORMALS, STREAM_UNIFORM };

void draws_philox(uint32_t words[4], const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t first = 0xD2511F53ull * c0, second = 0xCD9E8D57ull * c2;
        c0 = (uint32_t)(second >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)second;
        c2 = (uint32_t)(first >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)first;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
}

static void block(uint32_t words[4], uint32_t index, enum stream stream, uint64_t seed,
                  uint64_t bin)
{
    const uint32_t counter[4] = {index, stream, (uint32_t)bin, (uint32_t)(bin >> 32)};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    draws_philox(words, counter, key);
}

/* Two normals from two words: radius from the first, angle from the second. */
static void box_muller(double pair[2], uint32_t a, uint32_t b)
{
    double radius = sqrt(-2.0 * log(((double)a + 1.0) * 0x1p-32));
    double angle = 2.0 * M_PI * (double)b * 0x1p-32;
    pair[0] = radius * cos(angle);
    pair[1] = radius * sin(angle);
}

void draws_normals(float *z, size_t n, uint64_t seed, uint64_t bin)
{
    for (size_t i = 0; i < n; i += 4) {
        uint32_t words[4];
        double four[4];
        block(words, (uint32_t)(i / 4), STREAM_NORMALS, seed, bin);
        box_muller(four, words[0], words[1]);
        box_muller(four + 2, words[2], words[3]);
        for (size_t j = 0; j < 4 && i + j < n; j++) z[i + j] = (float)four[j];
    }
}

double draws_uniform(uint64_t seed, uint64_t bin)
{
    uint32_t words[4];
    block(words, 0, STREAM_UNIFORM, seed, bin);
    return ((double)(words[0] >> 5) * 0x1p26 + (double)(words[1] >> 6)) * 0x1p-53;
}
