#include "base/text_table.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

void table_init(struct table *table, int n_columns)
{
    assert(n_columns > 0 && n_columns <= TABLE_COLUMNS_MAX);
    *table = (struct table){.n_columns = n_columns};
    bytes_init(&table->text);
}

void table_fini(struct table *table)
{
    bytes_fini(&table->text);
}

void table_cell(struct table *table, const char *format, ...)
{
    if (table->status != OK)
        return;
    char cell[512];
    va_list args;
    va_start(args, format);
    vsnprintf(cell, sizeof cell, format, args);
    va_end(args);
    table->status = bytes_append(&table->text, cell, strlen(cell) + 1);
    table->n_cells++;
}

// Columns on screen of UTF-8 text (continuation bytes do not count).
static int cell_width(const char *cell)
{
    int width = 0;
    for (; *cell; cell++)
        width += ((unsigned char)*cell & 0xc0) != 0x80;
    return width;
}

static int is_number(const char *cell)
{
    return isdigit((unsigned char)cell[0]) ||
           ((cell[0] == '-' || cell[0] == '.' || cell[0] == '+') &&
            (isdigit((unsigned char)cell[1]) || cell[1] == '.'));
}

enum status table_print(const struct table *table, FILE *file)
{
    TRY(table->status);
    int widths[TABLE_COLUMNS_MAX] = {0}, n = table->n_columns;
    const char *cell = table->text.data;
    for (size_t i = 0; i < table->n_cells; i++, cell += strlen(cell) + 1) {
        int width = cell_width(cell);
        if (width > widths[i % (size_t)n])
            widths[i % (size_t)n] = width;
    }
    cell = table->text.data;
    for (size_t i = 0; i < table->n_cells; i++, cell += strlen(cell) + 1) {
        int column = (int)(i % (size_t)n), pad = widths[column] - cell_width(cell);
        if (is_number(cell))
            fprintf(file, "%*s%s", pad, "", cell);
        else if (column == n - 1)
            fputs(cell, file);
        else
            fprintf(file, "%s%*s", cell, pad, "");
        fputs(column == n - 1 ? "\n" : "  ", file);
        if (i + 1 == (size_t)n) {
            for (int c = 0; c < n; c++) {
                for (int k = 0; k < widths[c]; k++)
                    fputs("─", file);
                fputs(c == n - 1 ? "\n" : "  ", file);
            }
        }
    }
    return OK;
}
