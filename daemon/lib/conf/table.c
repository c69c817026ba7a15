/* Every key: what it is called, what it may be, what it is when not given, what it does. */
#include "conf/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "conf/types.h"
#include "latent.h"

#define MAX_CPU 1023 /* cpu_set_t holds no more */
#define AUTO .unset = "auto", .value = "auto"

static const char *const words_yes_no[] = {[false] = "no", [true] = "yes", NULL};
static const char *const words_plaintext[] = {
    [CONF_PLAINTEXT_LOOPBACK] = "loopback", [CONF_PLAINTEXT_ANYWHERE] = "anywhere", NULL};
static const char *const words_socket[] = {[CONF_SUB] = "sub", [CONF_PULL] = "pull", NULL};
static const char *const words_attach[] = {[CONF_BIND] = "bind", [CONF_CONNECT] = "connect", NULL};
_Static_assert(LATENT_GROUP_LATENTS == 1 && LATENT_GROUP_RATES == 2 && LATENT_GROUP_READOUT == 4 &&
                   LATENT_GROUP_LOGITS == 8,
               "words_outputs stand in the order of enum latent_group");
static const char *const words_outputs[] = {"latents", "rates", "readout", "logits", NULL};
_Static_assert(CONF_SOURCE == 1 && CONF_CONSUMER == 2 && CONF_MONITOR == 4 && CONF_OPERATOR == 8,
               "words_roles stand in the order of enum conf_role");
static const char *const words_roles[] = {"source", "consumer", "monitor", "operator", NULL};
static const char *const words_on_gap[] = {
    [ON_GAP_PREDICT] = "predict", [ON_GAP_ZERO] = "zero",   [ON_GAP_HOLD_INPUT] = "hold-input",
    [ON_GAP_MEAN] = "mean",       [ON_GAP_RESET] = "reset", NULL};
static const char *const words_on_late[] = {[ON_LATE_PUBLISH] = "publish",
                                            [ON_LATE_HOLD_FRAME] = "hold-frame",
                                            [ON_LATE_SKIP] = "skip",
                                            [ON_LATE_SAFE] = "safe",
                                            NULL};
static const char *const words_on_missing[] = {[ON_MISSING_HOLD_FRAME] = "hold-frame",
                                               [ON_MISSING_PREDICT] = "predict",
                                               [ON_MISSING_SAFE] = "safe",
                                               [ON_MISSING_SKIP] = "skip",
                                               NULL};
static const char *const words_on_silent[] = {
    [ON_SILENT_SAFE] = "safe", [ON_SILENT_FLAG] = "flag", NULL};
static const char *const words_source_clock[] = {[SOURCE_CLOCK_OFF] = "off",
                                                 [SOURCE_CLOCK_AUTO] = "auto",
                                                 [SOURCE_CLOCK_MONOTONIC] = "monotonic",
                                                 NULL};
static const char *const words_admission[] = {
    [CONF_ADMISSION_WARN] = "warn", [CONF_ADMISSION_REFUSE] = "refuse", NULL};
static const char *const words_bad_channels[] = {
    [CONF_BAD_OFF] = "off", [CONF_BAD_PROPOSE] = "propose", [CONF_BAD_AUTO] = "auto", NULL};

static const struct conf_key daemon_keys[] = {
    {.name = "control",
     .type = &conf_endpoint,
     .offset = offsetof(struct conf_daemon, control),
     .value = "ipc:///run/latentd/control",
     .help = "Where latentctl reaches the daemon."},
    {.name = "safe-file",
     .type = &conf_path,
     .offset = offsetof(struct conf_daemon, safe_file),
     AUTO,
     .help = "Where it is kept which streams the operator holds in SAFE, so that no restart lets "
             "them go; one latentd's own, its name ends in .safe. auto: beside the control socket "
             "(ENDPOINT.safe), or beside this file (CONFIG.safe) when control is no ipc path. A "
             "file that cannot be read holds every stream. /run is empty after a boot: to hold "
             "SAFE beyond that, name a file elsewhere."},
    {.name = "lock-memory",
     .type = &conf_choice,
     .offset = offsetof(struct conf_daemon, lock_memory),
     .words = words_yes_no,
     .value = "yes",
     .help = "Keep all memory out of swap. Needs a memlock limit that holds the models; "
             "if the system refuses, latentd runs on and says so in its status."},
    {.name = "plaintext",
     .type = &conf_choice,
     .offset = offsetof(struct conf_daemon, plaintext),
     .words = words_plaintext,
     .value = "loopback",
     .help = "Where unencrypted TCP is allowed. With loopback, any other address is "
             "refused at start: whoever reaches it could feed a stream or read it. "
             "With secret-key, TCP is encrypted."},
    {.name = "secret-key",
     .type = &conf_path,
     .offset = offsetof(struct conf_daemon, secret_key),
     .unset = "none",
     .value = "none",
     .help = "latentd's own secret key file, made by latentctl keys. All TCP sockets that "
             "are bound here are then encrypted (CURVE) and open to the keys of [client "
             "NAME] only, each as its roles say; ipc stays as it is. A relative path "
             "starts at the folder of the configuration file."},
    {.name = "realtime-priority",
     .type = &conf_count,
     .offset = offsetof(struct conf_daemon, realtime_priority),
     .min = 1,
     .max = 99,
     .unset = "none",
     .unset_count = 0,
     .value = "none",
     .help = "SCHED_FIFO priority of the data loops and of ZeroMQ's threads that serve "
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
     .help = "The model file (.safetensors). A relative path starts at the folder of the "
             "configuration file."},
    {.name = "mode",
     .type = &conf_text,
     .offset = offsetof(struct conf_stream, mode),
     AUTO,
     .help = "One of the modes that the model file lists; auto is its first."},
    {.name = "precision",
     .type = &conf_text,
     .offset = offsetof(struct conf_stream, precision),
     AUTO,
     .help = "One of the precisions that the model file lists; auto is its first."},
    {.name = "session",
     .type = &conf_text,
     .offset = offsetof(struct conf_stream, session),
     AUTO,
     .help = "The day or subject whose weights decode, of a model file that has several: one must "
             "then be named. auto is the only one of a file that has one, or none."},
    {.name = "input",
     .type = &conf_endpoint,
     .offset = offsetof(struct conf_stream, input),
     .value = "tcp://127.0.0.1:5570",
     .help =
         "Where bins come from, topic NAME/bins. Streams with the same input share one socket."},
    {.name = "input-socket",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, input_socket),
     .words = words_socket,
     .value = "sub",
     .help = "sub: from a PUB socket, which drops what nobody takes in time. pull: from a "
             "PUSH socket, which waits."},
    {.name = "input-attach",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, input_attach),
     .words = words_attach,
     .value = "bind",
     .help = "bind: sources connect here. connect: the source is bound there."},
    {.name = "input-server-key",
     .type = &conf_path,
     .offset = offsetof(struct conf_stream, input_server_key),
     .unset = "none",
     .value = "none",
     .help = "With input-attach = connect: the public key file of the source. The "
             "connection is then encrypted, latentd presents its own key (secret-key), "
             "and nobody else can take that place."},
    {.name = "output",
     .type = &conf_endpoint,
     .offset = offsetof(struct conf_stream, output),
     .value = "tcp://127.0.0.1:5571",
     .help = "Where frames go, topics NAME/frame and NAME/info, from a PUB socket. Streams "
             "with the same output share one socket."},
    {.name = "output-attach",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, output_attach),
     .words = words_attach,
     .value = "bind",
     .help = "bind: consumers connect here. connect: one consumer is bound there."},
    {.name = "output-server-key",
     .type = &conf_path,
     .offset = offsetof(struct conf_stream, output_server_key),
     .unset = "none",
     .value = "none",
     .help = "With output-attach = connect: the public key file of the consumer. The "
             "connection is then encrypted, latentd presents its own key (secret-key), "
             "and nobody else can take that place."},
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
     AUTO,
     .help =
         "From the end of a bin, or where that is not known (source-clock) from its arrival, to "
         "its publication; above it a frame carries LATE. auto is half a bin, at most 5."},
    {.name = "valid-for-ms",
     .type = &conf_milliseconds,
     .offset = offsetof(struct conf_stream, valid_for_ns),
     AUTO,
     .help = "How long after its publication a consumer may act on a frame. auto is "
             "missing-after-ms and a bin (of a model that gives values every N bins: N), at "
             "least 50."},
    {.name = "on-gap",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, on_gap),
     .words = words_on_gap,
     .unset = "auto",
     .unset_count = CONF_AUTO,
     .value = "auto",
     .help = "What the model gets for each missing bin before one that came; each gets a "
             "frame of its own. predict: nothing, its own forecast. zero: no spikes. "
             "hold-input: the last counts that came. mean: the training mean. reset: it "
             "starts anew, without frames. auto is predict, or reset for a model that "
             "predicts from the training mean where its file holds none."},
    {.name = "max-gap-ms",
     .type = &conf_milliseconds,
     .offset = offsetof(struct conf_stream, max_gap_ns),
     .value = "500",
     .help = "A longer gap resets, whatever on-gap says."},
    {.name = "max-jump-ms",
     .type = &conf_milliseconds,
     .offset = offsetof(struct conf_stream, max_jump_ns),
     .value = "10000",
     .help = "A number or time that is further from what came last is refused, until three "
             "messages in a row agree with each other: then the source has restarted. At least "
             "max-gap-ms, whatever stands here."},
    {.name = "reorder-window",
     .type = &conf_count,
     .offset = offsetof(struct conf_stream, reorder_window),
     .min = 1,
     .max = 1024,
     .value = "16",
     .help = "Bins. A missing bin that comes this late counts as reordered, else as lost; "
             "a bin that comes twice within it counts as duplicate, else as stale."},
    {.name = "source-clock",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, source_clock),
     .words = words_source_clock,
     .value = "auto",
     .help = "How the end of a bin, t_source_ns, becomes time of this machine, so that frames tell "
             "their age and max-age-ms and LATE count from there. auto: as it is where the source "
             "says that its clock is this machine's (Bins.clock_id), else by an estimate of its "
             "clock, known 2.3 s after the first bin, unless its times run as no clock does "
             "(more than 500 ppm off). monotonic: as it is, it is CLOCK_MONOTONIC "
             "of this machine. off: not at all, ages are unknown."},
    {.name = "min-delay-us",
     .type = &conf_count,
     .offset = offsetof(struct conf_stream, min_delay_us),
     .min = 0,
     .max = 1000000,
     .value = "0",
     .help = "What every bin takes at least from its end to its arrival: it cannot be seen from "
             "here, and is added to estimated ages."},
    {.name = "on-late",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, on_late),
     .words = words_on_late,
     .value = "publish",
     .help = "What to send for a bin that ran over its budget. publish: its frame, with "
             "LATE. hold-frame: the last one again. skip: nothing. safe: go SAFE."},
    {.name = "max-age-ms",
     .type = &conf_milliseconds,
     .offset = offsetof(struct conf_stream, max_age_ns),
     AUTO,
     .help =
         "A frame whose bin is older than this at its publication, since its end, or where that is "
         "not known (source-clock) since its arrival, is not sent; its bin is decoded all the "
         "same. auto is two bins, at least 20."},
    {.name = "publish-late",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, publish_late),
     .words = words_yes_no,
     .value = "no",
     .help = "yes: send frames whatever their age."},
    {.name = "missing-after-ms",
     .type = &conf_milliseconds,
     .offset = offsetof(struct conf_stream, missing_after_ns),
     AUTO,
     .help = "How long without a bin before on-missing begins. auto is three bins, at least 20."},
    {.name = "on-missing",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, on_missing),
     .words = words_on_missing,
     .value = "hold-frame",
     .help = "What to send, once a bin period, while no bin comes. hold-frame: the last "
             "frame again. predict: the model's forecast, at most max-gap-ms of it. safe: "
             "go SAFE. skip: nothing. When the lease is over, SAFE whatever it is."},
    {.name = "on-silent",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, on_silent),
     .words = words_on_silent,
     .value = "safe",
     .help = "When bins come with nothing in them: no count in any channel, or the same bin again "
             "and again, for three times as long as in training, at least 250 ms (a second where "
             "the model does not say). Frames then carry NO_SIGNAL. safe: after another lease go "
             "SAFE. flag: nothing else."},
    {.name = "lease-ms",
     .type = &conf_milliseconds,
     .offset = offsetof(struct conf_stream, lease_ns),
     AUTO,
     .help = "So long after the last decoded bin the readout is neutral (SAFE). auto is "
             "200, at least the ramp and two bins, and as long as a frame is valid."},
    {.name = "safe-ramp-ms",
     .type = &conf_milliseconds,
     .offset = offsetof(struct conf_stream, safe_ramp_ns),
     .unset = "none",
     .value = "100",
     .help = "Time that SAFE takes from the last readout to neutral; it overrides the "
             "model's slew limit and counts within the lease. none: at once."},
    {.name = "safe-exit",
     .type = &conf_count,
     .offset = offsetof(struct conf_stream, safe_exit),
     .min = 1,
     .max = 1000000,
     .unset = "operator",
     .value = "10",
     .help = "Bins in a row, in time and past warm-up, that end SAFE; operator: only "
             "latentctl safe STREAM off does."},
    {.name = "safe-start",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, safe_start),
     .words = words_yes_no,
     .value = "yes",
     .help =
         "yes: a stream with a readout begins in SAFE, and leaves it as safe-exit says. no: the "
         "first frame is shown; for offline use and tests."},
    {.name = "mask",
     .type = &conf_text,
     .offset = offsetof(struct conf_stream, mask),
     .unset = "none",
     .value = "none",
     .help =
         "Channels that are not believed from the start, like 3,17,40-43 (counted from 0): each "
         "reads as its training mean, whatever comes in it. latentctl channels STREAM --mask "
         "and --unmask change it while latentd runs."},
    {.name = "max-masked",
     .type = &conf_count,
     .offset = offsetof(struct conf_stream, max_masked),
     .min = 0,
     .max = 100,
     .value = "25",
     .help = "Percent of the channels. When more are masked, SAFE until there are no more."},
    {.name = "bad-channels",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, bad_channels),
     .words = words_bad_channels,
     .value = "propose",
     .help = "What is done about channels that died or shout, by the training mean and variance in "
             "the model file (without them nothing is judged, and the status says so). propose: "
             "said in the status and the log (latentctl channels STREAM). auto: masked, too, and "
             "unmasked when they are good again: at most a tenth of the channels, one in half a "
             "second, never against the operator's word; when bad and masked ones are more than "
             "max-masked, all of them at once, which is SAFE."},
    {.name = "contract",
     .type = &conf_count,
     .offset = offsetof(struct conf_stream, contract),
     .min = 1,
     .max = 2,
     .value = "2",
     .help =
         "Which contract frames follow (daemon/lib/line/README.md). 1: as before 2, so that its "
         "records can be verified."},
    {.name = "admission",
     .type = &conf_choice,
     .offset = offsetof(struct conf_stream, admission),
     .words = words_admission,
     .value = "warn",
     .help = "When the slowest step of the trial run before READY exceeds the budget. "
             "warn: a note in the status. refuse: latentd does not start."},
    {.name = "keep-ms",
     .type = &conf_milliseconds,
     .offset = offsetof(struct conf_stream, keep_ns),
     .value = "10000",
     .help = "So long after a promotion (latentctl promote) the decoder before goes on beside the "
             "new one, and comes back by itself when that gives output that is not finite, is "
             "late at 3 bins of 50, or is at a limit of its readout for a second."},
    {.name = "record",
     .type = &conf_path,
     .offset = offsetof(struct conf_stream, record),
     .unset = "none",
     .value = "none",
     .help = "File that everything of the stream is recorded into from the start, so that "
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
     .help = "Memory that bridges a slow disk. When it fills, frames are left out of the "
             "record (they can be computed again); when it is full, there is a gap."},
    {.name = "loop",
     .type = &conf_loop,
     .offset = offsetof(struct conf_stream, loop),
     .value = "0",
     .help = "Name or number of the data loop, a thread, that serves the stream. Streams "
             "that share a socket share a loop."},
    {.name = "cpu",
     .type = &conf_count,
     .offset = offsetof(struct conf_stream, cpu),
     .min = 0,
     .max = MAX_CPU,
     .unset = "any",
     .unset_count = CONF_ANY_CPU,
     .value = "any",
     .help = "The only CPU on which the stream's loop runs. Streams that share a loop agree "
             "on it."},
    {.name = "spin-ms",
     .type = &conf_milliseconds,
     .offset = offsetof(struct conf_stream, spin_ns),
     .unset = "none",
     .value = "none",
     .help = "So long, at most a bin, before and after a bin is expected (one bin after the "
             "last) the loop does not sleep but asks its sockets again and again: no "
             "wake-up delay, for a CPU that is kept busy. Only where the loop and ZeroMQ's "
             "threads each have a CPU of their own."},
    {.name = "warm-ms",
     .type = &conf_milliseconds,
     .offset = offsetof(struct conf_stream, warm_ns),
     .unset = "none",
     .value = "none",
     .help = "So long, at most a bin, before a bin is expected (one bin after the last) "
             "the loop reads the stream's weights and state, which other programs have "
             "pushed out of the caches: the step need not wait for memory. A little "
             "longer than the slowest step is best, and a loop of its own: other streams of "
             "the loop wait meanwhile."},
    {.name = NULL}};

static const struct conf_key client_keys[] = {
    {.name = "public-key",
     .type = &conf_path,
     .offset = offsetof(struct conf_client, public_key),
     .help = "The client's public key file. A relative path starts at the folder of "
             "the configuration file."},
    {.name = "roles",
     .type = &conf_set,
     .offset = offsetof(struct conf_client, roles),
     .words = words_roles,
     .help = "What the owner of the key may do, several words. source: send bins. "
             "consumer: receive frames. monitor: receive frames and ask for the "
             "status. operator: everything that latentctl can."},
    {.name = NULL}};

_Static_assert(sizeof stream_keys / sizeof stream_keys[0] - 1 <= CONF_MAX_KEYS,
               "CONF_MAX_KEYS is too small");

static const struct {
    const struct conf_key *keys;
    const char *form;
} sections[CONF_N_SECTIONS] = {
    [CONF_DAEMON] = {daemon_keys, "latentd"},
    [CONF_STREAM] = {stream_keys, "stream NAME"},
    [CONF_CLIENT] = {client_keys, "client NAME"},
};

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

void conf_set_defaults(enum conf_section section, void *values)
{
    char text[CONF_MAX_VALUE];

    for (const struct conf_key *key = conf_keys(section); key->name; key++) {
        bool good = !key->value || key->type->set(key, (char *)values + key->offset, key->value,
                                                  text, sizeof text);
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
