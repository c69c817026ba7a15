/* Names of statuses, flags, version and kernels. */
#include "kernels/kernels.h"
#include "latent.h"

const char *latent_strerror(int status)
{
    static const char *const texts[] = {
        "done",
        "out of memory",
        "file missing, unreadable, or cut while being read",
        "not a safetensors file, or a damaged one",
        "latent.config: a key is missing, unknown, or wrong",
        "a tensor is missing, superfluous, or of the wrong type or shape",
        "the known answer in the file was not reproduced",
        "not supported by this build or this model",
        "wrong number of channels, bins or bytes",
        "non-finite input",
        "non-finite output: reset the decoder",
        "snapshot of another decoder, or damaged",
    };
    int n = (int)(sizeof texts / sizeof *texts);
    return status <= 0 && -status < n ? texts[-status] : "unknown status";
}

const char *latent_flag_name(unsigned bit)
{
    static const char *const names[LATENT_N_FLAGS] = {
        "WARMUP", "GAP",     "FILLED", "PREDICTED",     "LATE",    "HELD",    "SAFE",
        "RESET",  "SWAPPED", "MASKED", "INPUT_CLIPPED", "LIMITED", "OUTSIDE", "AGE_UNKNOWN",
    };
    return bit < LATENT_N_FLAGS ? names[bit] : NULL;
}

const char *latent_version(void)
{
    return LATENT_VERSION;
}

const char *latent_kernels(void)
{
    return kernels_get()->name;
}
