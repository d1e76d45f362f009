// One line for each request: who, what, how it ended, how long it took. Never its text.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "server/json_writer.h"
#include "server/serve_state.h"

// A line shall go into a pipe in one piece (PIPE_BUF).
enum { LOGGED_PATH_BYTES_MAX = 1024 };

void serve_note_end(struct serve_server *server, const struct serve_job *job)
{
    struct serve_note *note;
    if (!server->options->log_requests || !job->answer || server->n_notes >= SERVE_NOTES_MAX ||
        memory_new(1, sizeof *note, "a line of the log", &note) != OK)
        return; // then the line has the HTTP side alone
    snprintf(note->id, sizeof note->id, "%s", job->log_id);
    note->prompt_tokens = answer_prompt_tokens(job->answer);
    note->completion_tokens = answer_completion_tokens(job->answer);
    for (int i = 0; i < job->answer->n_choices; i++) {
        note->draft_tokens += job->answer->choices[i].draft_tokens;
        note->accepted_draft_tokens += job->answer->choices[i].accepted_draft_tokens;
    }
    note->finish =
        job->fault.status ? "error" : answer_finish_reason(job->answer->choices[0].finish);
    note->first_token_seconds =
        job->first_ns ? (double)(job->first_ns - job->received_ns) * 1e-9 : -1;
    note->next = server->notes;
    server->notes = note;
    server->n_notes++;
}

static struct serve_note *take_note(struct serve_server *server, const char *id)
{
    for (struct serve_note **at = &server->notes; *at; at = &(*at)->next)
        if (strcmp((*at)->id, id) == 0) {
            struct serve_note *note = *at;
            *at = note->next;
            server->n_notes--;
            return note;
        }
    return NULL;
}

void serve_notes_fini(struct serve_server *server)
{
    for (struct serve_note *note = server->notes, *next; note; note = next) {
        next = note->next;
        free(note);
    }
    server->notes = NULL;
}

static void put_milliseconds(struct json_writer *writer, const char *key, double seconds)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%.1f", seconds * 1e3);
    json_put_raw(writer, key, text, (size_t)length);
}

static enum status json_line(const struct http_record *record, const struct serve_note *note,
                             struct bytes *out)
{
    const struct http_request *request = record->request;
    struct json_writer writer;
    char stamp[64];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(stamp + n, sizeof stamp - n, ".%03ldZ", now.tv_nsec / 1000000);
    json_writer_begin(&writer, out);
    json_open_object(&writer, NULL);
    json_put_text(&writer, "time", stamp);
    json_put_text(&writer, "client", record->peer);
    if (request) {
        json_put_text(&writer, "id", request->id);
        json_put_string(&writer, "method", request->method_text.data, request->method_text.length);
        json_put_string(&writer, "path", request->path,
                        strnlen(request->path, LOGGED_PATH_BYTES_MAX));
    }
    json_put_int(&writer, "status", record->status);
    json_put_int(&writer, "bytes", record->sent_bytes);
    put_milliseconds(&writer, "ms", (double)(record->ended_ns - record->begun_ns) * 1e-9);
    if (note) {
        json_put_int(&writer, "prompt_tokens", note->prompt_tokens);
        json_put_int(&writer, "completion_tokens", note->completion_tokens);
        if (note->draft_tokens > 0) {
            json_put_int(&writer, "draft_tokens", note->draft_tokens);
            json_put_int(&writer, "accepted_draft_tokens", note->accepted_draft_tokens);
        }
        json_put_text(&writer, "finish", note->finish);
        if (note->first_token_seconds >= 0)
            put_milliseconds(&writer, "first_token_ms", note->first_token_seconds);
    }
    json_close_object(&writer);
    return writer.status;
}

static enum status text_line(const struct http_record *record, const struct serve_note *note,
                             struct bytes *out)
{
    const struct http_request *request = record->request;
    TRY(bytes_format(out, "%s ", record->peer));
    if (request)
        TRY(bytes_format(out, "%.*s %s", (int)request->method_text.length,
                         request->method_text.data, request->path));
    else
        TRY(bytes_text(out, "(no request)"));
    TRY(bytes_format(out, " %d, %.1f ms, %" PRId64 " bytes", record->status,
                     (double)(record->ended_ns - record->begun_ns) * 1e-6, record->sent_bytes));
    if (note) {
        TRY(bytes_format(out, ", %d + %d tokens, %s", note->prompt_tokens, note->completion_tokens,
                         note->finish ? note->finish : "cancelled"));
        if (note->draft_tokens > 0)
            TRY(bytes_format(out, ", %d of %d drafted tokens right", note->accepted_draft_tokens,
                             note->draft_tokens));
        if (note->first_token_seconds >= 0)
            TRY(bytes_format(out, ", first token after %.1f ms", note->first_token_seconds * 1e3));
    }
    return request ? bytes_format(out, ", id %s", request->id) : OK;
}

void serve_log(const struct http_record *record, void *owner)
{
    struct serve_server *server = owner;
    struct serve_note *note = record->request ? take_note(server, record->request->id) : NULL;
    struct bytes line;
    bytes_init(&line);
    if (server->options->log_requests) {
        if (!server->options->log_json) {
            if (text_line(record, note, &line) == OK)
                log_info("%s", line.data);
        } else if (json_line(record, note, &line) == OK && bytes_text(&line, "\n") == OK) {
            log_raw(LOG_INFO, line.data, line.length);
        }
    }
    bytes_fini(&line);
    free(note);
}
