/* Making a configuration to measure with, and running latentd on it. */
#include "certify/child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"
#include "conf/read.h"
#include "conf/text.h"
#include "net/key_file.h"

#define READY_MS 120000 /* models are verified and tried before */
#define STOP_S 10

/* ---- the configuration ---- */

static void set_text(char **at, const char *text)
{
    free(*at);
    *at = memory_need(strdup(text));
}

static void set_path(const struct conf *c, char **at)
{
    char *path;

    if (!*at) return;
    path = conf_path_of(c, *at);
    free(*at);
    *at = path;
}

/* A port that nobody has now. */
static unsigned free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) return 0;
    if (bind(fd, (struct sockaddr *)&address, n) ||
        getsockname(fd, (struct sockaddr *)&address, &n))
        address.sin_port = 0;
    close(fd);
    return ntohs(address.sin_port);
}

static void make_endpoint(const struct child *child, const char *model, const char *kind, size_t i,
                          char made[CHILD_ENDPOINT])
{
    if (strncmp(model, "tcp", 3) == 0)
        snprintf(made, CHILD_ENDPOINT, "tcp://127.0.0.1:%u", free_port());
    else
        snprintf(made, CHILD_ENDPOINT, "ipc://%s/%s%zu", child->folder, kind, i);
}

/* Streams that share an endpoint in c share one here. */
static void make_endpoints(struct child *child, const struct conf *c)
{
    for (size_t i = 0; i < c->n_streams; i++) {
        const struct conf_stream *v = &c->streams[i].values;
        struct child_stream *s = &child->streams[i];
        size_t in = 0, out = 0;

        while (strcmp(c->streams[in].values.input, v->input) != 0) in++;
        while (strcmp(c->streams[out].values.output, v->output) != 0) out++;
        if (in == i)
            make_endpoint(child, v->input, "in", i, s->input);
        else
            memcpy(s->input, child->streams[in].input, CHILD_ENDPOINT);
        if (out == i)
            make_endpoint(child, v->output, "out", i, s->output);
        else
            memcpy(s->output, child->streams[out].output, CHILD_ENDPOINT);
    }
}

static void change_stream(const struct conf *c, struct conf_stream *v, const struct child_stream *s)
{
    set_path(c, &v->model);
    set_text(&v->input, s->input);
    set_text(&v->output, s->output);
    v->input_attach = v->output_attach = CONF_BIND;
    free(v->input_server_key);
    free(v->output_server_key);
    free(v->record);
    v->input_server_key = v->output_server_key = v->record = NULL;
}

static void change_clients(struct conf *c, const char *public_key)
{
    struct conf_client_section *client = memory_need(calloc(1, sizeof *client));

    for (size_t i = 0; i < c->n_clients; i++) conf_free_values(CONF_CLIENT, &c->clients[i].values);
    free(c->clients);
    c->clients = client;
    c->n_clients = 1;
    conf_set_defaults(CONF_CLIENT, &client->values);
    snprintf(client->name, sizeof client->name, "certify");
    set_text(&client->values.public_key, public_key);
    client->values.roles = CONF_SOURCE | CONF_CONSUMER;
}

/* latentd's own and those of the one client there is. */
static int make_keys(struct child *child, struct conf *c, struct latent_error *err)
{
    char public_key[CHILD_FILE], secret_key[CHILD_FILE];
    int status;

    snprintf(child->server_key, CHILD_FILE, "%s/latentd", child->folder);
    snprintf(public_key, CHILD_FILE, "%s/certify", child->folder);
    status = key_file_make(child->server_key, err);
    if (!status) status = key_file_make(public_key, err);
    if (status) return status;
    snprintf(secret_key, CHILD_FILE, "%s/latentd_secret", child->folder);
    snprintf(child->key, CHILD_FILE, "%s/certify_secret", child->folder);
    set_text(&c->daemon.secret_key, secret_key);
    change_clients(c, public_key);
    return 0;
}

/* c: to be changed, and written to FOLDER/latentd.conf. */
static int configuration_write(struct child *child, struct conf *c, struct latent_error *err)
{
    char path[CHILD_FILE];
    int status = 0;
    FILE *file;

    child->streams = memory_need(calloc(c->n_streams, sizeof *child->streams));
    make_endpoints(child, c);
    for (size_t i = 0; i < c->n_streams; i++)
        change_stream(c, &c->streams[i].values, &child->streams[i]);
    snprintf(path, sizeof path, "ipc://%s/control", child->folder);
    set_text(&c->daemon.control, path);
    if (c->daemon.secret_key) status = make_keys(child, c, err);
    if (status) return status;
    snprintf(path, sizeof path, "%s/latentd.conf", child->folder);
    file = fopen(path, "we");
    if (!file) return error_text(err, LATENT_E_IO, "%s: %s", path, strerror(errno));
    conf_print(c, file);
    if (fclose(file)) return error_text(err, LATENT_E_IO, "%s: %s", path, strerror(errno));
    return 0;
}

/* ---- the program ---- */

/* latentd beside this program, else the one in PATH. */
static void program_path(char path[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - sizeof "latentd");
    char *slash;

    path[n > 0 ? n : 0] = '\0';
    slash = strrchr(path, '/');
    if (slash) {
        memcpy(slash + 1, "latentd", sizeof "latentd");
        if (access(path, X_OK) == 0) return;
    }
    snprintf(path, PATH_MAX, "latentd");
}

__attribute__((noreturn)) static void run(const struct child *child, const char *program,
                                          int out_fd)
{
    char log[CHILD_FILE], conf[CHILD_FILE];
    int log_fd;

    snprintf(log, sizeof log, "%s/latentd.log", child->folder);
    snprintf(conf, sizeof conf, "%s/latentd.conf", child->folder);
    log_fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (log_fd >= 0) dup2(log_fd, STDERR_FILENO);
    dup2(out_fd, STDOUT_FILENO);
    execlp(program, program, conf, (char *)NULL);
    fprintf(stderr, "%s: %s\n", program, strerror(errno));
    _exit(127);
}

/* It prints one line when it decodes, and nothing else. */
static bool is_ready(const struct child *child)
{
    struct pollfd item = {.fd = child->ready_fd, .events = POLLIN};
    char first;

    return poll(&item, 1, READY_MS) == 1 && read(child->ready_fd, &first, 1) == 1;
}

static int refuse(const struct child *child, struct latent_error *err)
{
    char path[CHILD_FILE], said[LATENT_ERROR_TEXT / 2] = "";
    size_t n = 0;
    FILE *log;

    snprintf(path, sizeof path, "%s/latentd.log", child->folder);
    log = fopen(path, "re");
    if (log) {
        n = fread(said, 1, sizeof said - 1, log);
        fclose(log);
    }
    said[n] = '\0';
    said[strcspn(said, "\n")] = '\0';
    return error_text(err, LATENT_E_IO, "latentd does not start on a copy of the configuration: %s",
                      *said ? said : "it says nothing");
}

static int program_start(struct child *child, struct latent_error *err)
{
    char program[PATH_MAX];
    int pipe_fds[2];

    program_path(program);
    if (pipe2(pipe_fds, O_CLOEXEC)) return error_text(err, LATENT_E_IO, "%s", strerror(errno));
    child->pid = fork();
    if (child->pid == 0) run(child, program, pipe_fds[1]);
    close(pipe_fds[1]);
    child->ready_fd = pipe_fds[0];
    if (child->pid < 0) return error_text(err, LATENT_E_IO, "fork: %s", strerror(errno));
    return is_ready(child) ? 0 : refuse(child, err);
}

/* In TMPDIR, unless sockets in it would have names that are too long. */
static int folder_make(struct child *child, struct latent_error *err)
{
    const char *temporary = getenv("TMPDIR"), *name = "latent-certify-XXXXXX";

    if (!temporary || strlen(temporary) + 1 + strlen(name) >= CHILD_FOLDER) temporary = "/tmp";
    snprintf(child->folder, CHILD_FOLDER, "%s/%s", temporary, name);
    if (mkdtemp(child->folder)) return 0;
    *child->folder = '\0';
    return error_text(err, LATENT_E_IO, "no folder in %s: %s", temporary, strerror(errno));
}

int child_start(struct child *child, const char *path, struct latent_error *err)
{
    struct conf c;
    int status;

    *child = (struct child){.pid = -1, .ready_fd = -1};
    status = folder_make(child, err);
    if (status) return status;
    if (conf_read(&c, path))
        status = error_text(err, LATENT_E_CONFIG, "%s", c.problems[0]);
    else
        status = configuration_write(child, &c, err);
    child->encrypts = *child->key != '\0';
    conf_free(&c);
    return status ? status : program_start(child, err);
}

/* ---- the end ---- */

static void wait_for_end(pid_t pid)
{
    for (int i = 0; i < 10 * STOP_S; i++) {
        if (waitpid(pid, NULL, WNOHANG) != 0) return;
        usleep(100000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static int remove_entry(const char *path, const struct stat *s, int type, struct FTW *where)
{
    (void)s;
    (void)type;
    (void)where;
    remove(path);
    return 0;
}

void child_stop(struct child *child)
{
    if (child->pid > 0) {
        kill(child->pid, SIGTERM);
        wait_for_end(child->pid);
    }
    if (child->ready_fd >= 0) close(child->ready_fd);
    if (*child->folder) nftw(child->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(child->streams);
    *child = (struct child){.pid = -1, .ready_fd = -1};
}
