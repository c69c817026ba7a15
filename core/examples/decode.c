/* Latents, rates (Hz) and readout, a line per bin: decode MODEL.safetensors <COUNTS.txt */
#include "latent.h"
#include <stdio.h>

int main(int argc, char **argv)
{
    static float counts[65536]; /* no model has more channels */
    struct latent_bin bin = {.counts = counts};
    struct latent_error error = {.text = "usage: decode MODEL.safetensors <COUNTS.txt"};
    struct latent_info info;
    struct latent_frame f;
    latent_model *model;
    latent_decoder *decoder;

    if (argc != 2 || latent_model_open(&model, argv[1], &error) ||
        latent_decoder_new(&decoder, model, NULL, &error))
        return fprintf(stderr, "%s\n", error.text), 1;
    latent_model_info(model, &info);
    while (scanf("%f", &counts[bin.n_channels]) == 1) { // NOLINT(cert-err34-c): step refuses inf
        if (++bin.n_channels < info.n_channels) continue;
        if (latent_decoder_step(decoder, &bin, &f)) return fputs("a bin was refused\n", stderr), 1;
        bin = (struct latent_bin){.counts = counts, .seq = bin.seq + 1};
        for (uint32_t i = 0; i < f.n_latents; i++) printf("%.9g ", (double)f.latents[i]);
        for (uint32_t i = 0; i < f.n_rates; i++) printf("%.9g ", (double)f.rates[i]);
        for (uint32_t i = 0; i < f.n_readout; i++) printf("%.9g ", (double)f.readout[i]);
        printf("\n");
    }
    return bin.n_channels ? fputs("the last bin is not whole\n", stderr), 1 : 0;
}
