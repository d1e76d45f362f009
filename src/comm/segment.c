#include "comm/segment.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/checked.h"
#include "comm/flight_record.h"
#include "comm/reduction_tree.h"

static const char magic[8] = "colrow\0";
enum { PAGE_ALIGN = 4096 };

// Numbers of ranks are at most COMM_RANKS_MAX, so that nothing here can overflow but the board.
static size_t lay_out_segment(struct segment *segment, size_t n_ranks, size_t world_size)
{
    size_t offset = round_up(sizeof(struct segment_header), SEGMENT_ALIGN);
    offset += n_ranks * sizeof(struct rank_record);
    segment->lines_offset = offset;
    offset += SEGMENT_CHANNELS * n_ranks * sizeof(struct rank_line);
    segment->pairs_offset = offset;
    offset += n_ranks * n_ranks * sizeof(struct pair_line);
    segment->slots_offset = offset = round_up(offset, PAGE_ALIGN);
    offset += SEGMENT_CHANNELS * n_ranks * 2 * SLOT_BYTES;
    segment->exchanges_offset = offset;
    offset += SEGMENT_CHANNELS * n_ranks * 2 * EXCHANGE_BYTES;
    segment->sends_offset = offset;
    offset += n_ranks * SEND_PIECES * SEND_PIECE_BYTES;
    segment->mail_offset = offset;
    offset += n_ranks * sizeof(struct address_entry);
    segment->book_offset = n_ranks == world_size ? segment->mail_offset : offset;
    if (n_ranks < world_size)
        offset += world_size * sizeof(struct address_entry);
    return round_up(offset, PAGE_ALIGN);
}

size_t segment_used_bytes(int n_ranks, size_t board_bytes)
{
    struct segment segment;
    size_t unused =
        (size_t)(SEGMENT_CHANNELS - 1) * (size_t)n_ranks * 2 * (SLOT_BYTES + EXCHANGE_BYTES);
    (void)lay_out_segment(&segment, (size_t)n_ranks, (size_t)n_ranks);
    return segment.mail_offset - unused + board_bytes;
}

static enum status map(int fd, struct segment *segment)
{
    void *base = mmap(NULL, segment->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return fail_errno("map", "the group's shared memory");
    segment->header = base;
    void *records = (char *)base + round_up(sizeof *segment->header, SEGMENT_ALIGN);
    segment->ranks = records;
    return OK;
}

// Shared memory counts as a file for `ulimit -f`, whose signal must not end the program that calls
// us.
static int set_size(int fd, off_t bytes)
{
    sigset_t too_large, before;
    sigemptyset(&too_large);
    sigaddset(&too_large, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &too_large, &before);
    int failed = ftruncate(fd, bytes), error = errno;
    while (failed && sigtimedwait(&too_large, NULL, &(struct timespec){0}) > 0)
        ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return failed;
}

// The pages that are used for certain are reserved now: a full /dev/shm or cgroup is an error here
// and not a SIGBUS later.
static enum status size_and_seal(int fd, const struct segment *segment, size_t board_offset)
{
    off_t bytes = (off_t)segment->bytes;
    // Addresses are written where there are other nodes.
    bool alone = segment->n_ranks == segment->world_size;
    size_t first_kept = alone ? board_offset : round_up(segment->mail_offset, PAGE_ALIGN);
    int failed = set_size(fd, bytes);
    if (failed && errno == EFBIG)
        return fail(
            ERR_MEMORY,
            "cannot reserve %zu bytes of shared memory for the group: it counts as a file, and "
            "the limit on the size of files is lower; raise it (ulimit -f)",
            segment->bytes);
    if (failed || fallocate(fd, 0, 0, (off_t)segment->slots_offset) ||
        fallocate(fd, 0, (off_t)first_kept, bytes - (off_t)first_kept))
        return fail(ERR_MEMORY, "cannot reserve %zu bytes of shared memory for the group: %s",
                    segment->bytes, strerror(errno));
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
        return fail_errno("seal", "the group's shared memory");
    return OK;
}

static void set_ranks(struct segment *segment, int n_ranks, int first_rank, int world_size)
{
    segment->n_ranks = n_ranks;
    segment->first_rank = first_rank;
    segment->world_size = world_size;
}

enum status segment_new(const struct world_part *part, size_t board_bytes, double deadline_seconds,
                        struct segment *out, int *fd)
{
    int n_ranks = part->n_ranks;
    assert(n_ranks >= 1 && part->world_size <= COMM_RANKS_MAX && part->first_rank >= 0);
    assert(part->first_rank + n_ranks <= part->world_size);
    assert(deadline_seconds > 0);
    memset(out, 0, sizeof *out);
    set_ranks(out, n_ranks, part->first_rank, part->world_size);
    size_t board_offset = lay_out_segment(out, (size_t)n_ranks, (size_t)part->world_size);
    if (board_bytes > (size_t)1 << 40)
        return fail_memory(board_bytes, "the group's board");
    // Never empty: fallocate() refuses nothing.
    out->bytes = round_up(board_offset + (board_bytes ? board_bytes : 1), PAGE_ALIGN);
    int memory = memfd_create("colrow-group", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0)
        return fail_errno("create", "the group's shared memory");
    enum status status;
    TRY_DONE(size_and_seal(memory, out, board_offset));
    TRY_DONE(map(memory, out));
    struct segment_header *header = out->header;
    memcpy(header->magic, magic, sizeof magic);
    header->version = SEGMENT_VERSION;
    header->n_ranks = (uint32_t)n_ranks;
    header->world_size = (int32_t)part->world_size;
    header->first_rank = (int32_t)part->first_rank;
    header->n_nodes = (int32_t)part->n_nodes;
    header->node = (int32_t)part->node;
    header->bytes = out->bytes;
    header->board_offset = board_offset;
    header->board_bytes = board_bytes;
    double deadline_ns = deadline_seconds * 1e9;
    header->deadline_ns = deadline_ns < 9e18 ? (int64_t)deadline_ns : INT64_MAX;
    header->owner_pid = (int32_t)getpid();
    for (int r = 0; r < n_ranks; r++) {
        flight_record_init(&out->ranks[r].flight);
    }
    *fd = memory;
    return OK;
done:
    close(memory);
    return status;
}

enum status segment_map(int fd, int n_ranks, int world_size, struct segment *out)
{
    memset(out, 0, sizeof *out);
    struct stat about;
    if (fstat(fd, &about) || about.st_size < (off_t)PAGE_ALIGN)
        return fail(ERR_INPUT,
                    SEGMENT_FD_VARIABLE
                    "=%d is not the memory of a group; was this program started "
                    "by something that closes file descriptors?",
                    fd);
    size_t end = lay_out_segment(out, (size_t)n_ranks, (size_t)world_size);
    out->bytes = (size_t)about.st_size;
    TRY(map(fd, out));
    const struct segment_header *header = out->header;
    bool fits = memcmp(header->magic, magic, sizeof magic) == 0 &&
                header->version == SEGMENT_VERSION && header->n_ranks == (uint32_t)n_ranks &&
                header->world_size == world_size && header->first_rank >= 0 &&
                header->first_rank <= world_size - n_ranks && header->bytes == out->bytes &&
                header->board_offset == end && header->board_bytes <= out->bytes - end;
    if (fits) {
        set_ranks(out, n_ranks, header->first_rank, world_size);
        return OK;
    }
    segment_unmap(out);
    return fail(ERR_INPUT,
                SEGMENT_FD_VARIABLE "=%d is not the memory of a group of %d ranks of this version "
                                    "of colrow",
                fd, world_size);
}

struct rank_record *segment_record(const struct segment *segment, int world_rank)
{
    int rank = world_rank - segment->first_rank;
    return rank >= 0 && rank < segment->n_ranks ? &segment->ranks[rank] : NULL;
}

void segment_unmap(struct segment *segment)
{
    if (segment->header)
        munmap(segment->header, segment->bytes);
    memset(segment, 0, sizeof *segment);
}

static void *at(const struct segment *segment, size_t offset)
{
    return (char *)segment->header + offset;
}

struct rank_line *segment_line(const struct segment *segment, int channel, int rank)
{
    assert(channel >= 0 && channel < SEGMENT_CHANNELS && rank >= 0 && rank < segment->n_ranks);
    size_t index = (size_t)channel * (size_t)segment->n_ranks + (size_t)rank;
    return at(segment, segment->lines_offset + index * sizeof(struct rank_line));
}

struct pair_line *segment_pair(const struct segment *segment, int from, int to)
{
    assert(from >= 0 && from < segment->n_ranks && to >= 0 && to < segment->n_ranks);
    size_t index = (size_t)from * (size_t)segment->n_ranks + (size_t)to;
    return at(segment, segment->pairs_offset + index * sizeof(struct pair_line));
}

char *segment_slot(const struct segment *segment, int channel, int rank, int parity)
{
    assert(channel >= 0 && channel < SEGMENT_CHANNELS && rank >= 0 && rank < segment->n_ranks);
    size_t index = (size_t)channel * (size_t)segment->n_ranks + (size_t)rank;
    return at(segment, segment->slots_offset + (index * 2 + (size_t)parity) * SLOT_BYTES);
}

char *segment_exchange(const struct segment *segment, int channel, int rank, int parity)
{
    assert(channel >= 0 && channel < SEGMENT_CHANNELS && rank >= 0 && rank < segment->n_ranks);
    size_t index = (size_t)channel * (size_t)segment->n_ranks + (size_t)rank;
    return at(segment, segment->exchanges_offset + (index * 2 + (size_t)parity) * EXCHANGE_BYTES);
}

char *segment_send_piece(const struct segment *segment, int rank, int piece)
{
    assert(rank >= 0 && rank < segment->n_ranks && piece >= 0 && piece < SEND_PIECES);
    size_t index = (size_t)rank * SEND_PIECES + (size_t)piece;
    return at(segment, segment->sends_offset + index * SEND_PIECE_BYTES);
}

struct address_entry *segment_mail(const struct segment *segment, int rank)
{
    assert(rank >= 0 && rank < segment->n_ranks);
    return at(segment, segment->mail_offset + (size_t)rank * sizeof(struct address_entry));
}

struct address_entry *segment_book(const struct segment *segment, int world_rank)
{
    assert(world_rank >= 0 && world_rank < segment->world_size);
    return at(segment, segment->book_offset + (size_t)world_rank * sizeof(struct address_entry));
}

void *segment_board(const struct segment *segment)
{
    return segment->header->board_bytes ? at(segment, segment->header->board_offset) : NULL;
}
