/* Identity of this machine's monotonic clock: it is one clock from boot to boot. */
#include <ctype.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>

#include "wire.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static uint64_t clock_id_read(void)
{
    unsigned char text[128], hash[crypto_hash_sha256_BYTES];
    size_t n = 0;
    uint64_t id = 0;
    FILE *file = fopen(BOOT_ID, "r");

    if (!file) return 0;
    for (int c = fgetc(file); c != EOF && n < sizeof text; c = fgetc(file))
        if (!isspace(c)) text[n++] = (unsigned char)c;
    fclose(file);
    if (n == 0) return 0;
    crypto_hash_sha256(hash, text, n);
    for (size_t i = 0; i < 8; i++) id = id << 8 | hash[i];
    return id;
}

/* Read once: whoever must not wait for files asks again for nothing. */
uint64_t wire_clock_id(void)
{
    static _Atomic uint64_t known;
    uint64_t id = atomic_load_explicit(&known, memory_order_relaxed);

    if (id == 0) {
        id = clock_id_read();
        atomic_store_explicit(&known, id, memory_order_relaxed);
    }
    return id;
}
