/* A list; nobody holds the mutex for longer than it takes to hang on a row. */
#include "record/told.h"

#include <stdlib.h>

struct told_row {
    struct why_bin bin;
    struct told_row *next;
};

void told_open(struct told *t)
{
    pthread_mutex_init(&t->mutex, NULL);
    t->waiting = t->taken = NULL;
    t->last = &t->waiting;
}

static void free_rows(struct told_row *row)
{
    while (row) {
        struct told_row *next = row->next;

        free(row);
        row = next;
    }
}

void told_close(struct told *t)
{
    free_rows(t->waiting);
    free_rows(t->taken);
    pthread_mutex_destroy(&t->mutex);
}

bool told_add(struct told *t, const struct why_bin *b)
{
    struct told_row *row = malloc(sizeof *row);

    if (!row) return false;
    *row = (struct told_row){*b, NULL};
    pthread_mutex_lock(&t->mutex);
    *t->last = row;
    t->last = &row->next;
    pthread_mutex_unlock(&t->mutex);
    return true;
}

static void take(struct told *t)
{
    pthread_mutex_lock(&t->mutex);
    t->taken = t->waiting;
    t->waiting = NULL;
    t->last = &t->waiting;
    pthread_mutex_unlock(&t->mutex);
}

void told_write(struct told *t, struct store *store)
{
    enum store_result result;

    if (!t->taken) take(t);
    if (!t->taken) return;
    result = store_begin(store);
    for (struct told_row *row = t->taken; !result && row; row = row->next)
        result = store_put_late(store, &row->bin);
    if (!result) result = store_commit(store, false);
    if (result) store_rollback(store);
    if (result == STORE_BUSY) return;
    free_rows(t->taken);
    t->taken = NULL;
}
