#include "base/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

// What is left of a long wait, as a clock shows it.
static void draw_time(double seconds)
{
    if (seconds < 3600)
        fprintf(stderr, " %d:%02d left ", (int)seconds / 60, (int)seconds % 60);
    else if (seconds < 360000)
        fprintf(stderr, " %d h %02d left ", (int)seconds / 3600, (int)seconds / 60 % 60);
}

static void draw_bar(struct progress *p)
{
    enum { WIDTH = 28 };
    double part = p->total > 0 ? p->done / p->total : 1;
    if (part > 1)
        part = 1;
    char bar[WIDTH * 3 + 1];
    int n = 0;
    for (int i = 0; i < WIDTH; i++)
        n += snprintf(bar + n, sizeof bar - (size_t)n, "%s", i < (int)(part * WIDTH) ? "━" : "╌");
    double seconds = clock_seconds() - p->begun;
    fprintf(stderr, "\r%s %s %3.0f%%  %s", p->label, bar, part * 100, show_bytes(p->done));
    double rate = (p->done - p->before) / (seconds + 1e-9);
    fprintf(stderr, " of %s  %s/s ", show_bytes(p->total), show_bytes(rate > 0 ? rate : 0));
    if (rate > 0 && seconds > 2 && p->total > p->done)
        draw_time((p->total - p->done) / rate);
    fprintf(stderr, "\033[K");
    fflush(stderr);
}

void progress_begin(struct progress *p, const char *label, double total_bytes)
{
    *p = (struct progress){.label = label, .total = total_bytes, .begun = clock_seconds()};
    p->shown = isatty(STDERR_FILENO) && log_get_level() <= LOG_INFO;
}

void progress_resume(struct progress *p, double done_bytes)
{
    p->before = p->done = done_bytes;
}

void progress_set(struct progress *p, double done_bytes)
{
    p->done = done_bytes;
    double now = clock_seconds();
    if (!p->shown || now - p->drawn < 0.05)
        return;
    p->drawn = now;
    draw_bar(p);
}

void progress_end(struct progress *p)
{
    if (p->shown && p->drawn > 0)
        fprintf(stderr, "\r\033[K");
    p->shown = false;
}

const char *show_bytes(double bytes)
{
    static _Thread_local char text[4][24];
    static _Thread_local unsigned next;
    char *out = text[next++ % 4];
    const char *unit[] = {"B", "KB", "MB", "GB", "TB"};
    int u = 0;
    while (bytes >= 1000 && u < 4) {
        bytes /= 1000;
        u++;
    }
    snprintf(out, sizeof text[0],
             u == 0        ? "%.0f %s"
             : bytes < 10  ? "%.2f %s"
             : bytes < 100 ? "%.1f %s"
                           : "%.0f %s",
             bytes, unit[u]);
    return out;
}
