/* daemon/lib/line/ledger.c: a copy that the version calls whole balances. Two counters stand for
 * all: they are equal but for the time between open and close of the writer. */
#define N_CHANGES 2
#define N_READS 2

#define VERSION 0
#define FIRST 1
#define SECOND 2
#define N_VARIABLES 3
#define N_THREADS 2
#define DEPTH 4
#include "stores.pml"

#define WRITES 0
#define READS 1

/* fetch_add(acq_rel): waits for what was stored before it, and is seen by all at once. The writer
 * alone changes the version. */
inline add_to_version(is_release)
{
    atomic {
        !is_release || IS_EMPTY(WRITES);
        memory[VERSION] = memory[VERSION] + 1
    }
}

#ifdef FAULT_RELAXED_CLOSE
#define CLOSE_IS_RELEASE false
#else
#define CLOSE_IS_RELEASE true
#endif

proctype writer()
{
    byte change, value, at;

    do
    :: change < N_CHANGES ->
        change++;
        add_to_version(true); /* ledger_open */
        load(WRITES, FIRST, value);
        store(WRITES, FIRST, value + 1, false);
        load(WRITES, SECOND, value);
        store(WRITES, SECOND, value + 1, false);
        add_to_version(CLOSE_IS_RELEASE) /* ledger_close */
    :: else -> break
    od
}

proctype reader()
{
    byte at, n, before, after, first, second, last;

    do
    :: n < N_READS ->
        n++;
        load(READS, VERSION, before);
        load(READS, FIRST, first);
        load(READS, SECOND, second);
        load(READS, VERSION, after); /* fetch_add of 0 */
        if
        :: before % 2 == 0 && after == before ->
            assert(first == second);
            assert(first >= last); /* and never goes back */
            assert(first == before / 2);
            last = first
        :: else
        fi
    :: else -> break
    od
}

init
{
    atomic {
        run writer();
        run reader();
        run drain(WRITES);
        run drain(READS)
    }
}
