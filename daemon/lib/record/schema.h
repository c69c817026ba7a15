/* The file: tables, and the version of their meaning. README.md describes them. */
#ifndef RECORD_SCHEMA_H
#define RECORD_SCHEMA_H

#define RECORD_APPLICATION_ID 0x4c524543 /* "LREC" */
#define RECORD_SCHEMA_VERSION 1

extern const char record_schema[]; /* SQL */

#endif
