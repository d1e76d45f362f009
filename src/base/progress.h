// A progress bar on a terminal; nothing elsewhere, and nothing with --quiet.
#ifndef COLROW_BASE_PROGRESS_H
#define COLROW_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *label; // borrowed
    double total, done, begun, drawn;
    double before; // done when it began: not part of the rate
    bool shown;
};

// `total` in `unit`-less numbers; bytes are drawn as MB/GB with their rate and the time left.
void progress_begin(struct progress *progress, const char *label, double total_bytes);
void progress_resume(struct progress *progress, double done_bytes); // begins there, not at 0
void progress_set(struct progress *progress, double done_bytes);
void progress_end(struct progress *progress); // erases the bar

// "1.2 GB", "512 KB" into a per-thread buffer (four are kept).
const char *show_bytes(double bytes);

#endif
