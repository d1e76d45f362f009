// Lines for people, on stderr. `--quiet` raises the level, `--verbose` lowers it.
#ifndef COLROW_BASE_LOG_H
#define COLROW_BASE_LOG_H

#include <stddef.h>

#include "base/status.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

void log_set_level(enum log_level level); // default LOG_INFO
enum log_level log_get_level(void);
void log_debug(const char *format, ...) STATUS_PRINTF(1, 2);
void log_info(const char *format, ...) STATUS_PRINTF(1, 2);
void log_warning(const char *format, ...) STATUS_PRINTF(1, 2);
void log_error(const char *format, ...) STATUS_PRINTF(1, 2);
// A line as it is, with its newline, if `level` is high enough.
void log_raw(enum log_level level, const char *line, size_t length);
// From now on a line is left out, and counted, when writing it would block: a server must not stand
// still because nobody reads its log. The next line that goes out says how many are missing.
void log_never_block(void);

#endif
