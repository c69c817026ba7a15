/* daemon/lib/feed/orders.c with libuv's uv_async_send: N_ORDERS of SAFE-on and SAFE-off for one
 * line, in any mixture, then stop or not. Each is carried out though the data thread may be asleep,
 * the last word holds, and what is acknowledged is so. Not here: a full ring, taps, several lines
 * (each has its own latch and shares the rest). */
#ifndef N_ORDERS
#define N_ORDERS 3
#endif

/* Variables. A place of the ring holds the number of a SAFE-off. */
#define NEWEST 0
#define LATCH 1
#define STOP 2
#define VISIBLE 3
#define RING_DONE 4
#define SAFE_DONE 5
#define STOP_DONE 6
#define T_DONE 7 /* when; one stands for all three */
#define PENDING 8
#define PLACE 9
#define N_VARIABLES (PLACE + N_ORDERS)
#define N_THREADS 2
#define DEPTH 4
#include "stores.pml"

#ifdef FAULT_RELAXED_NEWEST
#define NEWEST_IS_RELEASE false
#else
#define NEWEST_IS_RELEASE true
#endif

#ifdef FAULT_RELAXED_DONE
#define DONE_IS_RELEASE false
#else
#define DONE_IS_RELEASE true
#endif

#define POSTS 0
#define TAKES 1

/* The kernel's: without a buffer. */
bool descriptor;

/* Of the data thread. */
bool is_safe, is_stopped;

/* uv_async_send: the flag is looked at first, without order; setting it is a read-modify-write. */
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
    store(POSTS, NEWEST, number, NEWEST_IS_RELEASE);
#ifndef FAULT_LOST_WAKE
    fence(POSTS);
#endif
    wake(old)
}

inline wait_done(done, wanted)
{
    do
    :: load(POSTS, done, value);
        if
        :: value >= wanted -> break
        :: else -> memory[done] >= wanted /* looks again, when it can have changed */
        fi
    od;
    load(POSTS, T_DONE, value);
    assert(value > 0)
}

proctype control()
{
    byte at, number, old, value, n_in_ring;
    bool wants_safe, waits;

    do
    :: number < N_ORDERS ->
        number++;
        if
        :: wants_safe = true;
            store(POSTS, LATCH, number, false)
        :: wants_safe = false;
            store(POSTS, PLACE + n_in_ring, number, false);
            n_in_ring++;
            store(POSTS, VISIBLE, n_in_ring, true)
        fi;
        publish(number);
        if
        :: waits = true
        :: waits = false
        fi;
        if
        :: (waits || number == N_ORDERS) && wants_safe -> wait_done(SAFE_DONE, number)
        :: (waits || number == N_ORDERS) && !wants_safe -> wait_done(RING_DONE, number)
        :: else
        fi;
        if /* nothing was ordered since: what was acknowledged is so */
        :: waits || number == N_ORDERS -> assert(is_safe == wants_safe)
        :: else
        fi
    :: else -> break
    od;
    if
    :: true
    :: number++;
        store(POSTS, STOP, number, false);
        publish(number);
        wait_done(STOP_DONE, number);
        assert(is_safe && is_stopped)
    fi
}

inline set_done(done, number)
{
    store(TAKES, T_DONE, number, false);
    store(TAKES, done, number, DONE_IS_RELEASE)
}

inline take_latches()
{
    load(TAKES, LATCH, value);
    if
    :: value != safe_taken ->
        safe_taken = value;
        is_safe = true;
        set_done(SAFE_DONE, value)
    :: else
    fi;
    load(TAKES, STOP, value);
    if
    :: value != stop_taken ->
        stop_taken = value;
        is_safe = true;
        is_stopped = true;
        set_done(STOP_DONE, value)
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
        ::
#ifdef FAULT_LATCHES_FIRST
            take_latches();
            load(TAKES, VISIBLE, visible);
#else
            load(TAKES, VISIBLE, visible);
            take_latches();
#endif
            if
            :: taken < visible ->
                load(TAKES, PLACE + taken, value);
                taken++;
                assert(value > 0); /* the order is there */
                if
                :: value < safe_taken || value < stop_taken /* overtaken */
                :: else -> is_safe = false
                fi;
                set_done(RING_DONE, value)
            :: else -> break
            fi
        od
    fi
}

/* Sleeps until its descriptor is readable, but twice finds orders on the way to other work. */
proctype data()
{
    byte at, value, seen, visible, taken, safe_taken, stop_taken, n_other;
end:
    do
    :: n_other < 2 -> n_other++; take_orders()
    :: atomic { descriptor -> descriptor = false };
        atomic { /* read-modify-write */
            IS_EMPTY(TAKES);
            value = memory[PENDING];
            memory[PENDING] = 0
        }
        if
        :: value -> take_orders()
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
