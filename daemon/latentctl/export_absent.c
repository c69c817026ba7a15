/* In place of export.c in a build without HDF5 or SQLite. */
#include "base/text.h"
#include "latentctl/export.h"

int export_record(const char *record, const char *out, struct latent_error *err)
{
    (void)out;
    return error_text(err, LATENT_E_UNSUPPORTED,
                      "%.200s: this latentctl cannot export records: it was built without HDF5 or "
                      "SQLite. Build it with LATENT_HDF5=ON and LATENT_SQLITE=ON, or export on "
                      "another machine; a record needs no latentd",
                      record);
}
