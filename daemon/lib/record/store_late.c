/* Late bins, explained: rows of their own, beside the entries. */
#include "line/ledger.h"
#include "record/store_inside.h"

static void bind_whole(sqlite3_stmt *statement, int place, uint64_t value)
{
    sqlite3_bind_int64(statement, place, (sqlite3_int64)value);
}

/* The text lasts for as long as the program. */
static void bind_word(sqlite3_stmt *statement, int place, const char *word)
{
    sqlite3_bind_text(statement, place, word, -1, SQLITE_STATIC);
}

static enum store_result put_bin(struct store *s, const struct why_bin *b)
{
    sqlite3_stmt *statement = s->statement[PUT_LATE];
    const struct late_bin *bin = &b->bin;
    const struct {
        int place;
        uint64_t value;
    } numbers[] = {{1, bin->epoch},          {2, bin->seq},        {4, bin->t_source_ns},
                   {5, bin->t_since_ns},     {6, bin->t_recv_ns},  {7, bin->t_start_ns},
                   {8, bin->t_publish_ns},   {9, bin->t_done_ns},  {10, bin->n_before},
                   {11, bin->flags},         {13, bin->budget_ns}, {14, b->knows_spans},
                   {15, b->knows_processor}, {16, b->steal_ns},    {17, b->steal_of_ns}};

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        bind_whole(statement, numbers[i].place, numbers[i].value);
    bind_word(statement, 3, late_since_name(bin->since));
    bind_word(statement, 12, counter_name(bin->outcome));
    return store_run(s, PUT_LATE);
}

enum store_result store_put_late(struct store *s, const struct why_bin *b)
{
    sqlite3_stmt *statement = s->statement[PUT_WAIT];
    enum store_result result = put_bin(s, b);
    uint64_t id = (uint64_t)sqlite3_last_insert_rowid(s->db);

    for (size_t i = 0; !result && i < b->n_waits; i++) {
        bind_whole(statement, 1, id);
        bind_word(statement, 2, why_part_name(b->waits[i].part));
        bind_word(statement, 3, b->waits[i].stream);
        bind_whole(statement, 4, b->waits[i].ns);
        result = store_run(s, PUT_WAIT);
    }
    return result;
}
