// Lines for people, on stderr. `--quiet` raises the level, `--verbose` lowers it.
#ifndef COLROW_BASE_LOG_H
#define COLROW_BASE_LOG_H

#include "base/status.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

void log_set_level(enum log_level level); // default LOG_INFO
enum log_level log_get_level(void);
void log_debug(const char *format, ...) STATUS_PRINTF(1, 2);
void log_info(const char *format, ...) STATUS_PRINTF(1, 2);
void log_warning(const char *format, ...) STATUS_PRINTF(1, 2);
void log_error(const char *format, ...) STATUS_PRINTF(1, 2);

#endif
