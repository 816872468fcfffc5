/* What the emitter and the client share: a clock, sockets that do not block, and a way to give up. */

#ifndef BENCH_SOCKETS_H
#define BENCH_SOCKETS_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* A stamp inside a frame: CLOCK_MONOTONIC in nanoseconds, always this many digits. */
#define STAMP_DIGITS 16

__attribute__((noreturn, format(printf, 2, 3))) static inline void die(const char *who, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", who);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static inline int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* Small frames must not wait for an acknowledgement. */
static inline void send_at_once(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Thousands of streams need as many descriptors as the machine lets us have. */
static inline void allow_many_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Wake a timer at a moment of now_ns(); 0 never. */
static inline void wake_at(int timer, int64_t moment)
{
    struct itimerspec when = {.it_value = {.tv_sec = moment / 1000000000, .tv_nsec = moment % 1000000000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static inline void watch(int epoll, int operation, int fd, uint32_t events, void *context)
{
    struct epoll_event event = {.events = events, .data = {.ptr = context}};
    if (epoll_ctl(epoll, operation, fd, &event) < 0)
        die("epoll_ctl", "%s", strerror(errno));
}

#endif
