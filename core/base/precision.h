/* How a model's matrices are held. Everything else of a model stays float32. */
#ifndef LATENT_PRECISION_H
#define LATENT_PRECISION_H

enum precision { PRECISION_F32, PRECISION_BF16, PRECISION_INT8 };
#define N_PRECISIONS 3

/* "f32", "bf16", "int8". */
const char *precision_name(enum precision p);
/* The precision of that name, or -1. */
int precision_find(const char *name);

#endif
