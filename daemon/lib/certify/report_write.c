/* A report as a file, in the form that its name asks for. */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "certify/report_inside.h"

int certificate_write(const struct certificate *c, const char *path, struct latent_error *err)
{
    const char *dot = strrchr(path, '.');
    bool is_html = dot && (strcmp(dot, ".html") == 0 || strcmp(dot, ".htm") == 0);
    FILE *out = fopen(path, "we");

    if (!out) return error_text(err, LATENT_E_IO, "%s: %s", path, strerror(errno));
    (is_html ? report_html : report_markdown)(c, out);
    if (fclose(out)) return error_text(err, LATENT_E_IO, "%s: %s", path, strerror(errno));
    return 0;
}
