/* Two lines without sockets on two cores: what the second costs the first. Threads of
 * one process, so that they share allocator, tables of kernels and caches. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feed.h"
#include "worker.h"

#define N_SIDES 2
#define ARITHMETIC_STEPS 5000000
#define N_CHAINS 12

typedef float vec __attribute__((vector_size(16)));

struct side {
    struct pair *pair;
    struct feed *feed;
    pthread_t thread;
    size_t number;
    int cpu;
    uint64_t start_ns, end_ns; /* of its last work */
    float sum;
};

struct task {
    const char *name;
    void (*prepare)(struct side *side); /* outside of the time; may be NULL */
    void (*work)(struct side *side);
};

struct pair {
    struct side sides[N_SIDES];
    pthread_barrier_t turn;  /* the main thread and the sides, before and after each */
    const struct task *task; /* NULL: it is over */
    size_t n_messages;       /* of a turn */
    unsigned active;         /* bit set of the sides that work in this turn */
};

static void prepare_messages(struct side *side)
{
    feed_pack(side->feed, side->pair->n_messages);
}

static void work_messages(struct side *side)
{
    for (size_t i = 0; i < side->pair->n_messages; i++) feed_step(side->feed, i);
}

/* As many chains as keep the units busy that two threads of one core would share. */
static void work_arithmetic(struct side *side)
{
    vec x[N_CHAINS];
    for (size_t j = 0; j < N_CHAINS; j++) x[j] = (vec){1.0f, 2.0f, 3.0f, (float)j};
    for (size_t i = 0; i < ARITHMETIC_STEPS; i++)
        for (size_t j = 0; j < N_CHAINS; j++) x[j] = x[j] * 0.999f + 0.001f;
    for (size_t j = 0; j < N_CHAINS; j++) side->sum += x[j][0] + x[j][3];
}

static void side_pin(const struct side *side)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(side->cpu, &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus))
        worker_absent("CPU %d is not for this process", side->cpu);
}

static void *side_run(void *context)
{
    struct side *side = context;
    struct pair *pair = side->pair;
    side_pin(side);
    for (;;) {
        pthread_barrier_wait(&pair->turn);
        if (!pair->task) return NULL;
        side->start_ns = worker_now_ns();
        if (pair->active >> side->number & 1) pair->task->work(side);
        side->end_ns = worker_now_ns();
        pthread_barrier_wait(&pair->turn);
    }
}

/* Nanoseconds from the first start to the last end of the active sides. */
static uint64_t turn_ns(struct pair *pair, const struct task *task, unsigned active)
{
    uint64_t start_ns = UINT64_MAX, end_ns = 0;
    pair->task = task;
    pair->active = active;
    for (size_t i = 0; i < N_SIDES; i++)
        if (task->prepare && active >> i & 1) task->prepare(&pair->sides[i]);
    pthread_barrier_wait(&pair->turn);
    pthread_barrier_wait(&pair->turn);
    for (size_t i = 0; i < N_SIDES; i++) {
        const struct side *side = &pair->sides[i];
        if (!(active >> i & 1)) continue;
        if (side->start_ns < start_ns) start_ns = side->start_ns;
        if (side->end_ns > end_ns) end_ns = side->end_ns;
    }
    return end_ns - start_ns;
}

static void print_round(struct pair *pair, const struct task *task)
{
    fputs(task->name, stdout);
    for (unsigned active = 1; active <= 3; active++)
        printf(" %llu", (unsigned long long)turn_ns(pair, task, active));
    putchar('\n');
}

static void pair_open(struct pair *pair, int argc, char **argv)
{
    pair->n_messages = worker_size(argc, argv, "messages");
    if (pair->n_messages > FEED_MESSAGES) worker_absent("too many messages a turn");
    pthread_barrier_init(&pair->turn, NULL, N_SIDES + 1);
    for (size_t i = 0; i < N_SIDES; i++) {
        struct side *side = &pair->sides[i];
        *side = (struct side){.pair = pair, .number = i};
        side->cpu = (int)worker_size(argc, argv, i ? "cpu-b" : "cpu-a");
        side->feed = feed_open(argc, argv);
        if (pthread_create(&side->thread, NULL, side_run, side)) worker_absent("no thread");
    }
}

static void pair_close(struct pair *pair)
{
    pair->task = NULL;
    pthread_barrier_wait(&pair->turn);
    for (size_t i = 0; i < N_SIDES; i++) {
        pthread_join(pair->sides[i].thread, NULL);
        feed_close(pair->sides[i].feed);
    }
    pthread_barrier_destroy(&pair->turn);
}

/* A round is three turns: the first side alone, the second alone, both at once. */
int main(int argc, char **argv)
{
    static const struct task messages = {"messages", prepare_messages, work_messages},
                             arithmetic = {"arithmetic", NULL, work_arithmetic};
    struct pair pair;
    size_t n_rounds = worker_size(argc, argv, "rounds");
    pair_open(&pair, argc, argv);
    for (size_t i = 0; i < n_rounds; i++) {
        print_round(&pair, &messages);
        print_round(&pair, &arithmetic);
    }
    printf("frames %zu %zu\n", feed_frames(pair.sides[0].feed), feed_frames(pair.sides[1].feed));
    pair_close(&pair);
    return 0;
}
