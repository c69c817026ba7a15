/* ONNX Runtime's C interface by position; see ort_api.h. Errors end the worker. */
#include "ort_api.h"

#include <dlfcn.h>
#include <stdio.h>

#include "worker.h"

struct ort_base {
    void *const *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
};

enum ort_position {
    ORT_GET_ERROR_MESSAGE = 2,
    ORT_CREATE_ENV = 3,
    ORT_CREATE_SESSION = 7,
    ORT_RUN = 9,
    ORT_CREATE_SESSION_OPTIONS = 10,
    ORT_SET_OPTIMIZATION = 23,
    ORT_SET_INTRA_THREADS = 24,
    ORT_SET_INTER_THREADS = 25,
    ORT_CREATE_TENSOR_WITH_DATA = 49,
    ORT_CREATE_CPU_MEMORY_INFO = 69,
};

enum { ORT_ERRORS_ONLY = 3, ORT_OPTIMIZE_ALL = 99, ORT_ARENA = 1, ORT_FLOAT = 1 };

static const struct ort_base *base;
static void *const *api;
static ort_object *env, *memory;

#define CALL(position, ...) ((ort_object * (*)(__VA_ARGS__)) api[position])

static void check(ort_object *status, const char *what)
{
    if (!status) return;
    const char *(*message)(ort_object *) =
        (const char *(*)(ort_object *))api[ORT_GET_ERROR_MESSAGE];
    worker_absent("ONNX Runtime, %s: %s", what, message(status));
}

const char *ort_open(const char *library)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle) return dlerror();
    const struct ort_base *(*get_base)(void) =
        (const struct ort_base *(*)(void))dlsym(handle, "OrtGetApiBase");
    if (!get_base) return "no OrtGetApiBase in the library";
    base = get_base();
    api = base->get_api(1);
    if (!api) return "the library does not offer version 1 of its interface";
    check(CALL(ORT_CREATE_ENV, int, const char *, ort_object **)(ORT_ERRORS_ONLY, "bench", &env),
          "environment");
    check(CALL(ORT_CREATE_CPU_MEMORY_INFO, int, int, ort_object **)(ORT_ARENA, 0, &memory),
          "memory");
    return NULL;
}

const char *ort_version(void)
{
    return base->get_version();
}

ort_object *ort_session(const char *graph)
{
    ort_object *options, *session;
    check(CALL(ORT_CREATE_SESSION_OPTIONS, ort_object **)(&options), "options");
    check(CALL(ORT_SET_INTRA_THREADS, ort_object *, int)(options, 1), "threads");
    check(CALL(ORT_SET_INTER_THREADS, ort_object *, int)(options, 1), "threads");
    check(CALL(ORT_SET_OPTIMIZATION, ort_object *, int)(options, ORT_OPTIMIZE_ALL), "optimisation");
    check(CALL(ORT_CREATE_SESSION, ort_object *, const char *, ort_object *,
               ort_object **)(env, graph, options, &session),
          "session");
    return session;
}

ort_object *ort_tensor(float *data, size_t n_dims, const int64_t *shape)
{
    size_t n_bytes = sizeof *data;
    for (size_t i = 0; i < n_dims; i++) n_bytes *= (size_t)shape[i];
    ort_object *value = NULL;
    check(CALL(ORT_CREATE_TENSOR_WITH_DATA, ort_object *, void *, size_t, const int64_t *, size_t,
               int, ort_object **)(memory, data, n_bytes, shape, n_dims, ORT_FLOAT, &value),
          "tensor");
    return value;
}

void ort_run(ort_object *session, size_t n_in, const char *const *in_names, ort_object *const *in,
             size_t n_out, const char *const *out_names, ort_object **out)
{
    check(CALL(ORT_RUN, ort_object *, ort_object *, const char *const *, ort_object *const *,
               size_t, const char *const *, size_t,
               ort_object **)(session, NULL, in_names, in, n_in, out_names, n_out, out),
          "run");
}
