/* Names of precisions. */
#include "base/precision.h"

#include <string.h>

static const char *const names[N_PRECISIONS] = {
    [PRECISION_F32] = "f32",
    [PRECISION_BF16] = "bf16",
    [PRECISION_INT8] = "int8",
};

const char *precision_name(enum precision p)
{
    return names[p];
}

int precision_find(const char *name)
{
    for (int i = 0; i < N_PRECISIONS; i++)
        if (strcmp(names[i], name) == 0) return i;
    return -1;
}
