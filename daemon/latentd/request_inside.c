/* The answer to a request, in words. */
#include "latentd/request_inside.h"

#include <stdarg.h>
#include <stdio.h>

void request_say(struct request *r, enum control_code code, const char *format, ...)
{
    va_list args;

    r->reply.code = code;
    va_start(args, format);
    vsnprintf(r->text, sizeof r->text, format, args);
    va_end(args);
}
