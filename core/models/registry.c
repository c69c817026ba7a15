/* The architectures, one row each: models/NAME.c defines NAME_ops. */
#include <string.h>

#include "models/model.h"

#define ARCHITECTURES(ROW) \
    ROW(dlds)              \
    ROW(gru)               \
    ROW(kalman)            \
    ROW(lfads)             \
    ROW(lowrank)           \
    ROW(marble)            \
    ROW(ndt)               \
    ROW(refit)             \
    ROW(sae)               \
    ROW(smc)               \
    ROW(stack)             \
    ROW(wiener)

#define ROW_EXTERN(name) extern const struct model_ops name##_ops;
#define ROW_OPS(name) &name##_ops,
#define ROW_NAME(name) ", " #name

ARCHITECTURES(ROW_EXTERN)

static const struct model_ops *const registry[] = {ARCHITECTURES(ROW_OPS)};
static const char names[] = ARCHITECTURES(ROW_NAME);

const struct model_ops *model_find(const char *name)
{
    for (size_t i = 0; i < sizeof registry / sizeof registry[0]; i++)
        if (strcmp(registry[i]->name, name) == 0) return registry[i];
    return NULL;
}

const char *model_names(void)
{
    return names + strlen(", ");
}
