/* Reckoned from what was received, not taken on trust. */
#include "control/balance.h"

bool is_balanced(Latent__V1__Counter *const *counter, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 1; i < n; i++) sum += counter[i]->value;
    return n > 0 && counter[0]->value == sum;
}
