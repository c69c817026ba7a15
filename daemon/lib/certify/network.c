/* The network of a machine, and what steers its clock. What only this machine can be asked
 * (devices, clocks, programs) is not asked below another root. */
#include "certify/network.h"

#include <dirent.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <unistd.h>

#include "certify/program.h"
#include "certify/sysfile.h"
#include "certify/system.h"

#define RECEIVE_BYTES (16 << 20)
#define BACKLOG 1000
#define MAX_DEVICES 16

/* ---- kernel settings ---- */

static void add_settings(const struct system *s, struct findings *f)
{
    struct finding buffer = {CERTIFY_NETWORK,
                             VERDICT_UNKNOWN,
                             "largest receive buffer",
                             "16 MiB",
                             "sysctl net.core.rmem_max=16777216",
                             ""};
    struct finding backlog = {CERTIFY_NETWORK,
                              VERDICT_UNKNOWN,
                              "receive backlog",
                              "1000 packets",
                              "sysctl net.core.netdev_max_backlog=1000",
                              ""};
    long long n;

    if (sysfile_number(s->root, &n, "/proc/sys/net/core/rmem_max")) {
        buffer.verdict = n < RECEIVE_BYTES ? VERDICT_WARN : VERDICT_OK;
        findings_add(f, &buffer, "%.1f MiB", (double)n / (1 << 20));
    } else {
        findings_add(f, &buffer, "not told");
    }
    if (sysfile_number(s->root, &n, "/proc/sys/net/core/netdev_max_backlog")) {
        backlog.verdict = n < BACKLOG ? VERDICT_WARN : VERDICT_OK;
        findings_add(f, &backlog, "%lld packets", n);
    } else {
        findings_add(f, &backlog, "not told");
    }
}

/* ---- devices ---- */

/* As ethtool -c asks; no root is needed. */
static void coalescing_read(const char *device, struct coalescing *out)
{
    struct ethtool_coalesce c = {.cmd = ETHTOOL_GCOALESCE};
    struct ifreq request = {.ifr_data = (char *)&c};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    *out = (struct coalescing){0};
    if (fd < 0) return;
    snprintf(request.ifr_name, sizeof request.ifr_name, "%.*s", IFNAMSIZ - 1, device);
    out->is_told = ioctl(fd, SIOCETHTOOL, &request) == 0;
    close(fd);
    out->adapts = c.use_adaptive_rx_coalesce != 0;
    out->rx_us = c.rx_coalesce_usecs;
    out->rx_frames = c.rx_max_coalesced_frames;
}

/* Of hardware, and up. */
static bool is_in_use(const struct system *s, const char *device)
{
    char text[SYSFILE_PATH], state[32];

    if (device[0] == '.') return false;
    snprintf(text, sizeof text, "%s/sys/class/net/%.64s/device", s->root, device);
    return access(text, F_OK) == 0 &&
           sysfile_read(s->root, state, sizeof state, "/sys/class/net/%.64s/operstate", device) >
               0 &&
           strcmp(state, "down") != 0;
}

static void add_devices(const struct system *s, struct findings *f)
{
    struct finding row = {CERTIFY_NETWORK,
                          VERDICT_UNKNOWN,
                          "interrupt coalescing",
                          "0 us, not adaptive",
                          "ethtool -C DEVICE adaptive-rx off rx-usecs 0",
                          ""};
    char path[SYSFILE_PATH], text[FINDING_TEXT / 2];
    struct dirent *entry;
    size_t n = 0;
    DIR *all;

    snprintf(path, sizeof path, "%s/sys/class/net", s->root);
    all = opendir(path);
    while (all && n < MAX_DEVICES && (entry = readdir(all))) {
        struct coalescing c = {0};

        if (!is_in_use(s, entry->d_name)) continue;
        if (!s->root[0]) coalescing_read(entry->d_name, &c);
        row.verdict = coalescing_judge(&c, text, sizeof text);
        findings_add(f, &row, "%.40s: %s", entry->d_name, s->root[0] ? "not asked" : text);
        n++;
    }
    if (all) closedir(all);
    row.verdict = all ? VERDICT_OK : VERDICT_UNKNOWN;
    if (n == 0) findings_add(f, &row, all ? "no device of hardware is up" : "not told");
}

/* ---- clocks ---- */

/* Whoever sets or slews the clock of the system; as /proc/PID/comm has them. */
static const char *const steerers[] = {"chronyd", "ntpd", "systemd-timesyn", "phc2sys"};
#define N_STEERERS (sizeof steerers / sizeof *steerers)

static bool add_steerers(const struct system *s, struct findings *f)
{
    struct finding row = {CERTIFY_NETWORK,
                          VERDICT_UNKNOWN,
                          "clock is steered by",
                          "one of chronyd, ntpd, systemd-timesyncd, phc2sys",
                          "run one of them, where times are compared with another machine's",
                          ""};
    char text[FINDING_TEXT] = "nobody";
    bool has_chronyd = sysfile_runs(s->root, "chronyd");
    size_t n = 0, n_text = 0;

    for (size_t i = 0; i < N_STEERERS; i++) {
        if (!sysfile_runs(s->root, steerers[i])) continue;
        n_text += (size_t)snprintf(text + n_text, sizeof text - n_text, "%s%s", n++ ? ", " : "",
                                   steerers[i]);
    }
    if (n > 0) row.verdict = n == 1 ? VERDICT_OK : VERDICT_WARN;
    if (n > 1) row.remedy = "stop all but one: they work against each other";
    findings_add(f, &row, "%s", text);
    return has_chronyd;
}

/* The kernel's own account, which each of them keeps. */
static void add_kernel_clock(struct findings *f)
{
    struct finding row = {CERTIFY_NETWORK,
                          VERDICT_UNKNOWN,
                          "clock, as the kernel has it",
                          "synchronised",
                          "whoever steers the clock has no source yet: ask it (chronyc sources, "
                          "ntpq -p, timedatectl)",
                          ""};
    struct timex t = {.modes = 0};
    int state = adjtimex(&t);

    if (state < 0) {
        findings_add(f, &row, "not told: %s", strerror(errno));
        return;
    }
    if (state == TIME_ERROR || t.status & STA_UNSYNC) {
        findings_add(f, &row, "not synchronised, %.3f ppm", (double)t.freq / 65536.0);
        return;
    }
    row.verdict = VERDICT_OK;
    findings_add(f, &row, "synchronised, %.3f ppm, error about %ld us, at most %ld us",
                 (double)t.freq / 65536.0, t.esterror, t.maxerror);
}

static void add_tracking(struct findings *f)
{
    static const char *const command[] = {"chronyc", "-c", "-n", "tracking", NULL};
    struct finding row = {CERTIFY_NETWORK,
                          VERDICT_UNKNOWN,
                          "chronyd's clock",
                          "synchronised, within 1 ms and 10 ppm",
                          "wait until it has settled; chronyc sources -v shows what it follows",
                          ""};
    char line[512], text[FINDING_TEXT];
    struct tracking t;

    if (!program_ask(command, line, sizeof line) || !tracking_read(line, &t)) {
        findings_add(f, &row, "chronyc does not answer");
        return;
    }
    row.verdict = tracking_judge(&t, text, sizeof text);
    findings_add(f, &row, "%s", text);
}

static void add_hardware_clocks(const struct system *s, struct findings *f)
{
    struct finding row = {CERTIFY_NETWORK,
                          VERDICT_UNKNOWN,
                          "hardware clocks (PTP)",
                          "-",
                          "ptp4l on the device of the source, phc2sys to the system's clock; as "
                          "root, pmc -u -b 0 'GET TIME_STATUS_NP' tells the offset",
                          ""};
    char text[FINDING_TEXT] = "", name[48];
    bool runs = sysfile_runs(s->root, "ptp4l");
    size_t n = 0;

    for (int i = 0; i < 8 && n < sizeof text; i++)
        if (sysfile_read(s->root, name, sizeof name, "/sys/class/ptp/ptp%d/clock_name", i) > 0)
            n += (size_t)snprintf(text + n, sizeof text - n, "%sptp%d %s", n ? ", " : "", i, name);
    if (runs) row.verdict = VERDICT_OK;
    findings_add(f, &row, "%s; ptp4l %s", n ? text : "none", runs ? "runs" : "does not run");
}

void system_network(const struct system *s, struct findings *f)
{
    bool has_chronyd;

    add_settings(s, f);
    add_devices(s, f);
    has_chronyd = add_steerers(s, f);
    add_hardware_clocks(s, f);
    if (s->root[0]) return;
    add_kernel_clock(f);
    if (has_chronyd) add_tracking(f);
}
