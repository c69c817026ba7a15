/* The end of a program that lacks memory. */
#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void *memory_need(void *memory)
{
    if (memory) return memory;
    fprintf(stderr, "%s: out of memory\n", program_invocation_short_name);
    exit(1);
}
