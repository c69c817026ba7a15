/* Tables of a record. What is added later gets a new column or table; what changes its meaning, a
 * new version. */
#include "record/schema.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char record_schema[] =
    "PRAGMA application_id = " TEXT(RECORD_APPLICATION_ID) ";PRAGMA user_version = " TEXT(
        RECORD_SCHEMA_VERSION) ";CREATE TABLE meta (key TEXT "
                               "PRIMARY KEY NOT NULL, value);"
                               "CREATE TABLE names (kind TEXT "
                               "NOT NULL, code INTEGER NOT "
                               "NULL, name TEXT NOT NULL,"
                               " PRIMARY KEY (kind, code));"
                               "CREATE TABLE entries (entry "
                               "INTEGER PRIMARY KEY, kind INTEGER NOT NULL,"
                               " what INTEGER NOT NULL, t_ns "
                               "INTEGER NOT NULL, payload BLOB, clock BLOB);"
                               "CREATE TABLE frames (id INTEGER "
                               "PRIMARY KEY, entry INTEGER NOT NULL,"
                               " epoch INTEGER NOT NULL, seq "
                               "INTEGER NOT NULL, flags INTEGER NOT NULL,"
                               " sent INTEGER NOT NULL, pub_seq "
                               "INTEGER, t_recv_ns INTEGER, "
                               "t_publish_ns INTEGER, bytes BLOB);"
                               "CREATE TABLE outcomes (id "
                               "INTEGER PRIMARY KEY, entry INTEGER NOT NULL,"
                               " epoch INTEGER NOT NULL, seq "
                               "INTEGER NOT NULL, code INTEGER NOT NULL);"
                               "CREATE TABLE actions (id "
                               "INTEGER PRIMARY KEY, entry INTEGER NOT NULL,"
                               " epoch INTEGER NOT NULL, seq "
                               "INTEGER NOT NULL, code INTEGER NOT NULL);"
                               "CREATE TABLE snapshots (entry "
                               "INTEGER PRIMARY KEY, bytes BLOB NOT NULL);"
                               "CREATE TABLE decoders (entry "
                               "INTEGER NOT NULL, of TEXT NOT NULL,"
                               " decoder_id TEXT NOT NULL, path "
                               "TEXT NOT NULL, sha256 TEXT NOT NULL,"
                               " mode TEXT NOT NULL, precision "
                               "TEXT NOT NULL, groups INTEGER NOT NULL,"
                               " PRIMARY KEY (entry, of));"
                               "CREATE TABLE losses (entry "
                               "INTEGER PRIMARY KEY, t_ns INTEGER NOT NULL,"
                               " n_entries INTEGER NOT NULL, "
                               "n_frames INTEGER NOT NULL);";
