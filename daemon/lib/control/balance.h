/* Does a ledger add up? */
#ifndef CONTROL_BALANCE_H
#define CONTROL_BALANCE_H

#include <stdbool.h>
#include <stddef.h>

#include "latent.pb-c.h"

/* The first counter of a ledger is the sum of the others. */
bool is_balanced(Latent__V1__Counter *const *counter, size_t n);

#endif
