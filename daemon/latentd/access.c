/* Who may come in where. */
#include "latentd/access.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

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
    return (client->roles & doors[door].roles) != 0;
}

const struct access_client *access_find_key(const struct access *a, const uint8_t key[KEY_BYTES])
{
    for (size_t i = 0; i < a->n_clients; i++)
        if (memcmp(a->clients[i].key, key, KEY_BYTES) == 0) return &a->clients[i];
    return NULL;
}

const struct access_client *access_find_name(const struct access *a, const char *name)
{
    for (size_t i = 0; i < a->n_clients; i++)
        if (strcmp(a->clients[i].name, name) == 0) return &a->clients[i];
    return NULL;
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
static int check_owner(const struct access *a, struct conf *c, unsigned line,
                       const uint8_t key[KEY_BYTES])
{
    const struct access_client *other = access_find_key(a, key);

    if (!other) return 0;
    conf_problem(c, line, "public-key",
                 "is also the key of [client %s]; give each client a key of its own", other->name);
    return -1;
}

static int read_client(struct access *a, struct conf *c, const struct conf_client_section *s)
{
    struct access_client client = {.name = s->name, .roles = s->values.roles};
    unsigned line = conf_line(&s->lines, CONF_CLIENT, "public-key");
    char *path = conf_path_of(c, s->values.public_key);
    struct latent_error err = {0};
    int status = key_file_read_public(path, client.key, &err);

    free(path);
    if (status) conf_problem(c, line, "public-key", "%s", err.text);
    if (!status) status = check_owner(a, c, line, client.key);
    if (!status) a->clients[a->n_clients++] = client;
    return status;
}

int access_open(struct access *a, struct conf *c)
{
    int status;

    *a = (struct access){.clients = memory_need(calloc(c->n_clients + 1, sizeof *a->clients))};
    status = read_own(a, c);
    for (size_t i = 0; i < c->n_clients; i++)
        if (read_client(a, c, &c->clients[i])) status = -1;
    return status;
}

void access_close(struct access *a)
{
    key_pair_forget(&a->own);
    free(a->clients);
    *a = (struct access){0};
}
