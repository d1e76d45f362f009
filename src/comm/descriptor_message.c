#include "comm/descriptor_message.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

union descriptors {
    struct cmsghdr header; // for its alignment
    char room[CMSG_SPACE(MESSAGE_DESCRIPTORS_MAX * sizeof(int))];
};

bool descriptor_message_send(int socket, const void *message, size_t bytes, const int *fds,
                             size_t n_fds)
{
    assert(n_fds >= 1 && n_fds <= MESSAGE_DESCRIPTORS_MAX);
    union descriptors descriptors = {0};
    struct iovec part = {.iov_len = bytes};
    memcpy(&part.iov_base, &message, sizeof message); // sendmsg() does not write there
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &descriptors,
                            .msg_controllen = CMSG_SPACE(n_fds * sizeof *fds)};
    struct cmsghdr *control = CMSG_FIRSTHDR(&header);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(n_fds * sizeof *fds);
    memcpy(CMSG_DATA(control), fds, n_fds * sizeof *fds);
    ssize_t n;
    do
        n = sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)bytes;
}

bool descriptor_message_receive(int socket, void *message, size_t bytes, int *fds, size_t *n_fds)
{
    union descriptors descriptors;
    struct iovec part = {message, bytes};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &descriptors,
                            .msg_controllen = sizeof descriptors};
    ssize_t n;
    do
        n = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    const struct cmsghdr *control = n > 0 ? CMSG_FIRSTHDR(&header) : NULL;
    if (n != (ssize_t)bytes || !control || control->cmsg_type != SCM_RIGHTS)
        return false;
    *n_fds = (control->cmsg_len - CMSG_LEN(0)) / sizeof *fds;
    memcpy(fds, CMSG_DATA(control), *n_fds * sizeof *fds);
    return true;
}
