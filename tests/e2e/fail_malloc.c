/* Preloaded: the allocation number FAIL_AT that the program itself makes fails, and all after it.
 * Those of libraries do not: what they do then is theirs. */
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

static long n_made;

/* Is this address in the same object as the program's entry? */
static int is_program(const void *caller)
{
    Dl_info here, entry;
    return dladdr(caller, &here) && dladdr((void *)getauxval(AT_ENTRY), &entry) &&
           here.dli_fbase == entry.dli_fbase;
}

static int fails(const void *caller)
{
    const char *at = getenv("FAIL_AT");
    if (!at || !is_program(caller) || ++n_made < strtol(at, NULL, 10)) return 0;
    errno = ENOMEM;
    return 1;
}

#define CALLER __builtin_return_address(0)
#define EXPORTED __attribute__((visibility("default")))
/* What would have been called: the heap of the C library, or one that replaces it. */
#define NEXT(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

EXPORTED void *malloc(size_t n)
{
    return fails(CALLER) ? NULL : NEXT(malloc)(n);
}

EXPORTED void *calloc(size_t n, size_t size)
{
    return fails(CALLER) ? NULL : NEXT(calloc)(n, size);
}

EXPORTED void *realloc(void *old, size_t n)
{
    return fails(CALLER) ? NULL : NEXT(realloc)(old, n);
}

EXPORTED void *aligned_alloc(size_t alignment, size_t n)
{
    return fails(CALLER) ? NULL : NEXT(aligned_alloc)(alignment, n);
}

EXPORTED char *strdup(const char *text)
{
    return fails(CALLER) ? NULL : NEXT(strdup)(text);
}
