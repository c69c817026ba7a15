/* Names of statuses, flags, version and kernels; sizes of what is public. */
#include <string.h>

#include "kernels/kernels.h"
#include "latent.h"

#define BIT(flag) __builtin_ctz(flag)

const char *latent_strerror(int status)
{
    static const char *const texts[] = {
        [LATENT_OK] = "done",
        [-LATENT_E_NOMEM] = "out of memory",
        [-LATENT_E_IO] = "file missing, unreadable, or cut while being read",
        [-LATENT_E_FORMAT] = "not a safetensors file, or a damaged one",
        [-LATENT_E_CONFIG] = "latent.config: a key is missing, unknown, or wrong",
        [-LATENT_E_TENSOR] = "a tensor is missing, superfluous, or of the wrong type or shape",
        [-LATENT_E_SELFTEST] = "the known answer in the file was not reproduced",
        [-LATENT_E_UNSUPPORTED] = "not supported by this build, model or decoder",
        [-LATENT_E_SHAPE] = "wrong number of channels, bins or bytes",
        [-LATENT_E_VALUE] = "input that is not of the model's kind: not finite, or no count",
        [-LATENT_E_OUTPUT] = "non-finite output: reset the decoder",
        [-LATENT_E_SNAPSHOT] = "snapshot of another decoder, or damaged",
    };
    int n = (int)(sizeof texts / sizeof *texts);
    return status <= 0 && -status < n ? texts[-status] : "unknown status";
}

const char *latent_flag_name(unsigned bit)
{
    static const char *const names[LATENT_N_FLAGS] = {
        [BIT(LATENT_WARMUP)] = "WARMUP",
        [BIT(LATENT_GAP)] = "GAP",
        [BIT(LATENT_FILLED)] = "FILLED",
        [BIT(LATENT_PREDICTED)] = "PREDICTED",
        [BIT(LATENT_LATE)] = "LATE",
        [BIT(LATENT_HELD)] = "HELD",
        [BIT(LATENT_SAFE)] = "SAFE",
        [BIT(LATENT_RESET)] = "RESET",
        [BIT(LATENT_SWAPPED)] = "SWAPPED",
        [BIT(LATENT_MASKED)] = "MASKED",
        [BIT(LATENT_INPUT_CLIPPED)] = "INPUT_CLIPPED",
        [BIT(LATENT_LIMITED)] = "LIMITED",
        [BIT(LATENT_OUTSIDE)] = "OUTSIDE",
        [BIT(LATENT_AGE_UNKNOWN)] = "AGE_UNKNOWN",
        [BIT(LATENT_NO_SIGNAL)] = "NO_SIGNAL",
        [BIT(LATENT_BETWEEN)] = "BETWEEN",
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

size_t latent_struct_size(const char *name)
{
    static const struct {
        const char *name;
        size_t n_bytes;
    } structs[] = {
        {"latent_error", sizeof(struct latent_error)},
        {"latent_options", sizeof(struct latent_options)},
        {"latent_bin", sizeof(struct latent_bin)},
        {"latent_frame", sizeof(struct latent_frame)},
        {"latent_normalisation", sizeof(struct latent_normalisation)},
        {"latent_readout", sizeof(struct latent_readout)},
        {"latent_mode", sizeof(struct latent_mode)},
        {"latent_info", sizeof(struct latent_info)},
    };

    for (size_t i = 0; i < sizeof structs / sizeof *structs; i++)
        if (strcmp(structs[i].name, name) == 0) return structs[i].n_bytes;
    return 0;
}
