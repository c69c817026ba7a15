/* What the reports of a certificate share. */
#ifndef CERTIFY_REPORT_INSIDE_H
#define CERTIFY_REPORT_INSIDE_H

#include <stdio.h>

#include "certify/certify.h"

#define REPORT_NO_STATEMENT \
    "This says how this machine kept time while it was looked at. It is no medical statement."
#define HISTOGRAM_ROWS 16

/* Rows of equal steps in the logarithm, from the least duration to the largest. */
struct histogram_rows {
    double upper_ms[HISTOGRAM_ROWS];
    size_t count[HISTOGRAM_ROWS], n, most;
};

/* Percentiles, budget, misses: one line. */
void report_series_text(const struct series *s, char *text, size_t n);
/* The verdict, what to begin with, the confidence: whole lines. */
void report_verdict(const struct certificate *c, FILE *out);
/* s is sorted; no row when it is empty. */
void report_histogram(const struct series *s, struct histogram_rows *out);
/* Of a row's bar, 0 to 1: that of the logarithm. */
double report_length(const struct histogram_rows *h, size_t row);
/* The whole report as Markdown. */
void report_markdown(const struct certificate *c, FILE *out);
/* The whole report as one page that needs nothing else. */
void report_html(const struct certificate *c, FILE *out);

#endif
