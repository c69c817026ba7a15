/* Who may come in where. */
#include "latentd/access.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t roles; /* each of them opens it */
} doors[ACCESS_N_DOORS] = {
    [ACCESS_INPUT] = {"input", CONF_SOURCE},
    [ACCESS_OUTPUT] = {"output", CONF_CONSUMER | CONF_MONITOR},
    [ACCESS_CONTROL] = {"control", CONF_OPERATOR | CONF_MONITOR},
};

const char *access_door_name(enum access_door door)
{
    assert(door < ACCESS_N_DOORS);
    return doors[door].name;
}

enum access_door access_door_named(const char *name, size_t n)
{
    enum access_door door = 0;

    while (door < ACCESS_N_DOORS &&
           (strlen(doors[door].name) != n || memcmp(doors[door].name, name, n) != 0))
        door++;
    return door;
}

bool access_admits(const struct access_client *client, enum access_door door)
{
    assert(door < ACCESS_N_DOORS);
    return client && (client->roles & doors[door].roles) != 0;
}

/* ---- finding ---- */

static const struct access_client *find_key(const struct access_clients *clients,
                                            const uint8_t key[KEY_BYTES])
{
    for (size_t i = 0; i < clients->n; i++)
        if (memcmp(clients->client[i].key, key, KEY_BYTES) == 0) return &clients->client[i];
    return NULL;
}

const struct access_client *access_find_key(const struct access *a, const uint8_t key[KEY_BYTES])
{
    return find_key(atomic_load_explicit(&a->clients, memory_order_acquire), key);
}

const struct access_client *access_find_user(const struct access *a, const char *user)
{
    const struct access_clients *clients = atomic_load_explicit(&a->clients, memory_order_acquire);

    for (size_t i = 0; user && i < clients->n; i++)
        if (strcmp(clients->client[i].user, user) == 0) return &clients->client[i];
    return NULL;
}

bool access_is_narrower(const struct access_clients *before, const struct access_clients *after,
                        enum access_door door)
{
    for (size_t i = 0; i < before->n; i++)
        if (access_admits(&before->client[i], door) &&
            !access_admits(find_key(after, before->client[i].key), door))
            return true;
    return false;
}

void access_secure(const struct access *a, enum access_door door, const uint8_t *server_key,
                   struct socket_end *end)
{
    bool is_tcp = strncmp(end->endpoint, "tcp://", strlen("tcp://")) == 0;

    if (end->bind ? !(a->encrypts && is_tcp) : !server_key) return;
    end->own = &a->own;
    end->server_key = end->bind ? NULL : server_key;
    end->zap_domain = end->bind ? access_door_name(door) : NULL;
}

/* ---- reading ---- */

static int read_own(struct access *a, struct conf *c)
{
    struct latent_error err = {0};
    char *path;
    int status;

    if (!c->daemon.secret_key) return 0;
    path = conf_path_of(c, c->daemon.secret_key);
    status = key_file_read_pair(path, &a->own, &err);
    free(path);
    a->encrypts = !status;
    if (!status) return 0;
    conf_problem(c, conf_line(&c->daemon_lines, CONF_DAEMON, "secret-key"), "secret-key", "%s",
                 err.text);
    return -1;
}

/* The key decides what its owner may do: it must not have two owners. */
static int check_owner(const struct access_clients *clients, struct conf *c, unsigned line,
                       const uint8_t key[KEY_BYTES])
{
    const struct access_client *other = find_key(clients, key);

    if (!other) return 0;
    conf_problem(c, line, "public-key",
                 "is also the key of [client %s]; give each client a key of its own", other->name);
    return -1;
}

static int read_client(struct access_clients *clients, struct conf *c,
                       const struct conf_client_section *s)
{
    struct access_client *client = &clients->client[clients->n];
    unsigned line = conf_line(&s->lines, CONF_CLIENT, "public-key");
    char *path = conf_path_of(c, s->values.public_key);
    struct latent_error err = {0};
    int status = key_file_read_public(path, client->key, &err);

    free(path);
    if (status) conf_problem(c, line, "public-key", "%s", err.text);
    if (!status) status = check_owner(clients, c, line, client->key);
    if (status) return status;
    snprintf(client->name, sizeof client->name, "%s", s->name);
    client->roles = s->values.roles;
    key_text(client->key, client->user);
    clients->n++;
    return 0;
}

int access_read(struct access_clients **out, struct conf *c)
{
    struct access_clients *clients =
        calloc(1, sizeof *clients + c->n_clients * sizeof clients->client[0]);
    int status = 0;

    *out = NULL;
    if (!clients) {
        conf_problem(c, 0, NULL, "out of memory for %zu clients", c->n_clients);
        return -1;
    }
    for (size_t i = 0; i < c->n_clients; i++)
        if (read_client(clients, c, &c->clients[i])) status = -1;
    if (status)
        free(clients);
    else
        *out = clients;
    return status;
}

void access_replace(struct access *a, struct access_clients *clients)
{
    clients->before = atomic_load_explicit(&a->clients, memory_order_relaxed);
    atomic_store_explicit(&a->clients, clients, memory_order_release);
}

int access_open(struct access *a, struct conf *c)
{
    struct access_clients *clients;
    int own, others;

    *a = (struct access){.encrypts = false};
    own = read_own(a, c);
    others = access_read(&clients, c);
    if (clients) access_replace(a, clients);
    return own ? own : others;
}

void access_close(struct access *a)
{
    struct access_clients *clients = atomic_load_explicit(&a->clients, memory_order_relaxed);

    key_pair_forget(&a->own);
    while (clients) {
        struct access_clients *before = clients->before;

        free(clients);
        clients = before;
    }
    *a = (struct access){.encrypts = false};
}
