/* Stores that pass through a buffer of their thread on their way to memory, and leave it in any order
 * that C11 allows: those to one variable stay in order, a release store leaves when all before
 * it have left, a relaxed one whenever it likes. Loads read memory at once, in program order, and
 * the thread's own buffer first.
 *
 * To be defined before: N_VARIABLES, N_THREADS, DEPTH (stores a buffer holds, at most 4). */

typedef buffered {
    byte n;
    byte variable[DEPTH];
    byte value[DEPTH];
    bool release[DEPTH]
};

byte memory[N_VARIABLES];
buffered buffer[N_THREADS];

#define IS_EMPTY(t) (buffer[t].n == 0)

/* Waits while the buffer is full. */
inline store(t, v, x, is_release)
{
    atomic {
        buffer[t].n < DEPTH;
        buffer[t].variable[buffer[t].n] = v;
        buffer[t].value[buffer[t].n] = x;
        buffer[t].release[buffer[t].n] = is_release;
        buffer[t].n++
    }
}

/* at, like every name of this file that is not an argument, is declared by the caller. */
inline load(t, v, into)
{
    d_step {
        into = memory[v];
        at = 0;
        do
        :: at < buffer[t].n && buffer[t].variable[at] == v -> into = buffer[t].value[at]; at++
        :: at < buffer[t].n && buffer[t].variable[at] != v -> at++
        :: else -> break
        od;
        at = 0
    }
}

/* Nothing of this thread is on its way: what a fence, or the release of a read-modify-write, waits
 * for. */
inline fence(t)
{
    IS_EMPTY(t)
}

#define FREE(t, i, j) (buffer[t].variable[i] != buffer[t].variable[j])
#define MAY_LEAVE_0(t) (buffer[t].n > 0)
#define MAY_LEAVE_1(t) (buffer[t].n > 1 && !buffer[t].release[1] && FREE(t, 1, 0))
#define MAY_LEAVE_2(t) (buffer[t].n > 2 && !buffer[t].release[2] && FREE(t, 2, 0) && FREE(t, 2, 1))
#define MAY_LEAVE_3(t)                                                                             \
    (buffer[t].n > 3 && !buffer[t].release[3] && FREE(t, 3, 0) && FREE(t, 3, 1) && FREE(t, 3, 2))

inline leave(t, i)
{
    memory[buffer[t].variable[i]] = buffer[t].value[i];
    at = i;
    do
    :: at + 1 < buffer[t].n ->
        buffer[t].variable[at] = buffer[t].variable[at + 1];
        buffer[t].value[at] = buffer[t].value[at + 1];
        buffer[t].release[at] = buffer[t].release[at + 1];
        at++
    :: else -> break
    od;
    buffer[t].n--;
    buffer[t].variable[buffer[t].n] = 0;
    buffer[t].value[buffer[t].n] = 0;
    buffer[t].release[buffer[t].n] = false;
    at = 0
}

/* One a thread. */
proctype drain(byte t)
{
    byte at;
end:
    do
    :: d_step { MAY_LEAVE_0(t) -> leave(t, 0) }
    :: d_step { MAY_LEAVE_1(t) -> leave(t, 1) }
    :: d_step { MAY_LEAVE_2(t) -> leave(t, 2) }
    :: d_step { MAY_LEAVE_3(t) -> leave(t, 3) }
    od
}
