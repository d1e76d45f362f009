// The table of bad input: every case is refused within a second, in one line that names the file,
// the key, what was found and what was expected. A reader adds an array of cases and a function
// that opens a folder.
#ifndef COLROW_TESTS_UNIT_BAD_INPUT_H
#define COLROW_TESTS_UNIT_BAD_INPUT_H

#include "testing.h"

#include <ftw.h>
#include <sys/stat.h>

#include "base/file.h"

// A file of a case. Names that end in .safetensors get a header length in front and `data` bytes
// behind.
struct bad_file {
    const char *name;
    const char *text;
    int data; // bytes of data behind a header; less than 0: cuts as many bytes off the header
    long long length; // the header length written instead of the true one; 0: the true one
};

struct bad_case {
    const char *what;
    struct bad_file files[3];
    const char *words[6]; // all must stand in the message
};

typedef enum status (*open_function)(const char *folder);

static char folder[64];

static inline int remove_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info, (void)type, (void)place;
    return remove(path);
}

static inline void write_raw(const char *path, const void *data, size_t length)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static inline void write_safetensors(const char *path, const struct bad_file *file)
{
    size_t length = strlen(file->text),
           kept = file->data < 0 ? length - (size_t)-file->data : length;
    uint64_t announced = file->length ? (uint64_t)file->length : length;
    size_t n = 8 + kept + (size_t)(file->data > 0 ? file->data : 0);
    unsigned char *all = calloc(n, 1);
    assert_non_null(all);
    for (int i = 0; i < 8; i++)
        all[i] = (unsigned char)(announced >> 8 * i);
    memcpy(all + 8, file->text, kept);
    write_raw(path, all, n);
    free(all);
}

static inline void write_file(const struct bad_file *file)
{
    char path[FILE_PATH_MAX];
    assert_int_equal(file_join(folder, file->name, path), OK);
    size_t length = strlen(file->name);
    if (!file->text)
        assert_int_equal(mkdir(path, 0700), 0);
    else if (length > 12 && strcmp(file->name + length - 12, ".safetensors") == 0 &&
             file->data > -1000)
        write_safetensors(path, file);
    else
        write_raw(path, file->text, strlen(file->text));
}

static inline int run_case(const struct bad_case *bad, open_function open)
{
    int errors = 0;
    snprintf(folder, sizeof folder, "/tmp/colrow-bad-XXXXXX");
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof bad->files / sizeof bad->files[0] && bad->files[i].name; i++)
        write_file(&bad->files[i]);
    status_clear();
    double begun = user_seconds();
    enum status status = open(folder);
    double seconds = user_seconds() - begun;
    const char *message = status_message();
    errors += status == OK || seconds > patience(1) || strchr(message, '\n') != NULL;
    for (size_t i = 0; i < sizeof bad->words / sizeof bad->words[0] && bad->words[i]; i++)
        errors += strstr(message, bad->words[i]) == NULL;
    errors += !strstr(message, "expected") && !strstr(message, "not valid JSON") &&
              !strstr(message, "at most") && !strstr(message, "deeper than");
    if (errors)
        print_error("%s: status %s, %.2f s, message: %s\n", bad->what, status_name(status), seconds,
                    message);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return errors;
}

static inline void run_cases(const struct bad_case *cases, size_t n, open_function open)
{
    int errors = 0;
    for (size_t i = 0; i < n; i++)
        errors += run_case(&cases[i], open);
    print_message("%zu bad inputs\n", n);
    assert_int_equal(errors, 0);
}

#define CASES(array) (array), sizeof(array) / sizeof((array)[0])

#endif
