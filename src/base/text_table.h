// Aligned text tables. Numbers (cells that begin with a digit, sign or dot) are set right.
#ifndef COLROW_BASE_TEXT_TABLE_H
#define COLROW_BASE_TEXT_TABLE_H

#include <stdio.h>

#include "base/memory.h"
#include "base/status.h"

enum { TABLE_COLUMNS_MAX = 24 };

struct table {
    int n_columns;
    size_t n_cells;
    struct bytes text;  // cells, NUL-terminated, one after the other
    enum status status; // sticky: a cell that could not be stored
};

void table_init(struct table *table, int n_columns);
void table_fini(struct table *table);
// One cell; rows fill from left to right. The first row is the heading.
void table_cell(struct table *table, const char *format, ...) STATUS_PRINTF(2, 3);
// Prints with two spaces between columns, heading underlined with ─.
enum status table_print(const struct table *table, FILE *file) STATUS_MUST_USE;

#endif
