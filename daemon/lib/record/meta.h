/* What a record says of itself: tables meta and names. */
#ifndef RECORD_META_H
#define RECORD_META_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/store.h"

/* SQLITE_OK or SQLite's error. */
int meta_write(sqlite3 *db, const struct store_about *about);
/* Only what differs in a copy that goes on as another file: its number, what it was copied from. */
int meta_write_file(sqlite3 *db, const struct store_about *about);
/* Names of the codes; false: past the last one. */
#define META_MAX_NAME 128
bool meta_entry_name(uint32_t code, char *name, size_t n);
bool meta_action_name(uint32_t code, char *name, size_t n);
bool meta_outcome_name(uint32_t code, char *name, size_t n);
bool meta_promotion_name(uint32_t code, char *name, size_t n);
/* When the record was closed in order. */
int meta_write_end(sqlite3 *db);

#endif
