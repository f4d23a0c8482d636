/* Sockets without a network: pairs, paths, datagrams, descriptors in messages, options, errors. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void send_fd(int sock, int fd)
{
    char control[CMSG_SPACE(sizeof fd)], byte = 'f';
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    printf("sendmsg %zd\n", sendmsg(sock, &msg, 0));
}

static int receive_fd(int sock)
{
    char control[64], byte[4];
    struct iovec iov[2] = {{byte, 1}, {byte + 1, 3}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof control};
    int fd = -1;
    ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    printf("recvmsg %zd %c control %zu flags %x", n, byte[0], (size_t)msg.msg_controllen, msg.msg_flags & ~MSG_CMSG_CLOEXEC);
    if (c) {
        printf(" level %d type %d len %zu", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len);
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    }
    puts("");
    return fd;
}

int main(void)
{
    int sv[2], p[2], on = 1, value;
    char buffer[100];
    socklen_t size;
    struct sockaddr_un name = {.sun_family = AF_UNIX}, peer;
    struct timeval tv = {0, 50000};

    signal(SIGPIPE, SIG_IGN);
    printf("pair %d\n", socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv));
    printf("cloexec %d\n", fcntl(sv[0], F_GETFD));
    write(sv[0], "hello", 5);
    printf("peek %zd ", recv(sv[1], buffer, 100, MSG_PEEK));
    printf("recv %zd %.5s\n", recv(sv[1], buffer, 100, 0), buffer);
    pipe(p);
    send_fd(sv[0], p[1]);
    int fd = receive_fd(sv[1]);
    printf("cloexec %d\n", fcntl(fd, F_GETFD));
    write(fd, "through", 7);
    printf("pipe %zd", read(p[0], buffer, 100));
    printf(" %.7s\n", buffer);

    setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    write(sv[0], "c", 1);
    {
        char control[64], byte;
        struct iovec iov = {&byte, 1};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        recvmsg(sv[1], &msg, 0);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        struct ucred *cred = c ? (void *)CMSG_DATA(c) : NULL;
        printf("credentials %d %d\n", c && c->cmsg_type == SCM_CREDENTIALS, cred && cred->pid == getpid());
        send_fd(sv[0], p[1]);
        msg.msg_control = control;
        msg.msg_controllen = 8; /* too small for anything */
        recvmsg(sv[1], &msg, 0);
        printf("truncated %d\n", !!(msg.msg_flags & MSG_CTRUNC));
    }
    size = sizeof tv;
    setsockopt(sv[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    memset(&tv, 0, sizeof tv);
    getsockopt(sv[1], SOL_SOCKET, SO_RCVTIMEO, &tv, &size);
    printf("timeout %d.%06d size %d\n", (int)tv.tv_sec, (int)tv.tv_usec, size);
    printf("times out %zd", recv(sv[1], buffer, 1, 0));
    printf(" %d\n", errno == EAGAIN);
    size = sizeof value;
    getsockopt(sv[1], SOL_SOCKET, SO_TYPE, &value, &size);
    printf("type %d\n", value == SOCK_STREAM);
    shutdown(sv[0], SHUT_WR);
    printf("end %zd\n", recv(sv[1], buffer, 1, 0));
    close(sv[1]);
    printf("broken %zd", send(sv[0], "x", 1, 0));
    printf(" %d\n", errno == EPIPE);

    /* A path: server and client. */
    char dir[] = "/tmp/jitemu-XXXXXX";
    if (!mkdtemp(dir))
        perror("mkdtemp");
    snprintf(name.sun_path, sizeof name.sun_path, "%s/s", dir);
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    size = offsetof(struct sockaddr_un, sun_path) + strlen(name.sun_path) + 1;
    printf("bind %d", bind(server, (void *)&name, size));
    printf(" twice %d", bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, size));
    printf(" %d listen %d\n", errno == EADDRINUSE, listen(server, 5));
    socklen_t got = sizeof peer;
    getsockname(server, (void *)&peer, &got);
    printf("name %d %d\n", !strcmp(peer.sun_path, name.sun_path), got == size);
    pid_t child = fork();
    if (child == 0) {
        int client = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(client, (void *)&name, size))
            _exit(1);
        got = sizeof peer;
        getpeername(client, (void *)&peer, &got);
        write(client, "from child", 10);
        read(client, buffer, 1);
        _exit(strcmp(peer.sun_path, name.sun_path) ? 2 : buffer[0]);
    }
    got = sizeof peer;
    int conn = accept(server, (void *)&peer, &got);
    printf("accept %d family %d size %d\n", conn >= 0, peer.sun_family, got);
    value = read(conn, buffer, 100);
    printf("read %d %.10s\n", value, buffer);
    write(conn, "\7", 1);
    waitpid(child, &value, 0);
    printf("child %d\n", WEXITSTATUS(value));
    unlink(name.sun_path);
    printf("gone %d", connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, size));
    printf(" %d\n", errno == ENOENT);

    /* Datagrams. */
    int a = socket(AF_UNIX, SOCK_DGRAM, 0), b = socket(AF_UNIX, SOCK_DGRAM, 0);
    bind(a, (void *)&name, size);
    printf("sendto %zd\n", sendto(b, "datagram", 8, 0, (void *)&name, size));
    got = sizeof peer;
    printf("recvfrom %zd", recvfrom(a, buffer, 3, MSG_TRUNC, (void *)&peer, &got));
    printf(" from %d\n", got);
    struct mmsghdr many[2];
    struct iovec iov[2] = {{"one", 3}, {"three", 5}};
    memset(many, 0, sizeof many);
    for (int i = 0; i < 2; i++) {
        many[i].msg_hdr.msg_name = &name;
        many[i].msg_hdr.msg_namelen = size;
        many[i].msg_hdr.msg_iov = &iov[i];
        many[i].msg_hdr.msg_iovlen = 1;
    }
    printf("sendmmsg %d", sendmmsg(b, many, 2, 0));
    printf(" %u %u\n", many[0].msg_len, many[1].msg_len);
    char in[2][10];
    for (int i = 0; i < 2; i++) {
        iov[i] = (struct iovec){in[i], 10};
        many[i].msg_hdr.msg_name = NULL;
    }
    printf("recvmmsg %d", recvmmsg(a, many, 2, 0, NULL));
    printf(" %u %u\n", many[0].msg_len, many[1].msg_len);
    unlink(name.sun_path);
    rmdir(dir);
    printf("bad fd %d", listen(99, 1));
    printf(" %d\n", errno == EBADF);
    printf("not a socket %d", listen(p[0], 1));
    printf(" %d\n", errno == ENOTSOCK);
    return 0;
}
