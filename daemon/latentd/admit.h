/* A decoder tried for speed before it is trusted with a stream. */
#ifndef LATENTD_ADMIT_H
#define LATENTD_ADMIT_H

#include "latent.h"
#include "setup/admission.h"

/* Run it on silence, at most 300 bins or 300 ms; its state is as before. failed: of the last step,
 * 0 or what the decoder said. 0, LATENT_E_NOMEM or LATENT_E_SNAPSHOT: its state cannot be kept. */
int admit_run(latent_decoder *d, const struct latent_info *info, struct admission *a, int *failed);

#endif
