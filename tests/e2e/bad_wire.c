// A switch whose wires are as bad as a test wants: delay, loss, a rate, cuts. For kernels without
// netem, and so that a test can change its mind. It makes an interface "cable0" in each of the
// network namespaces that it is given, and carries frames between them.
//
//     bad_wire NAMESPACE...          then, line by line on standard input:
//     delay MILLISECONDS | loss PERCENT | rate MEGABITS (0: any) | cut PORT | join PORT
//
// Says "ready" when the interfaces are there, and "ok" after each line. Ends with its input.
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { PORTS_MAX = 16, FRAME_MAX = 2048, QUEUE_FRAMES = 1024, MAC_BYTES = 6 };

struct queued {
    int64_t due_ns;
    size_t bytes;
    unsigned char frame[FRAME_MAX];
};

// What is on its way to a port.
struct port {
    int fd;
    bool cut, known;
    unsigned char mac[MAC_BYTES];
    int64_t busy_until_ns; // the rate's
    struct queued *queue;  // a ring
    int first, count;
};

static struct port ports[PORTS_MAX];
static int n_ports;
static int64_t delay_ns;
static double loss, rate_mbit;
static uint64_t seed = 88172645463325252u;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static double draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (double)(seed >> 11) * 0x1p-53;
}

static void give_up(const char *what)
{
    fprintf(stderr, "bad_wire: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_port(const char *name)
{
    char path[256];
    struct ifreq request = {0};
    snprintf(path, sizeof path, "/run/netns/%s", name);
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0 || setns(namespace, CLONE_NEWNET))
        give_up(path);
    close(namespace);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    strcpy(request.ifr_name, "cable0");
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request))
        give_up("/dev/net/tun");
    return fd;
}

static void queue_frame(struct port *to, const unsigned char *frame, size_t bytes, int64_t now)
{
    if (to->cut || to->count == QUEUE_FRAMES || draw() * 100 < loss)
        return;
    int64_t begin = now > to->busy_until_ns ? now : to->busy_until_ns;
    if (rate_mbit > 0)
        to->busy_until_ns = begin + (int64_t)((double)bytes * 8e3 / rate_mbit);
    else
        to->busy_until_ns = now;
    struct queued *last = &to->queue[(to->first + to->count++) % QUEUE_FRAMES];
    last->due_ns = to->busy_until_ns + delay_ns;
    last->bytes = bytes;
    memcpy(last->frame, frame, bytes);
}

static void take_frames(struct port *from, int64_t now)
{
    unsigned char frame[FRAME_MAX];
    ssize_t n;
    for (int i = 0; i < 64 && (n = read(from->fd, frame, sizeof frame)) > 0; i++) {
        if (from->cut || n < 2 * MAC_BYTES)
            continue;
        memcpy(from->mac, frame + MAC_BYTES, MAC_BYTES);
        from->known = true;
        struct port *only = NULL;
        for (int p = 0; p < n_ports; p++)
            if (ports[p].known && memcmp(ports[p].mac, frame, MAC_BYTES) == 0)
                only = &ports[p];
        for (int p = 0; p < n_ports; p++)
            if (&ports[p] != from && (!only || only == &ports[p]))
                queue_frame(&ports[p], frame, (size_t)n, now);
    }
}

static void deliver(struct port *to, int64_t now)
{
    while (to->count > 0 && to->queue[to->first].due_ns <= now) {
        struct queued *next = &to->queue[to->first];
        (void)!write(to->fd, next->frame, next->bytes); // an interface that is down takes nothing
        to->first = (to->first + 1) % QUEUE_FRAMES;
        to->count--;
    }
}

static bool obey(char *line)
{
    char word[16];
    double number;
    if (sscanf(line, "%15s %lf", word, &number) != 2)
        return false;
    int port = (int)number;
    if (strcmp(word, "delay") == 0)
        delay_ns = (int64_t)(number * 1e6);
    else if (strcmp(word, "loss") == 0)
        loss = number;
    else if (strcmp(word, "rate") == 0)
        rate_mbit = number;
    else if ((strcmp(word, "cut") == 0 || strcmp(word, "join") == 0) && port >= 0 && port < n_ports)
        ports[port].cut = word[0] == 'c';
    else
        return false;
    return true;
}

// False at the end.
static bool hear(void)
{
    static char text[4096];
    static size_t held;
    ssize_t n = read(STDIN_FILENO, text + held, sizeof text - 1 - held);
    if (n <= 0)
        return false;
    held += (size_t)n;
    for (char *end; (end = memchr(text, '\n', held));) {
        *end = '\0';
        printf(obey(text) ? "ok\n" : "what? %s\n", text);
        held -= (size_t)(end + 1 - text);
        memmove(text, end + 1, held);
    }
    fflush(stdout);
    return held < sizeof text - 1;
}

int main(int argc, char **argv)
{
    n_ports = argc - 1;
    if (n_ports < 1 || n_ports > PORTS_MAX)
        return 2;
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    for (int p = 0; p < n_ports; p++) {
        ports[p].fd = open_port(argv[1 + p]);
        ports[p].queue = calloc(QUEUE_FRAMES, sizeof *ports[p].queue);
        if (!ports[p].queue)
            return 1;
    }
    if (setns(home, CLONE_NEWNET)) // nobody takes us for a process of a node
        give_up("/proc/self/ns/net");
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        struct pollfd fds[PORTS_MAX + 1];
        int64_t now = now_ns(), due = now + 1000000000;
        for (int p = 0; p < n_ports; p++) {
            fds[p] = (struct pollfd){.fd = ports[p].fd, .events = POLLIN};
            if (ports[p].count > 0 && ports[p].queue[ports[p].first].due_ns < due)
                due = ports[p].queue[ports[p].first].due_ns;
        }
        fds[n_ports] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        int64_t rest = due > now ? due - now : 0;
        const struct timespec patience = {rest / 1000000000, rest % 1000000000};
        (void)ppoll(fds, (nfds_t)n_ports + 1, &patience, NULL);
        if (fds[n_ports].revents && !hear())
            return 0;
        for (int p = 0; p < n_ports; p++)
            if (fds[p].revents)
                take_frames(&ports[p], now_ns());
        now = now_ns();
        for (int p = 0; p < n_ports; p++)
            deliver(&ports[p], now);
    }
}
