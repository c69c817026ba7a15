/* Without a shell; who does not answer is killed. */
#include "certify/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 5000

extern char **environ;

bool program_is_there(const char *name)
{
    const char *path = getenv("PATH");
    char whole[1024];

    while (path && *path) {
        size_t n = strcspn(path, ":");

        snprintf(whole, sizeof whole, "%.*s/%s", (int)n, path, name);
        if (access(whole, X_OK) == 0) return true;
        path += n + (path[n] == ':');
    }
    return false;
}

static pid_t start(const char *const command[], int out)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;

    if (posix_spawn_file_actions_init(&actions)) return -1;
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&pid, command[0], &actions, NULL, (char *const *)(uintptr_t)command, environ))
        pid = -1;
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

/* Up to the end of the line, or of the output. */
static bool read_line(int from, char *line, size_t n_line)
{
    struct pollfd ready = {.fd = from, .events = POLLIN};
    size_t n = 0;
    ssize_t got = 1;

    while (got > 0 && n + 1 < n_line && !memchr(line, '\n', n)) {
        if (poll(&ready, 1, PATIENCE_MS) <= 0) break;
        got = read(from, line + n, n_line - 1 - n);
        if (got > 0) n += (size_t)got;
    }
    line[n] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return line[0] != '\0';
}

bool program_ask(const char *const command[], char *line, size_t n_line)
{
    int ends[2], status = -1;
    bool has_line;
    pid_t pid;

    if (!program_is_there(command[0]) || pipe2(ends, O_CLOEXEC)) return false;
    pid = start(command, ends[1]);
    close(ends[1]);
    has_line = pid > 0 && read_line(ends[0], line, n_line);
    close(ends[0]);
    if (pid <= 0) return false;
    if (!has_line) kill(pid, SIGKILL);
    return waitpid(pid, &status, 0) == pid && has_line && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}
