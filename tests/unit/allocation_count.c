/* The program's own malloc and free stand before the C library's, for every library it
 * loads; under a sanitizer, whose own they are, its hooks tell. */
#include "allocation_count.h"

#include <errno.h>
#include <stdbool.h>

static __thread bool is_counting;
static __thread size_t n_calls;

void allocation_count_start(void)
{
    n_calls = 0;
    is_counting = true;
}

size_t allocation_count_stop(void)
{
    is_counting = false;
    return n_calls;
}

static void count(void)
{
    if (is_counting) n_calls++;
}

#if ALLOCATION_COUNT_SANITIZED

int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));

static void on_malloc(const volatile void *memory, size_t n)
{
    (void)memory;
    (void)n;
    count();
}

static void on_free(const volatile void *memory)
{
    if (memory) count();
}

__attribute__((constructor)) static void install_hooks(void)
{
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}

#else

#pragma GCC visibility push(default) /* libraries must find them */

/* glibc's own, under the names it keeps for programs such as this one. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *memory, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
void __libc_free(void *memory);

void *malloc(size_t n);
void *calloc(size_t n, size_t size);
void *realloc(void *memory, size_t n);
void *aligned_alloc(size_t alignment, size_t n);
void *memalign(size_t alignment, size_t n);
int posix_memalign(void **memory, size_t alignment, size_t n);
void free(void *memory);

void *malloc(size_t n)
{
    count();
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    count();
    return __libc_calloc(n, size);
}

void *realloc(void *memory, size_t n)
{
    count();
    return __libc_realloc(memory, n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    count();
    return __libc_memalign(alignment, n);
}

void *memalign(size_t alignment, size_t n)
{
    count();
    return __libc_memalign(alignment, n);
}

int posix_memalign(void **memory, size_t alignment, size_t n)
{
    count();
    *memory = __libc_memalign(alignment, n);
    return *memory ? 0 : ENOMEM;
}

void free(void *memory)
{
    if (memory) count();
    __libc_free(memory);
}

#pragma GCC visibility pop

#endif
