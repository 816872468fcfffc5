/* The load of the bench: opens streams, reads them to their end, and tells how old each frame was.
 *
 *     client PORT KEY STREAMS REQUESTS FRAMES GAP LIMIT BODY
 *
 * STREAMS connections to 127.0.0.1:PORT, started GAP microseconds apart, each send REQUESTS requests one after
 * the other, with BODY, and KEY as their bearer token. Every answer must be a 200 with FRAMES content frames.
 * What has not ended after LIMIT seconds is ended by SIGALRM.
 * On the way it writes two marks, each with the number of frames that have come by then:
 *
 *     open N         every stream has begun, and none is near its end
 *     closing N      the first of them has a single frame left to read
 *
 * When all are through follows a line of JSON, with latencies in microseconds:
 *
 *     frames      content frames that came      done        streams that had [DONE]
 *     answers     whole answers                 failures    answers that were not, and failure: the first reason
 *     seconds     from the first start to the last end      cpu     seconds of CPU that the client took
 *     frame, first, answer    {p50, p99, max}: age of a frame; from request to first frame; to the end
 */

#include "sockets.h"

#define LINE_SIZE 4096

enum state { HEAD, CHUNK_SIZE, CHUNK, CHUNK_END, LAST_LINE, OVER };

/* A line as far as it has come. */
struct partial {
    size_t length;
    char bytes[LINE_SIZE];
};

struct stream {
    int fd;
    bool begun;
    enum state state;
    long requests_left, frames;
    int64_t asked;
    size_t chunk_left;
    struct partial outer, inner;  /* of HTTP's own lines, and of the body's: a chunk may end within a line */
};

struct samples {
    uint32_t *microseconds;
    size_t length, size;
};

static int epoll;
static int port;
static long frames_wanted, streams_open, streams_wanted;
static char *request;
static size_t request_length;
static long frames, done, answers, failures;
static char failure[256];
static struct samples ages, firsts, lasts;

static void note(struct samples *samples, int64_t nanoseconds)
{
    if (samples->length == samples->size) {
        samples->size = samples->size ? 2 * samples->size : 4096;
        samples->microseconds = realloc(samples->microseconds, samples->size * sizeof(uint32_t));
    }
    samples->microseconds[samples->length++] = (uint32_t)(nanoseconds / 1000);
}

static int smaller(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static void print_samples(const char *name, struct samples *samples)
{
    uint32_t *all = samples->microseconds;
    size_t length = samples->length;
    if (length)
        qsort(all, length, sizeof *all, smaller);
    printf(",\"%s\":{\"p50\":%u,\"p99\":%u,\"max\":%u}", name, length ? all[length / 2] : 0,
           length ? all[length * 99 / 100] : 0, length ? all[length - 1] : 0);
}

static void end(struct stream *stream)
{
    close(stream->fd);
    stream->fd = -1;
    streams_open--;
}

static void fail(struct stream *stream, const char *reason, const char *detail)
{
    failures++;
    if (!*failure)
        snprintf(failure, sizeof failure, "%s%.120s", reason, detail);
    end(stream);
}

static void ask(struct stream *stream)
{
    stream->state = HEAD;
    stream->frames = 0;
    stream->outer.length = stream->inner.length = 0;
    stream->asked = now_ns();
    if (write(stream->fd, request, request_length) != (ssize_t)request_length)
        fail(stream, "cannot send: ", strerror(errno));
}

static void start(struct stream *stream)
{
    struct sockaddr_in address = loopback(port);
    stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (stream->fd < 0 || connect(stream->fd, (struct sockaddr *)&address, sizeof address)) {
        fail(stream, "cannot connect: ", strerror(errno));
        return;
    }
    fcntl(stream->fd, F_SETFL, O_NONBLOCK);
    send_at_once(stream->fd);
    watch(epoll, EPOLL_CTL_ADD, stream->fd, EPOLLIN, stream);
    ask(stream);
}

static void mark(const char *name)
{
    printf("%s %ld\n", name, frames);
    fflush(stdout);
}

static void count_frame(struct stream *stream, int64_t stamp)
{
    static long streams_begun;
    static bool closing;
    int64_t now = now_ns();
    note(&ages, now - stamp);
    frames++;
    if (!stream->frames++)
        note(&firsts, now - stream->asked);
    if (!stream->begun) {
        stream->begun = true;
        if (++streams_begun == streams_wanted && !closing)
            mark("open");
    }
    if (!closing && stream->requests_left == 1 && stream->frames == frames_wanted - 1) {
        closing = true;
        mark("closing");
    }
}

/* A line of the event stream. A content that is a stamp counts; what else a chunk says does not matter here. */
static bool read_line(struct stream *stream, char *line, size_t length)
{
    if (length < 6 || memcmp(line, "data: ", 6))
        return true;
    if (length >= 12 && !memcmp(line + 6, "[DONE]", 6)) {
        done++;
        return true;
    }
    line[length] = 0;  /* over the line feed */
    if (!strncmp(line + 6, "{\"error\"", 8)) {
        fail(stream, "an error in the stream: ", line);
        return false;
    }
    char *content = strstr(line, "\"content\":");
    if (!content)
        return true;
    content += 10;
    content += *content == ' ';
    if (content[0] == '"' && content[1] == ' ' && strspn(content + 2, "0123456789") == STAMP_DIGITS)
        count_frame(stream, strtoll(content + 2, NULL, 10));
    return true;
}

/* Add bytes to the line that is being read, and return what follows them. A line that is whole is shown without
 * its line feed, which may be written over. NULL: the line is too long, and the stream has failed. */
static char *gather(struct stream *stream, char *data, char *end_of_data, char **line, size_t *length)
{
    struct partial *partial = stream->state == CHUNK ? &stream->inner : &stream->outer;
    char *feed = memchr(data, '\n', (size_t)(end_of_data - data));
    size_t got = (size_t)((feed ? feed + 1 : end_of_data) - data);
    *line = NULL;
    if (feed && !partial->length) {
        *line = data, *length = got - 1;
        return data + got;
    }
    if (partial->length + got >= LINE_SIZE) {
        fail(stream, "a line longer than a frame can be", "");
        return NULL;
    }
    memcpy(partial->bytes + partial->length, data, got);
    partial->length += got;
    if (feed) {
        *line = partial->bytes, *length = partial->length - 1;
        partial->length = 0;
    }
    return data + got;
}

static bool read_head_line(struct stream *stream, char *line, size_t length)
{
    line[length] = 0;
    line[strcspn(line, "\r")] = 0;
    if (!strncmp(line, "HTTP/1.1 ", 9) && strncmp(line, "HTTP/1.1 200", 12)) {
        fail(stream, "refused: ", line);
        return false;
    }
    if (!strncasecmp(line, "content-length:", 15)) {
        fail(stream, "not a stream: ", line);
        return false;
    }
    if (!*line)
        stream->state = CHUNK_SIZE;
    return true;
}

static bool finish_answer(struct stream *stream)
{
    if (stream->frames != frames_wanted) {
        char count[64];
        snprintf(count, sizeof count, "%ld of %ld", stream->frames, frames_wanted);
        fail(stream, "frames are missing or too many: ", count);
        return false;
    }
    answers++;
    note(&lasts, now_ns() - stream->asked);
    if (--stream->requests_left)
        ask(stream);
    else
        end(stream);
    return stream->fd >= 0;
}

/* Read a line of HTTP's own, outside of the chunks. False: the stream is over, or has failed. */
static bool read_outer_line(struct stream *stream, char *line, size_t length)
{
    switch (stream->state) {
    case HEAD:
        return read_head_line(stream, line, length);
    case CHUNK_SIZE:
        stream->chunk_left = strtoul(line, NULL, 16);
        stream->state = stream->chunk_left ? CHUNK : LAST_LINE;
        return true;
    case CHUNK_END:
        stream->state = CHUNK_SIZE;
        return true;
    default:
        return finish_answer(stream);
    }
}

static void receive(struct stream *stream)
{
    static char buffer[262144 + 1];
    ssize_t got = read(stream->fd, buffer, sizeof buffer - 1);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        fail(stream, "the connection ended early", "");
        return;
    }
    char *data = buffer, *end_of_data = buffer + got;
    while (data < end_of_data) {
        bool inside = stream->state == CHUNK;
        size_t left = (size_t)(end_of_data - data), length;
        char *line, *from = data;
        char *stop = inside && stream->chunk_left < left ? data + stream->chunk_left : end_of_data;
        data = gather(stream, data, stop, &line, &length);
        if (!data)
            return;
        if (line && !(inside ? read_line(stream, line, length) : read_outer_line(stream, line, length)))
            return;
        if (inside && (stream->chunk_left -= (size_t)(data - from)) == 0)
            stream->state = CHUNK_END;
    }
}

static void make_request(const char *key, const char *body)
{
    int length = asprintf(&request,
                          "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n"
                          "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                          port, key, strlen(body), body);
    request_length = (size_t)length;
}

static void run(struct stream *streams, int64_t gap)
{
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    watch(epoll, EPOLL_CTL_ADD, timer, EPOLLIN | EPOLLET, &timer);
    int64_t due = now_ns();
    for (long started = 0; started < streams_wanted || streams_open;) {
        for (; started < streams_wanted && due <= now_ns(); started++, due += gap) {
            streams_open++;
            start(&streams[started]);
        }
        wake_at(timer, started < streams_wanted ? due : 0);
        if (!streams_open && started == streams_wanted)
            break;
        struct epoll_event events[256];
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int at = 0; at < ready; at++)
            if (events[at].data.ptr != &timer)
                receive(events[at].data.ptr);
    }
}

int main(int count, char **arguments)
{
    if (count != 9)
        die("client", "usage: client PORT KEY STREAMS REQUESTS FRAMES GAP LIMIT BODY");
    port = atoi(arguments[1]);
    streams_wanted = atol(arguments[3]);
    frames_wanted = atol(arguments[5]);
    make_request(arguments[2], arguments[8]);
    signal(SIGPIPE, SIG_IGN);
    alarm((unsigned)atoi(arguments[7]));
    allow_many_descriptors();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct stream *streams = calloc((size_t)streams_wanted, sizeof *streams);
    for (long at = 0; at < streams_wanted; at++)
        streams[at].requests_left = atol(arguments[4]);

    int64_t began = now_ns();
    run(streams, atol(arguments[6]) * 1000);
    double seconds = (double)(now_ns() - began) / 1e9;

    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("{\"frames\":%ld,\"done\":%ld,\"answers\":%ld,\"failures\":%ld,\"seconds\":%.6f,\"cpu\":%.6f", frames, done,
           answers, failures, seconds, (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    print_samples("frame", &ages);
    print_samples("first", &firsts);
    print_samples("answer", &lasts);
    for (char *at = failure; *at; at++)  /* a reason may quote what came; keep the JSON whole */
        if (*at == '"' || *at == '\\' || (unsigned char)*at < 0x20)
            *at = '\'';
    printf(",\"failure\":\"%s\"}\n", failure);
    return 0;
}
