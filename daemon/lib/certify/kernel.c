/* The kernel, and what it counted meanwhile. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certify/program.h"
#include "certify/sysfile.h"
#include "certify/system.h"

#define TABLE_BYTES (1u << 20) /* of /proc/interrupts on a machine of hundreds of cores */

/* ---- kernel ---- */

static void add_preemption(const struct system *s, struct findings *f)
{
    struct finding row = {
        CERTIFY_KERNEL,
        VERDICT_UNKNOWN,
        "preemption",
        "PREEMPT_RT",
        "a kernel with PREEMPT_RT (Debian: linux-image-rt-amd64), or preempt=full",
        ""};
    char version[256];
    const char *kind;

    if (sysfile_read(s->root, version, sizeof version, "/proc/sys/kernel/version") <= 0) {
        findings_add(f, &row, "not told");
        return;
    }
    kind = strstr(version, "PREEMPT_RT")        ? "PREEMPT_RT"
           : strstr(version, "PREEMPT_DYNAMIC") ? "PREEMPT_DYNAMIC"
           : strstr(version, "PREEMPT")         ? "PREEMPT"
                                                : "voluntary or none";
    row.verdict = strcmp(kind, "PREEMPT_RT") ? VERDICT_WARN : VERDICT_OK;
    findings_add(f, &row, "%s", kind);
}

/* Is n in a list such as "2-3,7"? */
static bool list_has(const char *list, int n)
{
    while (*list) {
        char *end;
        long first = strtol(list, &end, 10), last = first;

        if (end == list) return false;
        if (*end == '-') last = strtol(end + 1, &end, 10);
        if (n >= first && n <= last) return true;
        list = *end == ',' ? end + 1 : end;
        if (*end != ',') return false;
    }
    return false;
}

static void add_isolation(const struct system *s, struct findings *f)
{
    static const struct {
        const char *what, *file;
    } lists[] = {{"isolated cores", "isolated"}, {"cores without ticks", "nohz_full"}};
    struct finding row = {CERTIFY_KERNEL,
                          VERDICT_WARN,
                          "",
                          "the data core",
                          "boot with isolcpus=N nohz_full=N rcu_nocbs=N, and cpu = N in the stream",
                          ""};
    char list[128];

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        row.what = lists[i].what;
        if (sysfile_read(s->root, list, sizeof list, "/sys/devices/system/cpu/%s", lists[i].file) <=
            0)
            snprintf(list, sizeof list, "none");
        row.verdict = s->cpu >= 0 && list_has(list, s->cpu) ? VERDICT_OK : VERDICT_WARN;
        findings_add(f, &row, "%s", strcmp(list, "(null)") ? list : "none");
    }
}

static void add_throttle(const struct system *s, struct findings *f)
{
    struct finding row = {CERTIFY_KERNEL,
                          VERDICT_UNKNOWN,
                          "limit of real-time threads",
                          "none (-1)",
                          "sysctl kernel.sched_rt_runtime_us=-1",
                          ""};
    long long us;

    if (!sysfile_number(s->root, &us, "/proc/sys/kernel/sched_rt_runtime_us")) {
        findings_add(f, &row, "not told");
        return;
    }
    row.verdict = us >= 0 && s->priority ? VERDICT_WARN : VERDICT_OK;
    findings_add(f, &row, us < 0 ? "none" : "%lld us of each second", us);
}

static void add_memory_services(const struct system *s, struct findings *f)
{
    struct finding pages = {CERTIFY_KERNEL,
                            VERDICT_UNKNOWN,
                            "transparent huge pages",
                            "madvise or never",
                            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
                            ""};
    struct finding numa = {
        CERTIFY_KERNEL, VERDICT_OK, "NUMA balancing", "off", "sysctl kernel.numa_balancing=0", ""};
    char text[128];
    long long on;

    if (sysfile_read(s->root, text, sizeof text, "/sys/kernel/mm/transparent_hugepage/enabled") > 0)
        pages.verdict = strstr(text, "[always]") ? VERDICT_WARN : VERDICT_OK;
    findings_add(f, &pages, "%s", pages.verdict == VERDICT_UNKNOWN ? "not told" : text);
    if (!sysfile_number(s->root, &on, "/proc/sys/kernel/numa_balancing")) return;
    if (on) numa.verdict = VERDICT_WARN;
    findings_add(f, &numa, on ? "on" : "off");
}

static void add_services(const struct system *s, struct findings *f)
{
    static const struct {
        const char *name, *remedy;
    } services[] = {{"irqbalance", "stop it, or ban the data core: it moves interrupts there"},
                    {"auditd", "stop it: it makes every system call slower"}};

    for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
        struct finding row = {CERTIFY_KERNEL, VERDICT_OK,         services[i].name,
                              "not running",  services[i].remedy, ""};

        if (sysfile_runs(s->root, services[i].name)) row.verdict = VERDICT_WARN;
        findings_add(f, &row, row.verdict == VERDICT_OK ? "not running" : "running");
    }
}

/* What takes the data core away and is in no file: only root may look. */
static void add_tracers(const struct system *s, struct findings *f)
{
    static char remedy[160];
    struct finding row = {CERTIFY_KERNEL, VERDICT_UNKNOWN, "who interrupts the data core",
                          "looked at",    remedy,          ""};
    bool has_rtla = program_is_there("rtla"), has_hwlat = program_is_there("hwlatdetect");
    char cpu[24] = "", text[512];
    bool has_osnoise =
        sysfile_read(s->root, text, sizeof text, "/sys/kernel/tracing/available_tracers") > 0 &&
        strstr(text, "osnoise");

    if (s->cpu >= 0) snprintf(cpu, sizeof cpu, " -c %d", s->cpu);
    snprintf(remedy, sizeof remedy,
             "%sas root: rtla timerlat top -a 50 -d 60s%s; rtla osnoise top -d 60s%s; hwlatdetect",
             has_rtla ? "" : "apt install rtla rt-tests; ", cpu, cpu);
    findings_add(f, &row, "not looked at; rtla %s, hwlatdetect %s, the kernel's osnoise %s",
                 has_rtla ? "is here" : "is not installed", has_hwlat ? "is here" : "is not",
                 has_osnoise ? "is here" : "is not told");
}

void system_kernel(const struct system *s, struct findings *f)
{
    add_preemption(s, f);
    add_isolation(s, f);
    add_throttle(s, f);
    add_memory_services(s, f);
    add_services(s, f);
    if (!s->root[0]) add_tracers(s, f);
}

/* ---- counters ---- */

/* Sum of the column of one core, or of all, in a table whose head names the cores; only rows that
 * begin with a number where `numbered`. -1: no such table. */
static long long sum_of_core(char *table, int cpu, bool numbered)
{
    long long sum = 0;
    char *save = NULL, *line = strtok_r(table, "\n", &save);

    if (!line) return -1;
    while ((line = strtok_r(NULL, "\n", &save))) {
        char *at = strchr(line, ':'), *end;

        if (!at ||
            (numbered && !(line[strspn(line, " ")] >= '0' && line[strspn(line, " ")] <= '9')))
            continue;
        at++;
        for (int i = 0;; i++, at = end) {
            long long n = strtoll(at, &end, 10);

            if (end == at) break;
            if (cpu < 0 || i == cpu) sum += n;
        }
    }
    return sum;
}

/* Steal is the eighth number of the line "cpu" or "cpuN". */
static long long steal_of(const char *stat, int cpu)
{
    char key[16] = "cpu", value[256], *at = value, *end;
    long long n = -1;

    if (cpu >= 0) snprintf(key, sizeof key, "cpu%d", cpu);
    if (!sysfile_value(stat, key, value, sizeof value)) return -1;
    for (int i = 0; i < 8; i++, at = end) {
        n = strtoll(at, &end, 10);
        if (end == at) return -1;
    }
    return n;
}

/* Two lines of names and numbers: the number below the name. */
static long long snmp_of(const char *snmp, const char *protocol, const char *name)
{
    char names[1024], numbers[1024], *save_name = NULL, *save_number = NULL, *word, *number;
    const char *second;

    if (!sysfile_value(snmp, protocol, names, sizeof names)) return -1;
    second = strstr(snmp, protocol);
    second = second ? strchr(second, '\n') : NULL;
    if (!second || !sysfile_value(second + 1, protocol, numbers, sizeof numbers)) return -1;
    word = strtok_r(names, " ", &save_name);
    number = strtok_r(numbers, " ", &save_number);
    for (; word && number;
         word = strtok_r(NULL, " ", &save_name), number = strtok_r(NULL, " ", &save_number))
        if (strcmp(word, name) == 0) return strtoll(number, NULL, 10);
    return -1;
}

void system_counters(const struct system *s, struct counters *out)
{
    char *text = malloc(TABLE_BYTES);

    *out = (struct counters){-1, -1, -1, -1, -1};
    if (!text) return;
    if (sysfile_read(s->root, text, TABLE_BYTES, "/proc/stat") > 0)
        out->steal_ticks = steal_of(text, s->cpu);
    sysfile_number(s->root, &out->throttled,
                   "/sys/devices/system/cpu/cpu%d/thermal_throttle/core_throttle_count",
                   s->cpu < 0 ? 0 : s->cpu);
    if (sysfile_read(s->root, text, TABLE_BYTES, "/proc/interrupts") > 0)
        out->irqs = sum_of_core(text, s->cpu, true);
    if (sysfile_read(s->root, text, TABLE_BYTES, "/proc/softirqs") > 0)
        out->softirqs = sum_of_core(text, s->cpu, false);
    if (sysfile_read(s->root, text, TABLE_BYTES, "/proc/net/snmp") > 0)
        out->buffer_errors = snmp_of(text, "Udp", "RcvbufErrors");
    free(text);
}

void system_compare(const struct system *s, const struct counters *before,
                    const struct counters *after, double seconds, struct findings *f)
{
    const struct {
        struct finding row;
        long long before, after;
        double most_per_s;
    } all[] = {
        {{CERTIFY_MACHINE, 0, "time stolen by the host", "none",
          "use the machine itself, or a core of its own", ""},
         before->steal_ticks,
         after->steal_ticks,
         0},
        {{CERTIFY_MACHINE, 0, "times too hot", "none", "better cooling, a lower fixed frequency",
          ""},
         before->throttled,
         after->throttled,
         0},
        {{CERTIFY_KERNEL, 0,
          s->cpu < 0 ? "device interrupts, all cores" : "device interrupts on the data core", "few",
          "/proc/irq/N/smp_affinity away from the data core", ""},
         before->irqs,
         after->irqs,
         1000},
        {{CERTIFY_KERNEL, 0,
          s->cpu < 0 ? "soft interrupts, all cores" : "soft interrupts on the data core", "few",
          "isolcpus, rcu_nocbs, network queues on other cores", ""},
         before->softirqs,
         after->softirqs,
         10000},
        {{CERTIFY_NETWORK, 0, "packets lost for want of buffers", "none",
          "sysctl net.core.rmem_max=16777216", ""},
         before->buffer_errors,
         after->buffer_errors,
         0},
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct finding row = all[i].row;
        long long n = all[i].after - all[i].before;

        if (all[i].before < 0 || all[i].after < 0 || seconds <= 0) {
            row.verdict = VERDICT_UNKNOWN;
            findings_add(f, &row, seconds <= 0 ? "nothing was measured meanwhile" : "not told");
            continue;
        }
        row.verdict = (double)n > all[i].most_per_s * seconds ? VERDICT_WARN : VERDICT_OK;
        findings_add(f, &row, "%lld in %.0f s", n, seconds);
    }
}
