/* A load client that is not the limit: posts prepared requests over kept-alive connections, one at a time on each.
 *
 * post_load PORT CONNECTIONS SECONDS COUNT FILE PID [RATE]: until SECONDS have passed or COUNT requests are answered, as
 * fast as they are answered, or at most RATE a second, evenly, over as few connections as that takes. FILE holds
 * the requests, each behind its length (4 bytes, little endian); a run of 16 '@' in one becomes a number that no other
 * request has. PID is the server's. Prints one JSON object: what was answered 201 and otherwise, and latencies in
 * microseconds, also by the clock of the CPU that the server used meanwhile, for whomever: who else uses the machine
 * does not move that one. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MARK "@@@@@@@@@@@@@@@@"
#define ANSWER_MAX 16384
#define STEP_US 20
#define STEPS 500000 /* 10 s */

struct connection { int fd, got, waits; double asked_at, cpu_at; char answer[ANSWER_MAX + 1]; };

static struct { char *bytes; uint32_t size; char *mark; } *requests;
static uint32_t steps[STEPS], cpu_steps[STEPS];
static clockid_t server_clock;
static long request_count, asked, done, refused, wanted;
static unsigned long long first_number;
static struct sockaddr_in to;
static int poll;

static void fail(const char *why) { perror(why); exit(1); }

static double read_clock(clockid_t clock) {
    struct timespec at;
    if (clock_gettime(clock, &at)) fail("clock");
    return at.tv_sec + at.tv_nsec / 1e9;
}

static double now(void) { return read_clock(CLOCK_MONOTONIC); }

static void note(uint32_t *in, double seconds) {
    long step = seconds * 1e6 / STEP_US;
    in[step < STEPS ? step : STEPS - 1]++;
}

static void load(const char *path) {
    FILE *file = fopen(path, "rb");
    uint32_t size;
    if (!file) fail(path);
    while (fread(&size, sizeof size, 1, file) == 1) {
        if (!(requests = realloc(requests, (request_count + 1) * sizeof *requests))) fail("memory");
        char *bytes = malloc(size + 1);
        if (!bytes || fread(bytes, 1, size, file) != size) fail(path);
        bytes[size] = 0;
        requests[request_count].bytes = bytes;
        requests[request_count].size = size;
        requests[request_count++].mark = strstr(bytes, MARK);
    }
    fclose(file);
}

static void reach(struct connection *one) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    int on = 1;
    one->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(one->fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_ctl(poll, EPOLL_CTL_ADD, one->fd, &event);
}

static void ask(struct connection *one) {
    if (one->fd < 0) reach(one);
    long which = asked % request_count;
    if (requests[which].mark) {
        char number[sizeof MARK];
        snprintf(number, sizeof number, "%016llx", first_number + asked);
        memcpy(requests[which].mark, number, 16);
    }
    asked++;
    one->got = 0;
    one->waits = 1;
    one->asked_at = now();
    one->cpu_at = read_clock(server_clock);
    if (write(one->fd, requests[which].bytes, requests[which].size) != (ssize_t)requests[which].size) fail("write");
}

/* Whether the answer is whole; notes it if so. */
static int answered(struct connection *one) {
    one->answer[one->got] = 0;
    char *end = strstr(one->answer, "\r\n\r\n"), *length = strcasestr(one->answer, "\r\ncontent-length:");
    if (!end || !length || length > end || one->got < end + 4 - one->answer + atol(length + 17)) return 0;
    if (!strncmp(one->answer + 9, "201", 3)) {
        note(steps, now() - one->asked_at);
        note(cpu_steps, read_clock(server_clock) - one->cpu_at);
        done++;
    } else if (!refused++) {
        fprintf(stderr, "%s\n", one->answer);
    }
    return 1;
}

static long percentile(const uint32_t *of, double share) {
    double upto = done * share;
    long step = 0;
    for (long seen = of[0]; seen < upto && step < STEPS - 1;) seen += of[++step];
    return (step + 1) * STEP_US;
}

int main(int argc, char **argv) {
    if (argc < 7 || argc > 8) return 2;
    int count = atoi(argv[2]);
    double rate = argc == 8 ? atof(argv[7]) : 0;
    struct connection *all = calloc(count, sizeof *all), **idle = calloc(count, sizeof *idle);
    int waiting = 0;
    poll = epoll_create1(0);
    to.sin_family = AF_INET;
    to.sin_port = htons(atoi(argv[1]));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    wanted = atol(argv[4]);
    first_number = (unsigned long long)time(NULL) << 32;
    load(argv[5]);
    if (clock_getcpuclockid(atoi(argv[6]), &server_clock)) fail("pid");
    double began = now(), until = began + atof(argv[3]);
    for (int n = 0; n < count; n++) {
        all[n].fd = -1;
        if (rate) idle[waiting++] = &all[n];
        else ask(&all[n]);
    }
    for (long open = count; open;) {
        struct epoll_event events[256];
        int ready = epoll_wait(poll, events, 256, waiting ? 1 : 20000);
        if (ready == 0 && !waiting) fail("no answer for 20 s");
        int over = now() >= until || asked >= wanted;
        while (waiting && (over || asked < (now() - began) * rate)) {
            struct connection *one = idle[--waiting];
            if (!over) ask(one);
            else open--, one->fd < 0 ? 0 : close(one->fd);
            over = now() >= until || asked >= wanted;
        }
        for (int n = 0; n < ready; n++) {
            struct connection *one = events[n].data.ptr;
            if (!one->waits) { /* ended by the server, since nothing was asked on it for long: reached again if need be */
                close(one->fd);
                one->fd = -1;
                continue;
            }
            ssize_t got = read(one->fd, one->answer + one->got, ANSWER_MAX - one->got);
            if (got <= 0) fail("closed");
            one->got += got;
            if (!answered(one)) continue;
            one->waits = 0;
            if (rate) idle[waiting++] = one;
            else if (now() < until && asked < wanted) ask(one);
            else open--, close(one->fd);
        }
    }
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("{\"done\":%ld,\"refused\":%ld,\"seconds\":%.3f,\"cpu_s\":%.3f,", done, refused, now() - began, cpu);
    printf("\"p50_us\":%ld,\"p99_us\":%ld,\"p99_server_us\":%ld}\n", percentile(steps, 0.5), percentile(steps, 0.99),
           percentile(cpu_steps, 0.99));
    return 0;
}
