/* A thread whose mapped files may be cut by others. SQLite maps FILE-shm; a page of it that is no
 * longer in the file is a SIGBUS for whoever touches it, and would end the program. */
#ifndef RECORD_MAPPED_H
#define RECORD_MAPPED_H

/* From now on such a page reads as zeros in the calling thread, which SQLite's checksums notice.
 * Everywhere else SIGBUS is as it was. */
void mapped_guard_thread(void);

#endif
