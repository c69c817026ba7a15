/* In place of why_record.c in a build without SQLite. */
#include "base/text.h"
#include "latentctl/why_record.h"

int why_record_show(const struct why_record_wish *wish, struct latent_error *err)
{
    return error_text(err, LATENT_E_UNSUPPORTED,
                      "%.200s: this latentctl cannot read records: it was built without SQLite. "
                      "Build it with LATENT_SQLITE=ON, or ask on another machine",
                      wish->record);
}
