/* daemon/lib/feed/ring.c: groups of one or two records through a ring of three places, whole or not
 * at all. A record is a byte; its value says its turn among those that were committed. Not here:
 * lengths, pads, the wrap of places. */
#define N_PLACES 3
#define N_GROUPS 4
#define ABORTED 99

#define VISIBLE N_PLACES
#define RELEASED (N_PLACES + 1)
#define N_VARIABLES (N_PLACES + 2)
#define N_THREADS 2
#define DEPTH 4
#include "stores.pml"

#ifdef FAULT_RELAXED_COMMIT
#define COMMIT_IS_RELEASE false
#else
#define COMMIT_IS_RELEASE true
#endif

#define PUTS 0
#define TAKES 1

byte n_committed;     /* records; of the putting thread */
bool is_boundary[16]; /* of positions: a group ends there */
bool is_over;

proctype producer()
{
    byte at, group, put, n, i, free_until = N_PLACES, refreshed;
    bool aborts;

    do
    :: group < N_GROUPS ->
        if
        :: n = 1
        :: n = 2
        fi;
        if
        :: aborts = false
        :: aborts = true
        fi;
        if /* has_room */
        :: put + n > free_until ->
            load(PUTS, RELEASED, refreshed);
            free_until = refreshed + N_PLACES
        :: else
        fi;
        if
        :: put + n > free_until /* no room: the group leaves no trace */
        :: else ->
            i = 0;
            do
            :: i < n ->
                store(PUTS, (put + i) % N_PLACES, (aborts -> ABORTED : put + i + 1), false);
                i++
            :: else -> break
            od;
            if
            :: aborts
            :: else ->
                put = put + n;
                atomic {
                    n_committed = put;
                    is_boundary[put] = true
                }
                store(PUTS, VISIBLE, put, COMMIT_IS_RELEASE)
            fi
        fi;
        group++
    :: else -> break
    od;
    is_over = true
}

proctype consumer()
{
    byte at, seen, taken, value;
    bool was_over;

    do
    :: was_over = is_over && IS_EMPTY(PUTS);
        load(TAKES, VISIBLE, seen); /* ring_look */
        assert(seen == 0 || is_boundary[seen]);
        do
        :: taken < seen ->
            load(TAKES, taken % N_PLACES, value);
            taken++;
            assert(value == taken);
            if
            :: store(TAKES, RELEASED, taken, true)
            :: true /* later */
            fi
        :: else -> break
        od;
        store(TAKES, RELEASED, taken, true);
        if
        :: was_over -> break
        :: else
        fi
    od;
    assert(taken == n_committed)
}

init
{
    is_boundary[0] = true;
    atomic {
        run producer();
        run consumer();
        run drain(PUTS);
        run drain(TAKES)
    }
}
