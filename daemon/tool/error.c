/* Error texts of the command-line tools. */
#include "tool/error.h"

#include <stdarg.h>
#include <stdio.h>

#include "tool/printable.h"

int tool_error(struct latent_error *err, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    err->status = status;
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    printable(err->text);
    return status;
}
