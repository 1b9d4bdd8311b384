/* text_width - names of models on a terminal: cut to a width in columns, control characters replaced. The
 * files that programs read hold the whole names. */
#ifndef SG_ANALYSIS_TEXT_WIDTH_H
#define SG_ANALYSIS_TEXT_WIDTH_H

#include <stddef.h>

/* Columns that a terminal needs for valid UTF-8; control characters count as the one '?' they are shown as.
 */
int sg_text_width(const char *s);

/* s in exactly `width` columns (at least 1): cut with "..." where it is longer, padded with spaces where it
 * is shorter. A buffer of 4 * width + 1 bytes holds it. Returns buf. */
char *sg_text_fit(const char *s, int width, char *buf, size_t n);

/* s, or its beginning and "..." where it has more than `width` columns; no padding. Returns buf. */
char *sg_text_cut(const char *s, int width, char *buf, size_t n);

/* What follows the last slash of a model id (openai/gpt-4o-mini: gpt-4o-mini). */
const char *sg_text_short_name(const char *id);

/* A difference with its sign, into buf: so many digits behind the point, or up to three more where it would read as zero
 * and is none: an interval that lies above zero shall not read as if it held it. */
char *sg_text_signed(double x, int digits, char *buf, size_t n);

#endif
