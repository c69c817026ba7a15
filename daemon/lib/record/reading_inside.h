/* For those who read further tables of the same record. */
#ifndef RECORD_READING_INSIDE_H
#define RECORD_READING_INSIDE_H

#include <sqlite3.h>

#include "record/reading.h"

/* In one transaction with what reading reads; stays its own. */
sqlite3 *reading_db(struct reading *r);

#endif
