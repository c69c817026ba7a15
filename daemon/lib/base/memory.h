/* Memory that a program cannot start without. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

/* Returns memory; where it is NULL the program ends: one line on stderr, exit code 1. For what is
 * allocated at start, or by a program that leaves nothing half done. While bins are decoded nothing
 * is allocated. */
void *memory_need(void *memory);

#endif
