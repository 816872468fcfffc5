/* The upstream of the bench: sends the frames it was given, each stamped with the moment it leaves.
 *
 *     emitter FIRST FRAME LAST
 *
 * The arguments are the bytes of a stream's beginning (may be empty), of every content frame, and of its end.
 * In FRAME, a run of 16 zeros is where the stamp goes. The emitter listens on a free port of 127.0.0.1, says
 * which on standard output, and serves until it is killed. What a request wants stands in its prompt, which every
 * gateway passes on as it is:
 *
 *     Write 200 tokens, 40 a second.      that many content frames, that fast; 0 a second is all at once
 *
 * Each frame is an HTTP chunk of its own, and in a paced stream a write of its own. Any GET gets an empty list
 * of models, so that health checks are content; on anything else the connection is closed.
 */

#include "sockets.h"

#define REQUEST_SIZE 16384  /* longest request that is read */
#define BATCH 65536         /* bytes made ahead of the socket, where all frames leave at once */

static const char HEAD[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                           "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char MODELS[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n"
                             "{\"object\":\"list\",\"data\":[]}";

struct stream {
    int fd;
    bool writable_watched;
    char *request;
    size_t request_length;
    long frames_left;
    int64_t period, due;  /* due is 0 for a stream that is not in the heap */
    char *out;
    size_t out_start, out_end, out_size;
};

static const char *first, *frame, *last;
static size_t first_length, frame_length, last_length, stamp_offset;
static int epoll, timer;

/* The streams that wait for their next frame, the next one first. */
static struct stream **heap;
static size_t heap_length, heap_size;

static void heap_add(struct stream *stream)
{
    if (heap_length == heap_size) {
        heap_size = heap_size ? 2 * heap_size : 64;
        heap = realloc(heap, heap_size * sizeof *heap);
    }
    size_t at = heap_length++;
    for (; at && heap[(at - 1) / 2]->due > stream->due; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = stream;
}

static struct stream *heap_take(size_t at)
{
    struct stream *taken = heap[at], *moved = heap[--heap_length];
    if (at == heap_length)
        return taken;
    for (; at && heap[(at - 1) / 2]->due > moved->due; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    for (size_t child; (child = 2 * at + 1) < heap_length; at = child) {
        if (child + 1 < heap_length && heap[child + 1]->due < heap[child]->due)
            child++;
        if (heap[child]->due >= moved->due)
            break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
    return taken;
}

static void forget(struct stream *stream)
{
    for (size_t at = 0; stream->due && at < heap_length; at++)
        if (heap[at] == stream) {
            heap_take(at);
            break;
        }
    close(stream->fd);
    free(stream->request);
    free(stream->out);
    free(stream);
}

static char *reserve(struct stream *stream, size_t length)
{
    if (stream->out_end + length > stream->out_size) {
        stream->out_size = stream->out_end + length + 1024;
        stream->out = realloc(stream->out, stream->out_size);
    }
    return stream->out + stream->out_end;
}

static void put(struct stream *stream, const char *bytes, size_t length)
{
    memcpy(reserve(stream, length), bytes, length);
    stream->out_end += length;
}

static char *put_chunk(struct stream *stream, const char *bytes, size_t length)
{
    char size[32];
    put(stream, size, (size_t)snprintf(size, sizeof size, "%zx\r\n", length));
    put(stream, bytes, length);
    put(stream, "\r\n", 2);
    return stream->out + stream->out_end - 2 - length;
}

static void put_frame(struct stream *stream, int64_t stamp)
{
    char *digit = put_chunk(stream, frame, frame_length) + stamp_offset + STAMP_DIGITS;
    for (int left = STAMP_DIGITS; left; left--, stamp /= 10)
        *--digit = (char)('0' + stamp % 10);
    if (--stream->frames_left == 0) {
        put_chunk(stream, last, last_length);
        put(stream, "0\r\n\r\n", 5);
    }
}

/* Write what is there and, in a stream that is not paced, make more, until the socket is full. False: it is gone. */
static bool flush_out(struct stream *stream)
{
    for (;;) {
        while (!stream->period && stream->frames_left && stream->out_end - stream->out_start < BATCH)
            put_frame(stream, now_ns());
        if (stream->out_start == stream->out_end)
            break;
        ssize_t sent = write(stream->fd, stream->out + stream->out_start, stream->out_end - stream->out_start);
        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent < 0)
            break;
        stream->out_start += (size_t)sent;
        if (stream->out_start == stream->out_end)
            stream->out_start = stream->out_end = 0;
    }
    bool waiting = stream->out_start != stream->out_end;
    if (waiting != stream->writable_watched) {
        watch(epoll, EPOLL_CTL_MOD, stream->fd, EPOLLIN | (waiting ? (uint32_t)EPOLLOUT : 0), stream);
        stream->writable_watched = waiting;
    }
    return true;
}

static bool send_due_frame(struct stream *stream, int64_t now)
{
    put_frame(stream, now);
    stream->due = stream->frames_left ? stream->due + stream->period : 0;
    if (stream->due)
        heap_add(stream);
    return flush_out(stream);
}

static bool answer(struct stream *stream, const char *body)
{
    if (!strncmp(stream->request, "GET ", 4)) {
        put(stream, MODELS, sizeof MODELS - 1);
        return flush_out(stream);
    }
    long rate;
    const char *order = strstr(body, "Write ");
    if (!order || sscanf(order, "Write %ld tokens, %ld a second", &stream->frames_left, &rate) != 2)
        return false;  /* not one of ours: a gateway that tries whether we speak HTTP/2 */
    stream->period = rate ? 1000000000 / rate : 0;
    put(stream, HEAD, sizeof HEAD - 1);
    if (first_length)
        put_chunk(stream, first, first_length);
    if (!stream->period)
        return flush_out(stream);
    stream->due = now_ns();
    return send_due_frame(stream, stream->due);
}

/* The length of a whole request at the start of the buffer, or 0 while some of it is missing. */
static size_t whole_request(struct stream *stream, const char **body)
{
    char *end = strstr(stream->request, "\r\n\r\n");
    if (!end)
        return 0;
    *body = end + 4;
    size_t head = (size_t)(*body - stream->request), length = 0;
    for (char *line = stream->request; line < end; line = strstr(line, "\r\n") + 2) {
        if (!strncasecmp(line, "content-length:", 15))
            length = strtoul(line + 15, NULL, 10);
        if (!strncasecmp(line, "transfer-encoding:", 18)) {
            char *stop = strstr(*body, "0\r\n\r\n");
            return stop ? (size_t)(stop + 5 - stream->request) : 0;
        }
    }
    return stream->request_length >= head + length ? head + length : 0;
}

static bool read_request(struct stream *stream)
{
    ssize_t got = read(stream->fd, stream->request + stream->request_length,
                       REQUEST_SIZE - 1 - stream->request_length);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    stream->request_length += (size_t)got;
    stream->request[stream->request_length] = 0;
    const char *body;
    size_t used = whole_request(stream, &body);
    if (!used && stream->request_length == REQUEST_SIZE - 1)
        die("emitter", "a request longer than %d bytes", REQUEST_SIZE);
    if (!used)
        return true;
    stream->request_length -= used;
    return answer(stream, body);
}

static void accept_all(int listener)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct stream *stream = calloc(1, sizeof *stream);
        stream->fd = fd;
        stream->request = malloc(REQUEST_SIZE);
        send_at_once(fd);
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, stream);
    }
    if (errno != EAGAIN && errno != ECONNABORTED)
        die("emitter", "accept: %s", strerror(errno));
}

static int listen_somewhere(void)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096))
        die("emitter", "cannot listen: %s", strerror(errno));
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static void send_all_due(void)
{
    for (int64_t now = now_ns(); heap_length && heap[0]->due <= now; now = now_ns()) {
        struct stream *stream = heap_take(0);
        if (!send_due_frame(stream, now))
            forget(stream);
    }
}

int main(int count, char **arguments)
{
    if (count != 4)
        die("emitter", "usage: emitter FIRST FRAME LAST");
    first = arguments[1], frame = arguments[2], last = arguments[3];
    first_length = strlen(first), frame_length = strlen(frame), last_length = strlen(last);
    const char *stamp = strstr(frame, "0000000000000000");
    if (!stamp)
        die("emitter", "FRAME has no place for a stamp");
    stamp_offset = (size_t)(stamp - frame);
    signal(SIGPIPE, SIG_IGN);
    allow_many_descriptors();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int listener = listen_somewhere();
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, &listener);
    watch(epoll, EPOLL_CTL_ADD, timer, EPOLLIN | EPOLLET, &timer);
    for (;;) {
        struct epoll_event events[256];
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int at = 0; at < ready; at++) {
            struct stream *stream = events[at].data.ptr;
            if (events[at].data.ptr == &listener)
                accept_all(listener);
            else if (events[at].data.ptr != &timer)
                if (!(events[at].events & EPOLLOUT ? flush_out(stream) : read_request(stream)))
                    forget(stream);
        }
        send_all_due();
        wake_at(timer, heap_length ? heap[0]->due : 0);
    }
}
