/* Promotions in daemon/lib/feed/orders.c: N_ORDERS of promote and give-up for one line, in any
 * mixture, then stop or not. Each promotion ends once, and whoever sees that it did sees how, and
 * what was handed back. Waking is as in orders.pml, the ring and SAFE are not here. */
#ifndef N_ORDERS
#define N_ORDERS 3
#endif

/* Variables. A place of the ring holds the number of a promotion, or GIVE_UP. */
#define NEWEST 0
#define STOP 1
#define VISIBLE 2
#define STOP_DONE 3
#define ENDED 4    /* promotion_done.number */
#define HOW 5      /* promotion_end */
#define RETURNED 6 /* what done() leaves for whoever ordered: the decoder of that promotion's time */
#define PENDING 7
#define PLACE 8
#define N_VARIABLES (PLACE + N_ORDERS)
#define N_THREADS 2
#define DEPTH 4
#include "stores.pml"

#define GIVE_UP 100

#ifdef FAULT_RELAXED_END
#define END_IS_RELEASE false
#else
#define END_IS_RELEASE true
#endif

#define POSTS 0
#define TAKES 1

/* Values of HOW. */
#define IS_DONE 1
#define IS_EXPIRED 2
#define IS_GIVEN_UP 3

#define MOST_REFUSALS 2 /* for ORDERS_PROMOTION_BINS */

bool descriptor, is_stopped;

inline wake(old)
{
    load(POSTS, PENDING, old);
    if
    :: old
    :: else ->
        atomic {
            IS_EMPTY(POSTS);
            old = memory[PENDING];
            memory[PENDING] = 1
        }
        if
        :: old
        :: else -> descriptor = true
        fi
    fi
}

inline publish(number)
{
    store(POSTS, NEWEST, number, true);
    fence(POSTS);
    wake(old)
}

inline post_in_ring(what)
{
    number++;
    store(POSTS, PLACE + n_in_ring, what, false);
    n_in_ring++;
    store(POSTS, VISIBLE, n_in_ring, true);
    publish(number)
}

/* Is the newest promotion over? Then all of it is to be seen. */
inline look()
{
    load(POSTS, ENDED, value);
    is_owed = value < newest;
    if
    :: is_owed || newest == 0
    :: else ->
        assert(value == newest);
        load(POSTS, HOW, value);
        assert(value == IS_DONE || value == IS_EXPIRED || value == IS_GIVEN_UP);
        if
        :: value == IS_DONE -> load(POSTS, RETURNED, value); assert(value == newest)
        :: else -> load(POSTS, RETURNED, value); assert(value < newest)
        fi
    fi
}

proctype control()
{
    byte at, number, old, value, n_in_ring, newest;
    bool is_owed;

    do
    :: n_in_ring < N_ORDERS ->
        look();
        if
        :: !is_owed -> newest = number + 1; post_in_ring(newest)
        :: post_in_ring(GIVE_UP)
        fi
    :: else -> break
    od;
    if
    :: true
    :: number++;
        store(POSTS, STOP, number, false);
        publish(number);
        do
        :: load(POSTS, STOP_DONE, value);
            if
            :: value == number -> break
            :: else -> memory[STOP_DONE] == number
            fi
        od;
        assert(is_stopped);
        do /* what was posted before it is over, too, or ends at once */
        :: look();
            if
            :: !is_owed -> break
            :: else -> memory[ENDED] == newest
            fi
        od
    fi
}

/* set_done of promotion_done. */
inline end_promotion(how)
{
    if
    :: owed == 0
    :: else ->
        store(TAKES, HOW, how, false);
        store(TAKES, ENDED, owed, END_IS_RELEASE);
        owed = 0
    fi
}

inline take_stop()
{
    load(TAKES, STOP, value);
    if
    :: value != stop_taken ->
        stop_taken = value;
        is_stopped = true;
#ifndef FAULT_STOP_FORGETS
        end_promotion(IS_GIVEN_UP);
#endif
        store(TAKES, STOP_DONE, value, true)
    :: else
    fi
}

inline take_orders()
{
    load(TAKES, NEWEST, value);
    if
    :: value == seen
    :: else ->
        seen = value;
        do
        :: load(TAKES, VISIBLE, visible);
            take_stop();
            if
            :: taken < visible ->
                load(TAKES, PLACE + taken, value);
                taken++;
                assert(value > 0);
                if
                :: value == GIVE_UP -> end_promotion(IS_GIVEN_UP)
                :: else ->
                    assert(owed == 0); /* one at a time */
                    owed = value;
                    n_refused = 0;
                    if
                    :: stop_taken -> end_promotion(IS_GIVEN_UP)
                    :: else
                    fi
                fi
            :: else -> break
            fi
        od
    fi
}

/* It may be, or not; too often not, and it expires. */
inline promote_owed()
{
    if
    :: owed == 0
    :: owed ->
#ifdef FAULT_END_BEFORE_DONE
        value = owed;
        end_promotion(IS_DONE);
        store(TAKES, RETURNED, value, false)
#else
        store(TAKES, RETURNED, owed, false);
        end_promotion(IS_DONE)
#endif
    :: owed ->
        n_refused++;
        if
        :: n_refused > MOST_REFUSALS -> end_promotion(IS_EXPIRED)
        :: else
        fi
    fi
}

proctype data()
{
    byte at, value, seen, visible, taken, stop_taken, owed, n_refused, n_other;
end:
    do
    :: n_other < 2 -> n_other++; take_orders(); promote_owed()
    :: atomic { descriptor -> descriptor = false };
        atomic {
            IS_EMPTY(TAKES);
            value = memory[PENDING];
            memory[PENDING] = 0
        }
        if
        :: value -> take_orders(); promote_owed()
        :: else
        fi
    od
}

init
{
    atomic {
        run control();
        run data();
        run drain(POSTS);
        run drain(TAKES)
    }
}
