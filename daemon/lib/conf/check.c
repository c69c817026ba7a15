/* Sections and keys that must fit each other. */
#include "conf/check.h"

#include <string.h>

#include "conf/types.h"

static void check_required(struct conf *c, const struct conf_stream_section *s)
{
    const struct conf_key *model = conf_find(CONF_STREAM, "model");

    if (s->lines.key[model - conf_keys(CONF_STREAM)]) return;
    conf_stream_problem(c, s, "model", "missing in [stream %s]; write the path of a model file",
                        s->name);
}

/* The readout must be able to get to neutral before the lease is over. */
static void check_lease(struct conf *c, const struct conf_stream_section *s)
{
    if (s->values.lease_ns == 0 || s->values.safe_ramp_ns <= s->values.lease_ns) return;
    conf_stream_problem(c, s, "safe-ramp-ms",
                        "%.12g is longer than lease-ms (%.12g), within which the ramp must end",
                        (double)s->values.safe_ramp_ns / 1e6, (double)s->values.lease_ns / 1e6);
}

/* encrypting: the key that would do it, for the text. */
static void check_plaintext(struct conf *c, unsigned line, const char *key, const char *endpoint,
                            const char *encrypting)
{
    if (c->daemon.plaintext == CONF_PLAINTEXT_ANYWHERE) return;
    if (endpoint_is_local(endpoint)) return;
    conf_problem(c, line, key,
                 "%s can be reached from other machines, unencrypted; use an address of "
                 "127.0.0.0/8 or ipc://, set %s, or set [latentd] plaintext = anywhere",
                 endpoint, encrypting);
}

/* One socket of a stream: what is bound is encrypted by our own key, what connects by that of the
 * peer. */
struct end {
    const char *key, *endpoint, *server_key_key, *server_key;
    uint32_t attach; /* enum conf_attach */
};

static void check_server_key(struct conf *c, const struct conf_stream_section *s,
                             const struct end *e)
{
    if (!e->server_key) return;
    if (e->attach == CONF_BIND)
        conf_stream_problem(c, s, e->server_key_key,
                            "is for %s-attach = connect; who may connect to a socket "
                            "that is bound is said by [client NAME] sections",
                            e->key);
    else if (!c->daemon.secret_key)
        conf_stream_problem(c, s, e->server_key_key,
                            "needs [latentd] secret-key, the key that latentd presents there");
}

static void check_end(struct conf *c, const struct conf_stream_section *s, const struct end *e)
{
    bool binds = e->attach == CONF_BIND;

    if (!(binds ? c->daemon.secret_key : e->server_key))
        check_plaintext(c, conf_line(&s->lines, CONF_STREAM, e->key), e->key, e->endpoint,
                        binds ? "[latentd] secret-key" : e->server_key_key);
    check_server_key(c, s, e);
    if (!binds && endpoint_is_wildcard(e->endpoint))
        conf_stream_problem(c, s, e->key, "%s: connect needs a port number", e->endpoint);
}

static void check_endpoints(struct conf *c, const struct conf_stream_section *s)
{
    const struct conf_stream *v = &s->values;
    const struct end input = {"input", v->input, "input-server-key", v->input_server_key,
                              v->input_attach};
    const struct end output = {"output", v->output, "output-server-key", v->output_server_key,
                               v->output_attach};

    check_end(c, s, &input);
    check_end(c, s, &output);
}

/* What the daemon binds, for the texts: an endpoint, and what is bound there. */
struct binding {
    const char *key, *endpoint;
    const struct conf_stream_section *section; /* NULL: [latentd] */
};

static size_t bindings_of(const struct conf_stream_section *s, struct binding out[2])
{
    size_t n = 0;

    if (s->values.input_attach == CONF_BIND)
        out[n++] = (struct binding){"input", s->values.input, s};
    if (s->values.output_attach == CONF_BIND)
        out[n++] = (struct binding){"output", s->values.output, s};
    return n;
}

/* The same key with the same text is one socket, shared. */
static void check_clash(struct conf *c, const struct binding *a, const struct binding *b)
{
    bool is_shared = strcmp(a->key, b->key) == 0 && strcmp(a->endpoint, b->endpoint) == 0;

    if (is_shared || !endpoints_clash(a->endpoint, b->endpoint)) return;
    conf_stream_problem(c, a->section, a->key,
                        "%s cannot be bound twice: it is also %s of [%s%s]; choose "
                        "another endpoint",
                        a->endpoint, b->key, b->section ? "stream " : "latentd",
                        b->section ? b->section->name : "");
}

static void check_clashes(struct conf *c, size_t i)
{
    const struct binding control = {"control", c->daemon.control, NULL};
    struct binding own[2], other[2];
    size_t n_own = bindings_of(&c->streams[i], own);

    for (size_t k = 0; k < n_own; k++) {
        check_clash(c, &own[k], &control);
        for (size_t j = 0; j < i; j++) {
            size_t n_other = bindings_of(&c->streams[j], other);

            for (size_t m = 0; m < n_other; m++) check_clash(c, &own[k], &other[m]);
        }
    }
    if (n_own == 2) check_clash(c, &own[1], &own[0]);
}

/* A socket belongs to one thread and is of one kind: streams that name it must agree. */
static void check_shared(struct conf *c, const struct conf_stream_section *s,
                         const struct conf_stream_section *other, const char *key, bool agree)
{
    if (agree) return;
    conf_stream_problem(c, s, key,
                        "differs from [stream %s], which uses the same socket; make them "
                        "equal, or give the streams different endpoints",
                        other->name);
}

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void check_pair(struct conf *c, const struct conf_stream_section *s,
                       const struct conf_stream_section *other)
{
    const struct conf_stream *a = &s->values, *b = &other->values;
    bool same_input = strcmp(a->input, b->input) == 0;
    bool same_output = strcmp(a->output, b->output) == 0;
    bool same_loop = strcmp(a->loop, b->loop) == 0;

    if (same_input) {
        check_shared(c, s, other, "input-socket", a->input_socket == b->input_socket);
        check_shared(c, s, other, "input-attach", a->input_attach == b->input_attach);
        check_shared(c, s, other, "input-server-key",
                     is_same_text(a->input_server_key, b->input_server_key));
    }
    if (same_output) {
        check_shared(c, s, other, "output-attach", a->output_attach == b->output_attach);
        check_shared(c, s, other, "output-server-key",
                     is_same_text(a->output_server_key, b->output_server_key));
    }
    if (same_input || same_output) check_shared(c, s, other, "loop", same_loop);
}

/* Each stream against the first that shares a socket with it: one disagreement, one text. */
static void check_sharing(struct conf *c, size_t i)
{
    const struct conf_stream_section *s = &c->streams[i];

    for (size_t k = 0; k < i; k++) {
        const struct conf_stream_section *other = &c->streams[k];

        if (strcmp(s->values.input, other->values.input) != 0 &&
            strcmp(s->values.output, other->values.output) != 0)
            continue;
        check_pair(c, s, other);
        return;
    }
}

/* A loop is one thread: its streams agree on where it runs. */
static void check_cpu(struct conf *c, size_t i)
{
    const struct conf_stream_section *s = &c->streams[i];

    for (size_t k = 0; k < i; k++) {
        const struct conf_stream_section *other = &c->streams[k];

        if (strcmp(s->values.loop, other->values.loop) != 0) continue;
        if (s->values.cpu != other->values.cpu)
            conf_stream_problem(c, s, "cpu",
                                "differs from [stream %s], which runs in the same "
                                "loop; make them equal, or give them different loops",
                                other->name);
        return;
    }
}

static void check_control(struct conf *c)
{
    unsigned line = conf_line(&c->daemon_lines, CONF_DAEMON, "control");

    if (c->daemon.secret_key) return;
    check_plaintext(c, line, "control", c->daemon.control, "[latentd] secret-key");
}

/* It is replaced and removed: by its name it is nothing else's. */
static void check_safe_file(struct conf *c)
{
    const char *path = c->daemon.safe_file;
    size_t n = path ? strlen(path) : 0;

    if (!path || (n > 5 && strcmp(path + n - 5, ".safe") == 0)) return;
    conf_problem(c, conf_line(&c->daemon_lines, CONF_DAEMON, "safe-file"), "safe-file",
                 "%s: expected a name that ends in .safe: the file is latentd's own, to replace "
                 "and to remove",
                 path);
}

static void check_given(struct conf *c, const struct conf_client_section *s, const char *key)
{
    if (conf_is_given(&s->lines, CONF_CLIENT, key)) return;
    conf_problem(c, s->lines.section, key, "missing in [client %s]", s->name);
}

/* Roles that nothing holds would be worse than none. */
static void check_client(struct conf *c, const struct conf_client_section *s)
{
    check_given(c, s, "public-key");
    check_given(c, s, "roles");
    if (c->daemon.secret_key) return;
    conf_problem(c, s->lines.section, NULL,
                 "[client %s] means nothing without [latentd] secret-key: nothing is "
                 "encrypted, and whoever can connect may do everything",
                 s->name);
}

void conf_check(struct conf *c)
{
    check_control(c);
    check_safe_file(c);
    if (c->n_streams == 0)
        conf_problem(c, 0, NULL, "no stream; add a section [stream NAME] with a model");
    for (size_t i = 0; i < c->n_streams; i++) {
        check_required(c, &c->streams[i]);
        check_endpoints(c, &c->streams[i]);
        check_lease(c, &c->streams[i]);
        check_sharing(c, i);
        check_clashes(c, i);
        check_cpu(c, i);
    }
    for (size_t i = 0; i < c->n_clients; i++) check_client(c, &c->clients[i]);
}

/* ---- times against the model ---- */

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

static bool lease_fits(struct conf *c, const struct conf_stream_section *s, uint64_t bin_ns)
{
    const struct conf_stream *v = &s->values;

    if (v->lease_ns >= v->safe_ramp_ns + bin_ns) return true;
    conf_stream_problem(c, s, "lease-ms",
                        "%.12g is too short for bins of %.12g ms: with safe-ramp-ms = "
                        "%.12g it must be at least %.12g",
                        ms(v->lease_ns), ms(bin_ns), ms(v->safe_ramp_ns),
                        ms(v->safe_ramp_ns + bin_ns));
    return false;
}

/* With on-missing = skip nothing is to follow the last frame. */
static bool valid_for_reaches(struct conf *c, const struct conf_stream_section *s, uint64_t bin_ns)
{
    const struct conf_stream *v = &s->values;
    bool is_bin = bin_ns > v->missing_after_ns;
    uint64_t apart_ns = is_bin ? bin_ns : v->missing_after_ns;

    if (v->on_missing == ON_MISSING_SKIP || v->valid_for_ns >= apart_ns) return true;
    conf_stream_problem(c, s, "valid-for-ms",
                        "%.12g: a frame expires before the next that belongs to it, %.12g ms later "
                        "(%s), and the readout jumps to neutral between; expected at least that, "
                        "or on-missing = skip",
                        ms(v->valid_for_ns), ms(apart_ns), is_bin ? "a bin" : "missing-after-ms");
    return false;
}

/* Of a model that strides the next frame with values comes every_bins later, or after a gap. */
static bool valid_for_strides(struct conf *c, const struct conf_stream_section *s, uint64_t bin_ns,
                              uint32_t every_bins)
{
    const struct conf_stream *v = &s->values;
    uint64_t apart_ns = v->missing_after_ns + every_bins * bin_ns;

    if (v->on_missing == ON_MISSING_SKIP || v->valid_for_ns >= apart_ns) return true;
    conf_stream_problem(c, s, "valid-for-ms",
                        "%.12g: the model gives values every %u bins, and they expire before the "
                        "next; expected at least %.12g (missing-after-ms and %u bins), or "
                        "on-missing = skip",
                        ms(v->valid_for_ns), (unsigned)every_bins, ms(apart_ns),
                        (unsigned)every_bins);
    return false;
}

/* Nobody is to act longer on a last frame than its source may be silent, but by his own word. */
static bool valid_for_is_meant(struct conf *c, const struct conf_stream_section *s,
                               bool names_valid_for)
{
    const struct conf_stream *v = &s->values;

    if (names_valid_for || v->valid_for_ns <= v->lease_ns) return true;
    conf_stream_problem(c, s, "lease-ms",
                        "%.12g is shorter than a frame is valid (valid-for-ms = auto is %.12g: "
                        "missing-after-ms and a bin, at least 50); expected a longer lease, a "
                        "shorter missing-after-ms, or valid-for-ms by its number",
                        ms(v->lease_ns), ms(v->valid_for_ns));
    return false;
}

bool conf_check_times(struct conf *c, const struct conf_stream_section *s, uint32_t bin_width_us,
                      uint32_t every_bins, bool names_valid_for)
{
    uint64_t bin_ns = (uint64_t)bin_width_us * 1000;
    bool lease = lease_fits(c, s, bin_ns);
    bool reaches = every_bins > 1 ? valid_for_strides(c, s, bin_ns, every_bins)
                                  : valid_for_reaches(c, s, bin_ns);

    return valid_for_is_meant(c, s, names_valid_for) && lease && reaches;
}
