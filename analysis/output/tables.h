/* tables - everything that scope-frontier writes, as lists of columns. One list of a table drives its CSV
 * file (csv.c), its datasets in frontier.h5 (h5.c), its data in report.html (report.c) and its lines on the
 * terminal (table.c). A metric is added by one member of the table's row and one line in its list:
 * tables_frontier.c, tables_models.c, tables_quality.c, tables_compare.c. */
#ifndef SG_ANALYSIS_OUTPUT_TABLES_H
#define SG_ANALYSIS_OUTPUT_TABLES_H

#include "analysis/analysis.h"
#include "analysis/compare.h"
#include "base/mem.h"
#include <stddef.h>

enum sg__kind {
    SG__TEXT, /* const char * */
    SG__F64,
    SG__I64,
    SG__I32,
    SG__BOOL,
    SG__VALUE, /* struct sg_value: a value and its 95 % interval, three columns */
    SG__MODEL, /* int32_t, index of a model; -1: none. A number in frontier.h5, else its name */
    SG__QUERY, /* the same of a query */
};

/* Where a column goes. */
enum {
    SG__CSV = 1,
    SG__H5 = 2,
    SG__JSON = 4,
    SG__ALL = SG__CSV | SG__H5 | SG__JSON,
    SG__LONE = 8,  /* frontier.h5 and the tables of report.html: the value without its interval */
    SG__AXIS = 16, /* frontier.h5: the coordinate of the table's axis, under its name */
    SG__BARE = 32  /* frontier.h5: the dataset's name has no prefix */
};

/* How people see a column: on the terminal and in the tables of report.html. */
enum sg__style { SG__AS_PERCENT, SG__AS_POINTS /* of accuracy, with a sign */, SG__AS_USD, SG__AS_NUMBER };
enum sg__when { SG__ALWAYS, SG__TRUTH, SG__NO_TRUTH };

struct sg__table_column {
    enum sg__kind kind;
    size_t offset; /* in the row; of a table of arrays: of the array's pointer */
    unsigned in;
    const char *name; /* key in the report's data; dataset of frontier.h5, behind the table's prefix */
    const char *units, *long_name; /* attributes in frontier.h5; NULL: none */
    const char *csv;               /* heading in the CSV file; NULL: name */
    const char *stem;              /* of SG__VALUE: STEM_low, STEM_high; NULL: name; "": low, high */
    /* for people; heading NULL: not shown */
    const char *heading;
    const char *print; /* terminal: printf format with the gap before it; NULL: in the report alone */
    enum sg__style style;
    int digits; /* decimals */
    int place;  /* order of what is shown: by rising place, of equals in the order of the list */
    enum sg__when when;
};
/* ...: name, units, long_name, then members by name. */
#define SG__COLUMN(kind_, offset_, in_, ...)                                                                 \
    { .kind = SG__##kind_, .offset = (offset_), .in = (in_), .name = __VA_ARGS__ }
#define SG__SHOW(heading_, print_, style_, digits_)                                                          \
    .heading = (heading_), .print = (print_), .style = SG__AS_##style_, .digits = (digits_)

/* What is the same for every analysis: where a table is written, and its columns. */
struct sg__layout {
    const char *csv;    /* file name; NULL: no CSV file */
    const char *json;   /* key in the report's data; NULL: not there */
    const char *prefix; /* of datasets in frontier.h5; NULL: none */
    const char *suffix;
    const char *axes[3]; /* of the datasets; none: the table is not in frontier.h5 */
    const struct sg__table_column *columns;
    int n_columns;
    size_t stride;                 /* bytes of a row; 0: `rows` is one struct of arrays */
    bool (*keep)(const void *row); /* rows of the CSV file; NULL: all */
    bool (*told)(const void *row); /* rows of the report's data and of the terminal; NULL: all */
};
#define SG__COLUMNS(list) .columns = (list), .n_columns = (int)(sizeof(list) / sizeof *(list))

struct sg__table {
    const struct sg__layout *is;
    const void *rows;
    int64_t n[3];  /* sizes of the axes: their product is the number of rows outside the CSV file */
    int64_t n_csv; /* rows of the CSV file */
};

struct sg__tables {
    const struct sg_analysis *a;
    const struct sg_comparison *c; /* NULL: one file */
    struct sg__table *table;
    size_t n, cap;
    struct sg_arena arena; /* of the rows */
    void *owned[12];       /* freed with the tables */
    int n_owned;
    bool csv_raw; /* texts of CSV files as they are */
};

void sg__tables_free(struct sg__tables *t); /* zeroed accepted */

/* Each appends its tables. The analysis and the comparison outlive them. */
enum sg_status sg__tables_decision(struct sg__tables *t, struct sg_err *err);
enum sg_status sg__tables_frontier(struct sg__tables *t, struct sg_err *err);
enum sg_status sg__tables_models(struct sg__tables *t, struct sg_err *err);
enum sg_status sg__tables_policies(struct sg__tables *t, struct sg_err *err);
enum sg_status sg__tables_quality(struct sg__tables *t, struct sg_err *err);
enum sg_status sg__tables_compare(struct sg__tables *t, struct sg_err *err);
enum sg_status sg__tables_cells(struct sg__tables *t, struct sg_err *err);

/* rows: the caller's, alive as long as the tables. n: sizes of the layout's axes. */
enum sg_status sg__tables_add(struct sg__tables *t, const struct sg__layout *is, const void *rows,
                              int64_t n_csv, const int64_t n[3], struct sg_err *err);
#define SG__SIZES(...) ((const int64_t[3]){__VA_ARGS__})
/* n zeroed rows in the arena into *pp, which points to their type. */
#define SG__ROWS(t, pp, n, err) sg__tables_rows(t, (int64_t)(n), sizeof **(pp), (void **)(pp), err)
enum sg_status sg__tables_rows(struct sg__tables *t, int64_t n, size_t size, void **out, struct sg_err *err);

/* The table whose key in the report's data is `json`. */
const struct sg__table *sg__tables_find(const struct sg__tables *t, const char *json);

/* Rows outside the CSV file. */
int64_t sg__table_rows(const struct sg__table *t);
/* Where cell (row i, column c) lies. */
const void *sg__table_cell(const struct sg__table *t, const struct sg__table_column *c, int64_t i);
/* Whether row i is told to people. */
bool sg__table_told(const struct sg__table *t, int64_t i);

/* The text of a cell of SG__TEXT, SG__MODEL or SG__QUERY; NULL: the cell is a number. */
const char *sg__cell_text(const struct sg__tables *t, const struct sg__table_column *c, const void *cell);
/* A cell of any kind but SG__TEXT as double; of SG__VALUE its part: 0 value, 1 low, 2 high. */
double sg__cell_number(const struct sg__table_column *c, const void *cell, int part);
/* Name of a column's part: buf, of n bytes. csv: as the CSV file has it. */
const char *sg__table_column_name(const struct sg__table_column *c, int part, bool csv, char *buf, size_t n);

/* The next column that people are shown behind `last` (NULL: the first), or NULL. */
const struct sg__table_column *sg__table_column_shown(const struct sg__table *t,
                                                      const struct sg__table_column *last, bool truth);

#endif
