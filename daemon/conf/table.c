/* Every key: what it is called, what it may be, what it is when not given, what it
 * does. */
#include "conf/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "conf/types.h"
#include "latent.h"

#define MAX_CPU 1023 /* cpu_set_t holds no more */

static const char *const words_yes_no[] = {"no", "yes", NULL};
static const char *const words_plaintext[] = {"loopback", "anywhere", NULL};
static const char *const words_socket[] = {"sub", "pull", NULL};
static const char *const words_attach[] = {"bind", "connect", NULL};
_Static_assert(LATENT_GROUP_LATENTS == 1 && LATENT_GROUP_RATES == 2 &&
                   LATENT_GROUP_READOUT == 4,
               "words_outputs stand in the order of enum latent_group");
static const char *const words_outputs[] = {"latents", "rates", "readout", NULL};
static const char *const words_on_gap[] = {"predict", "reset", NULL};
static const char *const later_on_gap[] = {"zero", "hold-input", "mean", NULL};
static const char *const words_on_late[] = {"publish", NULL};
static const char *const later_on_late[] = {"hold-frame", "skip", "safe", NULL};

static const struct conf_key daemon_keys[] = {
    {.name = "control",
     .type = &conf_endpoint,
     .offset = offsetof(struct conf_daemon, control),
     .value = "ipc:///run/latentd/control",
     .help = "Where latentctl reaches the daemon."},
    {.name = "lock-memory",
     .type = &conf_choice,
     .offset = offsetof(struct conf_daemon, lock_memory),
     .words = words_yes_no,
     .value = "yes",
     .help =
         "Keep all memory out of swap. Needs a memlock limit that holds the models; "
         "if the system refuses, latentd runs on and says so in its status."},
    {.name = "plaintext",
     .type = &conf_choice,
     .offset = offsetof(struct conf_daemon, plaintext),
     .words = words_plaintext,
     .value = "loopback",
     .help = "Where unencrypted TCP is allowed. With loopback, any other address is "
             "refused at start: whoever reaches it could feed a stream or read it."},
    {.name = "realtime-priority",
     .type = &conf_count,
     .offset = offsetof(struct conf_daemon, realtime_priority),
     .min = 1,
     .max = 99,
     .unset = "none",
     .unset_count = 0,
     .value = "none",
     .help =
         "SCHED_FIFO priority of the data loops and of ZeroMQ's threads that serve "
         "them, so that no ordinary process takes the CPU from them. Needs an rtprio "
         "limit; if the system refuses, latentd runs on and says so in its status."},
    {.name = "io-cpu",
     .type = &conf_count,
     .offset = offsetof(struct conf_daemon, io_cpu),
     .min = 0,
     .max = MAX_CPU,
     .unset = "any",
     .unset_count = CONF_ANY_CPU,
     .value = "any",
     .help = "The only CPU on which ZeroMQ's threads that serve the data loops run."},
    {.name = NULL}};

static const struct conf_key stream_keys[] = {
    {.name = "model",
     .type = &conf_path,
     .offset = offsetof(struct conf_stream, model),
     .help =
         "The model file (.safetensors). A relative path starts at the folder of the "
         "configuration file."},
    {.name = "mode",
     .type = &conf_text,
     .offset = offsetof(struct conf_stream, mode),
     .unset = "auto",
     .value = "auto",
     .help = "One of the modes that the model file lists; auto is its first."},
    {.name = "precision",
     .type = &conf_text,
     .offset = offsetof(struct conf_stream, precision),
     .unset = "auto",
     .value = "auto",
     .help = "One of the precisions that the model file lists; auto is its first."},
    {.name = "input",
     .type = &conf_endpoint,
     .offset = offsetof(struct conf_stream, input),
     .value = "tcp://127.0.0.1:5570",
     .help =
         "Where bins come from, topic NAME/bins. Streams with the same input share one "
         "socket."},
    {.name = "input-socket",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, input_socket),
     .words = words_socket,
     .value = "sub",
     .help =
         "sub: from a PUB socket, which drops what nobody takes in time. pull: from a "
         "PUSH socket, which waits."},
    {.name = "input-attach",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, input_attach),
     .words = words_attach,
     .value = "bind",
     .help = "bind: sources connect here. connect: the source is bound there."},
    {.name = "output",
     .type = &conf_endpoint,
     .offset = offsetof(struct conf_stream, output),
     .value = "tcp://127.0.0.1:5571",
     .help =
         "Where frames go, topics NAME/frame and NAME/info, from a PUB socket. Streams "
         "with the same output share one socket."},
    {.name = "output-attach",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, output_attach),
     .words = words_attach,
     .value = "bind",
     .help = "bind: consumers connect here. connect: one consumer is bound there."},
    {.name = "outputs",
     .type = &conf_set,
     .offset = offsetof(struct conf_stream, outputs),
     .words = words_outputs,
     .unset = "all",
     .value = "all",
     .help = "What a frame carries, several words; all is everything the model has."},
    {.name = "budget-ms",
     .type = &conf_milliseconds,
     .offset = offsetof(struct conf_stream, budget_ns),
     .unset = "auto",
     .value = "auto",
     .help =
         "From the arrival of a bin to its publication; above it a frame carries LATE. "
         "auto is half a bin, at most 5."},
    {.name = "valid-for-ms",
     .type = &conf_milliseconds,
     .offset = offsetof(struct conf_stream, valid_for_ns),
     .unset = "auto",
     .value = "auto",
     .help =
         "How long after its publication a consumer may act on a frame. auto is three "
         "bins, at least 50."},
    {.name = "on-gap",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, on_gap),
     .words = words_on_gap,
     .later = later_on_gap,
     .value = "predict",
     .help =
         "What to do about missing bins. predict: the model goes on without input, one "
         "frame per missing bin. reset: start anew."},
    {.name = "max-gap-ms",
     .type = &conf_milliseconds,
     .offset = offsetof(struct conf_stream, max_gap_ns),
     .value = "500",
     .help = "A longer gap resets, whatever on-gap says."},
    {.name = "reorder-window",
     .type = &conf_count,
     .offset = offsetof(struct conf_stream, reorder_window),
     .min = 1,
     .max = 1024,
     .value = "16",
     .help =
         "Bins. A missing bin that comes this late counts as reordered, else as lost; "
         "a bin that comes twice within it counts as duplicate, else as stale."},
    {.name = "on-late",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, on_late),
     .words = words_on_late,
     .later = later_on_late,
     .value = "publish",
     .help = "What to send after a step that ran over its budget."},
    {.name = "record",
     .type = &conf_path,
     .offset = offsetof(struct conf_stream, record),
     .unset = "none",
     .value = "none",
     .help =
         "File that everything of the stream is recorded into from the start, so that "
         "it can be verified and exported. A relative path starts at the folder of the "
         "configuration file; %Y, %m, %d, %H, %M, %S become the time of the start, "
         "UTC. A file that exists is never replaced: a number is added to the name."},
    {.name = "record-sync-ms",
     .type = &conf_milliseconds,
     .offset = offsetof(struct conf_stream, record_sync_ns),
     .value = "100",
     .help = "What the record loses at most if latentd is killed."},
    {.name = "record-buffer-mib",
     .type = &conf_count,
     .offset = offsetof(struct conf_stream, record_buffer_mib),
     .min = 1,
     .max = 1024,
     .value = "16",
     .help =
         "Memory that bridges a slow disk. When it fills, frames are left out of the "
         "record (they can be computed again); when it is full, there is a gap."},
    {.name = "loop",
     .type = &conf_loop,
     .offset = offsetof(struct conf_stream, loop),
     .value = "0",
     .help =
         "Name or number of the data loop, a thread, that serves the stream. Streams "
         "that share a socket share a loop."},
    {.name = "cpu",
     .type = &conf_count,
     .offset = offsetof(struct conf_stream, cpu),
     .min = 0,
     .max = MAX_CPU,
     .unset = "any",
     .unset_count = CONF_ANY_CPU,
     .value = "any",
     .help = "The only CPU on which the stream's loop runs. Streams that share a loop "
             "agree "
             "on it."},
    {.name = NULL}};

_Static_assert(sizeof stream_keys / sizeof stream_keys[0] - 1 <= CONF_MAX_KEYS,
               "CONF_MAX_KEYS is too small");

static const struct {
    const struct conf_key *keys;
    const char *form;
} sections[CONF_N_SECTIONS] = {
    [CONF_DAEMON] = {daemon_keys, "latentd"},
    [CONF_STREAM] = {stream_keys, "stream NAME"},
};

/* Named in the project's contract, part of a later version. */
static const char *const later_keys[] = {"missing-after", "on-missing",   "lease",
                                         "max-age",       "publish-late", "safe-ramp",
                                         "safe-exit",     "admission",    NULL};

const struct conf_key *conf_keys(enum conf_section section)
{
    assert(section < CONF_N_SECTIONS);
    return sections[section].keys;
}

const char *conf_section_form(enum conf_section section)
{
    assert(section < CONF_N_SECTIONS);
    return sections[section].form;
}

const struct conf_key *conf_find(enum conf_section section, const char *name)
{
    for (const struct conf_key *key = conf_keys(section); key->name; key++)
        if (strcmp(key->name, name) == 0) return key;
    return NULL;
}

bool conf_is_later_key(const char *name)
{
    for (const char *const *later = later_keys; *later; later++) {
        size_t n = strlen(*later);

        if (strncmp(name, *later, n) != 0) continue;
        if (name[n] == '\0' || strcmp(name + n, "-ms") == 0) return true;
    }
    return false;
}

void conf_set_defaults(enum conf_section section, void *values)
{
    char text[CONF_MAX_VALUE];

    for (const struct conf_key *key = conf_keys(section); key->name; key++) {
        bool good = !key->value || key->type->set(key, (char *)values + key->offset,
                                                  key->value, text, sizeof text);
        assert(good);
        (void)good;
    }
}

void conf_free_values(enum conf_section section, void *values)
{
    for (const struct conf_key *key = conf_keys(section); key->name; key++) {
        if (!key->type->owns_text) continue;
        free(*(char **)((char *)values + key->offset));
    }
}
