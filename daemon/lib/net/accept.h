/* A daemon out of file descriptors turns new peers away instead of ending. */
#ifndef NET_ACCEPT_H
#define NET_ACCEPT_H

/* Keep one descriptor in reserve, for turning peers away. Call before the first socket. */
void accept_keep_reserve(void);

#endif
