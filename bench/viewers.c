/* A crowd of viewers in one thread, and the bare loop of send() that an edge is compared with. Driven by viewers.py.
 *
 *   crowd load HOST PORT ZERO_MS     viewers; commands on stdin, one JSON line on stdout for each:
 *     open COUNT VIDEOS EVERY GZIP STALLED PREFIX    a group: COUNT viewers of PREFIX-0 ... PREFIX-(VIDEOS-1)
 *     away GROUP | back GROUP                        all leave at once; all come back from the last id they had
 *     record GROUP FILE | recorded                   keep the chunks of the group's first viewer, with their times
 *     stats GROUP                                    what the group saw since it was asked last
 *   crowd floor FILE COUNT           accepts COUNT connections, prints its port before, and sends what was recorded to
 *                                    all of them at the recorded times when a line comes on stdin
 *
 * Every EVERY-th viewer of a group is read: unchunked, inflated, parsed, held to the order of ids; with one video, where
 * every record of the partition is a comment of it, to their being without holes. Of the others the bytes are counted
 * and thrown away in the kernel (MSG_TRUNC). A comment's age is the arrival of its last bytes, by the kernel's clock,
 * less ZERO_MS + its videoTimeMs: how late this process comes to read it does not count. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define OPENING_MAX 256 /* connections on their way at once: less than any backlog */
#define SCRATCH (1 << 20)
#define AGES_MAX 8000000
#define GROUPS_MAX 16
#define EVENTS 512
#define ID_CHARS 16
#define OFFSET_MASK ((1ull << 40) - 1)

enum state { CLOSED, CONNECTING, HEAD, STREAM, STALLED };
enum part { SIZE, DATA, AFTER };

struct reader { /* of a viewer that is read */
  enum part part;
  size_t left, text_size, text_room, chunk_size, chunk_room;
  int64_t chunk_at_us;
  char *text, *chunk;
  z_stream inflating;
  bool is_inflating;
  uint64_t position, comments;
};
struct viewer {
  int fd, group, number;
  enum state state;
  struct reader *reader;
};
struct group {
  int count, videos, every, gzip, stalled, opened, reconnects;
  char prefix[64];
  struct viewer *viewers;
  uint64_t bytes, read_bytes, comments, disordered, holes, gaps, heartbeats, others, closed, refused, position;
  float *ages_ms;
  size_t ages;
};

static struct group groups[GROUPS_MAX];
static int group_count, epoll, opening_group = -1, opening_next, on_the_way;
static struct sockaddr_in server;
static char host[64], scratch[SCRATCH], inflated[SCRATCH];
static int64_t zero_us;
static double opening_since;
static FILE *recording;
static struct viewer *recorded_viewer;
static uint64_t recorded_chunks, recorded_comments;

static void die(const char *what) {
  fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
  exit(1);
}
static int64_t now_us(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1000000ll + t.tv_nsec / 1000;
}
static void append(char **to, size_t *size, size_t *room, const char *data, size_t count) {
  if (*size + count > *room && !(*to = realloc(*to, *room = (*size + count) * 2))) die("memory");
  memcpy(*to + *size, data, count);
  *size += count;
}

static uint64_t position_of(const char *id) {
  unsigned __int128 number = 0;
  for (int i = 0; i < ID_CHARS; i++) number = number << 5 | (id[i] <= '9' ? id[i] - '0' : id[i] - 'a' + 10);
  return (uint64_t)(number >> 24);
}
static void write_id(char *id, uint64_t position, int partition) {
  unsigned __int128 number = (unsigned __int128)position << 24 | partition;
  for (int i = ID_CHARS; i--; number >>= 5) id[i] = "0123456789abcdefghijklmnopqrstuv"[(int)number & 31];
}
static int partition_of(const char *id) { /* of one video all ids have the same */
  return (id[15] <= '9' ? id[15] - '0' : id[15] - 'a' + 10) | (id[14] <= '9' ? id[14] - '0' : id[14] - 'a' + 10) << 5;
}
static int partition; /* of the newest id that was read */

static void take_frame(struct viewer *v, const char *frame, size_t size, int64_t at_us) {
  struct group *g = &groups[v->group];
  struct reader *r = v->reader;
  const char *id = memmem(frame, size < 64 ? size : 64, "\nid: ", 5);
  bool is_comment = size > 15 && !memcmp(frame, "event: comment\n", 15);
  if (id && (size_t)(id - frame) + 5 + ID_CHARS <= size) {
    uint64_t position = position_of(id + 5);
    partition = partition_of(id + 5);
    if (is_comment && position <= r->position) g->disordered++;
    if (g->videos == 1 && r->position && position > r->position) g->holes += position - r->position - is_comment;
    if (position > r->position) r->position = position;
    if (position > g->position) g->position = position;
  }
  if (is_comment) {
    r->comments++, g->comments++;
    if (v == recorded_viewer) recorded_comments++;
    size_t tail = size < 48 ? size : 48;
    const char *stamp = memmem(frame + size - tail, tail, "\"videoTimeMs\":", 14);
    if (stamp && g->ages < AGES_MAX)
      g->ages_ms[g->ages++] = (at_us - zero_us) / 1000.0 - strtoll(stamp + 14, NULL, 10);
  } else if (size > 10 && !memcmp(frame, "event: gap", 10)) g->gaps++;
  else if (size > 16 && !memcmp(frame, "event: heartbeat", 16)) g->heartbeats++;
  else if (size > 13 && !memcmp(frame, "event: video\n", 13)) return;
  else if (size < 2 || memcmp(frame, ":\n", 2)) g->others++;
}
static void take_text(struct viewer *v, const char *data, size_t count, int64_t at_us) {
  struct reader *r = v->reader;
  append(&r->text, &r->text_size, &r->text_room, data, count);
  size_t start = 0;
  for (char *end; (end = memmem(r->text + start, r->text_size - start, "\n\n", 2)); start = end - r->text + 2)
    take_frame(v, r->text + start, end - r->text - start, at_us);
  memmove(r->text, r->text + start, r->text_size -= start);
}
static void take_body(struct viewer *v, const char *data, size_t count, int64_t at_us) {
  struct reader *r = v->reader;
  if (!groups[v->group].gzip) return take_text(v, data, count, at_us);
  if (!r->is_inflating && inflateInit2(&r->inflating, 15 + 16) != Z_OK) die("inflateInit2");
  r->is_inflating = true;
  r->inflating.next_in = (unsigned char *)data;
  r->inflating.avail_in = count;
  do {
    r->inflating.next_out = (unsigned char *)inflated;
    r->inflating.avail_out = SCRATCH;
    int result = inflate(&r->inflating, Z_SYNC_FLUSH);
    if (result != Z_OK && result != Z_BUF_ERROR) die("inflate");
    take_text(v, inflated, SCRATCH - r->inflating.avail_out, at_us);
  } while (r->inflating.avail_in);
}
static void keep_chunk(struct reader *r) {
  uint32_t size = r->chunk_size;
  fwrite(&r->chunk_at_us, sizeof r->chunk_at_us, 1, recording);
  fwrite(&size, sizeof size, 1, recording);
  fwrite(r->chunk, 1, size, recording);
  recorded_chunks++;
}
static void take(struct viewer *v, const char *data, size_t count, int64_t at_us) {
  struct reader *r = v->reader;
  for (const char *end = data + count; data < end;) {
    const char *from = data;
    if (r->part == SIZE) {
      char c = *data++;
      if (c == '\n') r->part = DATA, r->chunk_at_us = at_us;
      else if (c != '\r') r->left = r->left * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10); /* HAProxy writes capitals */
    } else if (r->part == DATA) {
      size_t some = (size_t)(end - data) < r->left ? (size_t)(end - data) : r->left;
      take_body(v, data, some, at_us);
      data += some;
      if (!(r->left -= some)) r->part = AFTER;
    } else if (*data++ == '\n') r->part = SIZE;
    if (v != recorded_viewer) continue;
    append(&r->chunk, &r->chunk_size, &r->chunk_room, from, data - from);
    if (r->part == SIZE && data[-1] == '\n') {
      if (recording) keep_chunk(r);
      r->chunk_size = 0;
    }
  }
}

static void leave(struct viewer *v) {
  struct reader *r = v->reader;
  if (v->state == CLOSED) return;
  if (v->state == CONNECTING || v->state == HEAD) on_the_way--;
  close(v->fd);
  v->state = CLOSED;
  if (!r) return;
  if (r->is_inflating) inflateEnd(&r->inflating);
  free(r->text), free(r->chunk);
  *r = (struct reader){.position = r->position, .comments = r->comments};
}
static void begin(struct viewer *v) {
  struct linger reset = {1, 0}; /* or its port would be taken for a minute */
  v->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (v->fd < 0) die("socket");
  setsockopt(v->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  if (groups[v->group].stalled) setsockopt(v->fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
  if (v->reader) setsockopt(v->fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int));
  if (connect(v->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS) die("connect");
  v->state = CONNECTING;
  on_the_way++;
  struct epoll_event wanted = {EPOLLOUT, {.ptr = v}};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, v->fd, &wanted)) die("epoll_ctl");
}
static void opened(struct viewer *v, enum state state) {
  v->state = state;
  on_the_way--;
  groups[v->group].opened++;
}
static void ask(struct viewer *v) {
  struct group *g = &groups[v->group];
  char request[512], last[64] = "";
  uint64_t position = v->reader ? v->reader->position : g->position;
  if (g->reconnects && position) {
    strcpy(last, "Last-Event-ID: ");
    write_id(last + 15, position, partition);
    strcpy(last + 15 + ID_CHARS, "\r\n");
  }
  int size = snprintf(request, sizeof request, "GET /comments/%s-%d/stream HTTP/1.1\r\nHost: %s\r\n%s%s\r\n", g->prefix,
                      v->number % g->videos, host, g->gzip ? "Accept-Encoding: gzip\r\n" : "", last);
  if (send(v->fd, request, size, MSG_NOSIGNAL) != size) {
    g->refused++;
    return leave(v);
  }
  v->state = HEAD;
  struct epoll_event wanted = {g->stalled ? 0 : EPOLLIN, {.ptr = v}};
  epoll_ctl(epoll, EPOLL_CTL_MOD, v->fd, &wanted);
  if (g->stalled) opened(v, STALLED);
}
static int64_t arrival_us(struct msghdr *message) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
      struct timespec t;
      memcpy(&t, CMSG_DATA(c), sizeof t);
      return t.tv_sec * 1000000ll + t.tv_nsec / 1000;
    }
  return now_us(CLOCK_REALTIME);
}
static void on_bytes(struct viewer *v) {
  struct group *g = &groups[v->group];
  bool is_read = v->reader || v->state == HEAD;
  char control[128], *body = scratch;
  struct iovec room = {scratch, SCRATCH};
  struct msghdr message = {.msg_iov = &room, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t size = is_read ? recvmsg(v->fd, &message, 0) : recv(v->fd, scratch, SCRATCH, MSG_TRUNC);
  if (size < 0 && errno == EAGAIN) return;
  if (size <= 0) {
    v->state == STREAM ? g->closed++ : g->refused++;
    return leave(v);
  }
  if (v->state == HEAD) { /* the edge writes it, and what follows, at once */
    char *end = memmem(scratch, size, "\r\n\r\n", 4);
    if (!end || memcmp(scratch, "HTTP/1.1 200", 12)) {
      g->refused++;
      return leave(v);
    }
    size -= end + 4 - scratch;
    body = end + 4;
    opened(v, STREAM);
  }
  g->bytes += size;
  if (!v->reader) return;
  g->read_bytes += size;
  take(v, body, size, arrival_us(&message));
}

static void open_some(void) {
  struct group *g = &groups[opening_group];
  for (; opening_next < g->count && on_the_way < OPENING_MAX; opening_next++) begin(&g->viewers[opening_next]);
  if (opening_next < g->count || on_the_way) return;
  printf("{\"group\": %d, \"opened\": %d, \"refused\": %lu, \"seconds\": %.3f}\n", opening_group, g->opened, g->refused,
         now_us(CLOCK_MONOTONIC) / 1e6 - opening_since);
  opening_group = -1;
}
static void start_opening(int group) {
  groups[group].opened = 0;
  opening_group = group, opening_next = 0;
  opening_since = now_us(CLOCK_MONOTONIC) / 1e6;
}
static int by_age(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}
static void tell(struct group *g) {
  uint64_t comments_min = UINT64_MAX, comments_max = 0, offset_min = UINT64_MAX;
  int open = 0, readers = 0;
  for (int i = 0; i < g->count; i++) {
    struct reader *r = g->viewers[i].reader;
    open += g->viewers[i].state >= STREAM;
    if (!r) continue;
    readers++;
    if (r->comments < comments_min) comments_min = r->comments;
    if (r->comments > comments_max) comments_max = r->comments;
    if ((r->position & OFFSET_MASK) < offset_min) offset_min = r->position & OFFSET_MASK;
    r->comments = 0;
  }
  qsort(g->ages_ms, g->ages, sizeof *g->ages_ms, by_age);
#define AGE(share) (g->ages ? g->ages_ms[(size_t)((g->ages - 1) * (share))] : 0.0)
  printf("{\"open\": %d, \"readers\": %d, \"closed\": %lu, \"refused\": %lu, \"bytes\": %lu, \"read_bytes\": %lu, \"comments\": %lu, "
         "\"comments_min\": %lu, \"comments_max\": %lu, \"offset_min\": %ld, \"disordered\": %lu, \"holes\": %lu, "
         "\"gaps\": %lu, \"heartbeats\": %lu, \"others\": %lu, \"p50_ms\": %.1f, \"p99_ms\": %.1f, \"max_ms\": %.1f}\n",
         open, readers, g->closed, g->refused, g->bytes, g->read_bytes, g->comments, comments_max ? comments_min : 0, comments_max,
         (long)offset_min, g->disordered, g->holes, g->gaps, g->heartbeats, g->others, AGE(.5), AGE(.99), AGE(1.0));
  g->bytes = g->read_bytes = g->comments = g->disordered = g->holes = g->gaps = g->heartbeats = g->others = g->ages = 0;
  g->closed = g->refused = 0;
}
static void command(char *line) {
  char path[512];
  int number;
  struct group *g = &groups[group_count < GROUPS_MAX ? group_count : 0];
  if (sscanf(line, "open %d %d %d %d %d %63s", &g->count, &g->videos, &g->every, &g->gzip, &g->stalled, g->prefix) == 6) {
    if (group_count == GROUPS_MAX) die("groups");
    g->viewers = calloc(g->count, sizeof *g->viewers);
    g->ages_ms = malloc(AGES_MAX * sizeof *g->ages_ms); /* untouched pages cost nothing */
    for (int i = 0; i < g->count; i++) {
      g->viewers[i] = (struct viewer){.group = group_count, .number = i};
      if (g->every && i % g->every == 0) g->viewers[i].reader = calloc(1, sizeof(struct reader));
    }
    start_opening(group_count++);
  } else if (sscanf(line, "away %d", &number) == 1) {
    g = &groups[number];
    for (int i = 0; i < g->count; i++) leave(&g->viewers[i]);
    puts("{}");
  } else if (sscanf(line, "back %d", &number) == 1) {
    groups[number].reconnects++;
    start_opening(number);
  } else if (sscanf(line, "stats %d", &number) == 1) {
    tell(&groups[number]);
  } else if (sscanf(line, "record %d %511s", &number, path) == 2) {
    if (!(recording = fopen(path, "wb"))) die(path);
    recorded_viewer = &groups[number].viewers[0];
    recorded_viewer->reader->chunk_size = 0; /* a chunk that has begun is cut, and never sent by the floor */
    recorded_chunks = recorded_comments = 0;
    puts("{}");
  } else if (!strncmp(line, "recorded", 8)) {
    fclose(recording);
    recording = NULL, recorded_viewer = NULL;
    printf("{\"chunks\": %lu, \"comments\": %lu}\n", recorded_chunks, recorded_comments);
  } else {
    errno = EINVAL;
    die(line);
  }
}
static void load(char **given) {
  static char line[1024];
  size_t size = 0;
  server.sin_family = AF_INET;
  server.sin_port = htons(atoi(given[1]));
  if (!inet_aton(given[0], &server.sin_addr)) die("host");
  snprintf(host, sizeof host, "%s:%s", given[0], given[1]);
  zero_us = atoll(given[2]) * 1000;
  epoll = epoll_create1(0);
  struct epoll_event events[EVENTS], of_stdin = {EPOLLIN, {.ptr = NULL}};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &of_stdin)) die("stdin");
  while (true) {
    int count = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      struct viewer *v = events[i].data.ptr;
      if (!v) {
        ssize_t got = read(0, line + size, sizeof line - 1 - size);
        if (got <= 0) exit(0);
        line[size += got] = 0;
        for (char *end; (end = strchr(line, '\n')); memmove(line, end + 1, (size -= end + 1 - line) + 1)) {
          *end = 0;
          command(line);
        }
      } else if (v->state == CONNECTING) {
        ask(v);
      } else if (v->state == STALLED) {
        groups[v->group].closed++;
        leave(v);
      } else if (v->state != CLOSED) {
        on_bytes(v);
      }
    }
    if (opening_group >= 0) open_some();
  }
}

static void floor_(char **given) {
  static const char head[] = "HTTP/1.1 200 OK\r\n\r\n";
  int count = atoi(given[1]), listening = socket(AF_INET, SOCK_STREAM, 0), *viewers = calloc(count, sizeof *viewers);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof at;
  FILE *recorded = fopen(given[0], "rb");
  if (!recorded || bind(listening, (struct sockaddr *)&at, sizeof at) || listen(listening, 4096)) die(given[0]);
  getsockname(listening, (struct sockaddr *)&at, &length);
  printf("{\"port\": %d}\n", ntohs(at.sin_port));
  for (int i = 0; i < count; i++) {
    if ((viewers[i] = accept(listening, NULL, NULL)) < 0) die("accept");
    setsockopt(viewers[i], IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* as the edge does */
    setsockopt(viewers[i], SOL_SOCKET, SO_SNDBUF, &(int){65536}, sizeof(int));
    send(viewers[i], head, sizeof head - 1, MSG_NOSIGNAL);
  }
  if (getchar() == EOF) exit(0);
  struct rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  int64_t first = 0, since = now_us(CLOCK_MONOTONIC), due;
  uint64_t sends = 0, bytes = 0;
  uint32_t size;
  while (fread(&due, sizeof due, 1, recorded) && fread(&size, sizeof size, 1, recorded) && size <= SCRATCH &&
         fread(scratch, 1, size, recorded) == size) {
    if (!first) first = due;
    int64_t at_us = since + due - first;
    struct timespec until = {at_us / 1000000, at_us % 1000000 * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    for (int i = 0; i < count; i++) sends++, bytes += send(viewers[i], scratch, size, MSG_NOSIGNAL);
  }
  getrusage(RUSAGE_SELF, &after);
#define SECONDS(r) (r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6)
  printf("{\"cpu_s\": %.6f, \"wall_s\": %.6f, \"sends\": %lu, \"bytes\": %lu}\n", SECONDS(after) - SECONDS(before),
         (now_us(CLOCK_MONOTONIC) - since) / 1e6, sends, bytes);
}

int main(int count, char **given) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (count == 5 && !strcmp(given[1], "load")) load(given + 2);
  else if (count == 4 && !strcmp(given[1], "floor")) floor_(given + 2);
  else {
    fputs("See the head of viewers.c.\n", stderr);
    return 2;
  }
}
