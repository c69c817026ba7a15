/* The machine: clock rates, idle states, guests, memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certify/sysfile.h"
#include "certify/system.h"

#define TEXT_BYTES 65536 /* of /proc/cpuinfo, meminfo: the beginning is enough */
#define DEEP_US 50       /* an idle state that takes longer to leave is felt */
#define LATENCY_FILE "/dev/cpu_dma_latency"

static int looked_at(const struct system *s)
{
    return s->cpu < 0 ? 0 : s->cpu;
}

/* ---- fingerprint ---- */

static int n_cpus_of(const char *cpuinfo)
{
    int n = 0;

    for (const char *at = cpuinfo; (at = strstr(at, "processor\t")); at++) n++;
    return n;
}

void system_fingerprint(const struct system *s, struct fingerprint *out)
{
    static char text[TEXT_BYTES];
    char value[64], release[64] = "unknown", version[96] = "";

    *out = (struct fingerprint){.cpu = "unknown", .memory = "unknown", .n_cpus = "unknown"};
    if (sysfile_read(s->root, text, sizeof text, "/proc/cpuinfo") > 0) {
        sysfile_value(text, "model name", out->cpu, sizeof out->cpu);
        snprintf(out->n_cpus, sizeof out->n_cpus, "%d", n_cpus_of(text));
    }
    if (sysfile_read(s->root, text, sizeof text, "/proc/meminfo") > 0 &&
        sysfile_value(text, "MemTotal", value, sizeof value))
        snprintf(out->memory, sizeof out->memory, "%.1f GiB", strtod(value, NULL) / (1 << 20));
    sysfile_read(s->root, release, sizeof release, "/proc/sys/kernel/osrelease");
    sysfile_read(s->root, version, sizeof version, "/proc/sys/kernel/version");
    snprintf(out->kernel, sizeof out->kernel, "%.63s %.95s", release, version);
}

/* ---- processor ---- */

static void add_siblings(const struct system *s, struct findings *f)
{
    struct finding row = {CERTIFY_MACHINE,
                          VERDICT_UNKNOWN,
                          "SMT siblings of the data core",
                          "none",
                          "switch SMT off, or leave the sibling idle",
                          ""};
    char list[64];

    if (sysfile_read(s->root, list, sizeof list,
                     "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
                     looked_at(s)) <= 0) {
        findings_add(f, &row, "not told");
        return;
    }
    row.verdict = strpbrk(list, ",-") ? VERDICT_WARN : VERDICT_OK;
    findings_add(f, &row, "%s", row.verdict == VERDICT_OK ? "none" : list);
}

static void add_frequency(const struct system *s, struct findings *f)
{
    struct finding governor = {CERTIFY_MACHINE,
                               VERDICT_UNKNOWN,
                               "frequency governor",
                               "performance",
                               "cpupower frequency-set -g performance",
                               ""};
    struct finding range = {CERTIFY_MACHINE,
                            VERDICT_OK,
                            "frequency range",
                            "min = max",
                            "cpupower frequency-set -d MAX -u MAX",
                            ""};
    long long least, most;
    char text[64];

    if (sysfile_read(s->root, text, sizeof text,
                     "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", looked_at(s)) <= 0) {
        findings_add(f, &governor, "not told");
        return;
    }
    governor.verdict = strcmp(text, "performance") ? VERDICT_WARN : VERDICT_OK;
    findings_add(f, &governor, "%s", text);
    if (!sysfile_number(s->root, &least, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_min_freq",
                        looked_at(s)) ||
        !sysfile_number(s->root, &most, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_max_freq",
                        looked_at(s)))
        return;
    if (least != most) range.verdict = VERDICT_WARN;
    findings_add(f, &range, "%lld to %lld MHz", least / 1000, most / 1000);
}

static void add_turbo(const struct system *s, struct findings *f)
{
    struct finding row = {CERTIFY_MACHINE,
                          VERDICT_OK,
                          "turbo",
                          "off",
                          "steps differ as the clock changes: switch it off for a steady time",
                          ""};
    long long off, boost;

    if (sysfile_number(s->root, &off, "/sys/devices/system/cpu/intel_pstate/no_turbo"))
        boost = !off;
    else if (!sysfile_number(s->root, &boost, "/sys/devices/system/cpu/cpufreq/boost"))
        return;
    if (boost) row.verdict = VERDICT_WARN;
    findings_add(f, &row, boost ? "on" : "off");
}

/* The idle state that takes longest to leave, of those that are not disabled, unless somebody holds
 * the latency file below it. */
static void add_idle(const struct system *s, struct findings *f)
{
    struct finding row = {CERTIFY_MACHINE,
                          VERDICT_UNKNOWN,
                          "deepest idle state",
                          "up to 50 us to leave",
                          "hold " LATENCY_FILE " at 0, or boot with intel_idle.max_cstate=1",
                          ""};
    long long us, deepest = -1, disabled, held = -1;
    char name[32], deepest_name[32] = "";

    for (int i = 0;
         sysfile_number(s->root, &us, "/sys/devices/system/cpu/cpu%d/cpuidle/state%d/latency",
                        looked_at(s), i);
         i++) {
        disabled = 0;
        sysfile_number(s->root, &disabled, "/sys/devices/system/cpu/cpu%d/cpuidle/state%d/disable",
                       looked_at(s), i);
        if (disabled || us <= deepest) continue;
        deepest = us;
        if (sysfile_read(s->root, name, sizeof name,
                         "/sys/devices/system/cpu/cpu%d/cpuidle/state%d/name", looked_at(s), i) > 0)
            snprintf(deepest_name, sizeof deepest_name, "%s", name);
    }
    if (deepest < 0) {
        findings_add(f, &row, "not told");
        return;
    }
    row.verdict = deepest > DEEP_US ? VERDICT_WARN : VERDICT_OK;
    if (*s->root == '\0') {
        char bytes[8];
        int n = sysfile_read("", bytes, 5, LATENCY_FILE);
        int32_t value = -1;

        if (n == 4) memcpy(&value, bytes, 4), held = value;
        if (held >= 0 && held <= DEEP_US) row.verdict = VERDICT_OK;
    }
    findings_add(f, &row, "%s, %lld us to leave%s", deepest_name, deepest,
                 held >= 0 && held <= DEEP_US ? ", held off" : "");
}

static void add_guest(const struct system *s, struct findings *f)
{
    struct finding guest = {CERTIFY_MACHINE,
                            VERDICT_UNKNOWN,
                            "virtual machine",
                            "no",
                            "a host may stop a guest for any time: use the machine itself",
                            ""};
    struct finding clock = {CERTIFY_MACHINE,
                            VERDICT_UNKNOWN,
                            "clock source",
                            "tsc",
                            "each look at the clock is a system call: boot with tsc=reliable",
                            ""};
    static char text[TEXT_BYTES];
    char value[4096];

    if (sysfile_read(s->root, text, sizeof text, "/proc/cpuinfo") > 0 &&
        sysfile_value(text, "flags", value, sizeof value))
        guest.verdict = strstr(value, "hypervisor") ? VERDICT_WARN : VERDICT_OK;
    findings_add(f, &guest, "%s",
                 guest.verdict == VERDICT_UNKNOWN ? "not told"
                 : guest.verdict == VERDICT_WARN  ? "yes"
                                                  : "no");
    if (sysfile_read(s->root, value, sizeof value,
                     "/sys/devices/system/clocksource/clocksource0/current_clocksource") > 0)
        clock.verdict = strcmp(value, "tsc") ? VERDICT_WARN : VERDICT_OK;
    findings_add(f, &clock, "%.100s", clock.verdict == VERDICT_UNKNOWN ? "not told" : value);
}

/* ---- memory ---- */

static void add_memory(const struct system *s, struct findings *f)
{
    struct finding row = {CERTIFY_MACHINE,
                          VERDICT_UNKNOWN,
                          "memory free",
                          "1 GiB",
                          "end other programs: what is short of memory is made to wait",
                          ""};
    struct finding swap = {CERTIFY_MACHINE,
                           VERDICT_OK,
                           "swap in use",
                           "none",
                           "swapoff -a, or lock-memory = yes with a memlock limit",
                           ""};
    static char text[TEXT_BYTES];
    char value[64];
    double available, total = 0, left = 0;

    if (sysfile_read(s->root, text, sizeof text, "/proc/meminfo") <= 0 ||
        !sysfile_value(text, "MemAvailable", value, sizeof value)) {
        findings_add(f, &row, "not told");
        return;
    }
    available = strtod(value, NULL) / (1 << 20);
    row.verdict = available < 1 ? VERDICT_WARN : VERDICT_OK;
    findings_add(f, &row, "%.1f GiB", available);
    if (sysfile_value(text, "SwapTotal", value, sizeof value)) total = strtod(value, NULL);
    if (sysfile_value(text, "SwapFree", value, sizeof value)) left = strtod(value, NULL);
    if (total > left) swap.verdict = VERDICT_WARN;
    findings_add(f, &swap, "%.0f MiB of %.0f", (total - left) / 1024, total / 1024);
}

void system_machine(const struct system *s, struct findings *f)
{
    add_siblings(s, f);
    add_frequency(s, f);
    add_turbo(s, f);
    add_idle(s, f);
    add_guest(s, f);
    add_memory(s, f);
}
