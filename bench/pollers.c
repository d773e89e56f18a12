/* A crowd of clients in one thread that poll a durable stream by long-poll, and take every answer apart. Driven by
 * pollers.py.
 *
 *   pollers HOST PORT ZERO_MS AWAY_MS   commands on stdin, one JSON line on stdout for each:
 *     open COUNT SPREAD_MS VIDEO ID ...  so many more begin over so long a time, each after one of these comments
 *     stats                              what all saw since this was asked last
 *
 * They are AWAY_MS from the server: so long after an answer's last bytes have come the next request leaves.
 * Each goes on where an answer says, with its cursor, and waits once it has heard that it has all. An answer is taken
 * whole or not at all; after a connection that broke, or any answer but 200 and 204, a client asks the same again within
 * a second. Every record of the partition is a comment or a delete of the one video, so that positions tell what is
 * missing. A comment's age is the arrival of an answer's last bytes, by the kernel's clock, less ZERO_MS + its
 * videoTimeMs: how late this process comes to read it does not count. Only of what came to who waited: who joins reads
 * what is old. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
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

#define ID_CHARS 16
#define OFFSET_MASK ((1ull << 40) - 1)
#define ANSWER_MAX (1 << 20)
#define AGES_MAX 16000000
#define EVENTS 512
#define TICK_MS 20
#define AGAIN_MS 1000 /* at most, after something went wrong */

enum state { AWAY, CONNECTING, ASKED };
struct poller {
  int fd;
  enum state state;
  bool is_live, was_live; /* waits, or waited for the answer that is being taken */
  char offset[ID_CHARS + 1], cursor[24];
  uint64_t position;
  int64_t due_us, asked_us;
  struct poller *next; /* of those that will ask, in the order in which they will */
  char *text;
  size_t size, room;
};

static struct poller *pollers;
static struct poller *soonest, *latest;
static int count, epoll, away, away_ms;
static struct sockaddr_in server;
static char host[64], video[64];
static int64_t zero_us, waited_max_us;
static uint64_t answers, silences, refused, closed, comments, deletes, disordered, holes;
static float *ages_ms;
static size_t ages;

static void die(const char *what) {
  fprintf(stderr, "pollers: %s: %s\n", what, strerror(errno));
  exit(1);
}
static int64_t now_us(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1000000ll + t.tv_nsec / 1000;
}
static uint64_t position_of(const char *id) {
  unsigned __int128 number = 0;
  for (int i = 0; i < ID_CHARS; i++) number = number << 5 | (id[i] <= '9' ? id[i] - '0' : id[i] - 'a' + 10);
  return (uint64_t)(number >> 24);
}

static void leave(struct poller *p, int again_ms) {
  if (p->state != AWAY) {
    close(p->fd);
    p->state = AWAY;
    away++;
  }
  p->size = 0;
  p->due_us = now_us(CLOCK_MONOTONIC) + again_ms * 1000ll;
}
static void begin(struct poller *p) {
  struct linger reset = {1, 0}; /* or its port would be taken for a minute */
  p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (p->fd < 0) die("socket");
  setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  setsockopt(p->fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int));
  if (connect(p->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS) die("connect");
  p->state = CONNECTING;
  away--;
  struct epoll_event wanted = {EPOLLOUT, {.ptr = p}};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &wanted)) die("epoll_ctl");
}
static void ask(struct poller *p) {
  char request[512];
  int size = snprintf(request, sizeof request, "GET /streams/%s?%s%s%s%soffset=%s HTTP/1.1\r\nHost: %s\r\n\r\n", video,
                      *p->cursor ? "cursor=" : "", p->cursor, *p->cursor ? "&" : "", p->is_live ? "live=long-poll&" : "",
                      p->offset, host);
  bool is_new = p->state == CONNECTING;
  p->state = ASKED, p->size = 0, p->asked_us = now_us(CLOCK_MONOTONIC);
  if (send(p->fd, request, size, MSG_NOSIGNAL) != size) {
    closed++;
    return leave(p, random() % AGAIN_MS);
  }
  struct epoll_event wanted = {EPOLLIN, {.ptr = p}};
  if (is_new) epoll_ctl(epoll, EPOLL_CTL_MOD, p->fd, &wanted);
}

static void take_message(struct poller *p, const char *from, const char *end, uint64_t *told, int64_t at_us) {
  if (!memcmp(from, "{\"type\":\"delete\"", 16)) {
    deletes++, ++*told; /* the record of a delete has a position as well, which it does not tell */
    return;
  }
  const char *id = memmem(from, end - from, "\"commentId\":\"", 13), *stamp = memmem(from, end - from, "\"videoTimeMs\":", 14);
  if (memcmp(from, "{\"type\":\"comment\"", 17) || !id || !stamp) return;
  uint64_t position = position_of(id + 13);
  if (position <= p->position) disordered++;
  else {
    holes += position - p->position - 1 - *told;
    p->position = position;
  }
  *told = 0;
  comments++;
  if (p->was_live && ages < AGES_MAX) ages_ms[ages++] = (at_us - zero_us) / 1000.0 - strtoll(stamp + 14, NULL, 10);
}
static void take_body(struct poller *p, const char *body, size_t size, int64_t at_us) {
  const char *end = body + size, *from = memmem(body, size, "{\"type\":\"", 9), *next;
  uint64_t told = 0;
  for (; from; from = next) {
    next = memmem(from + 9, end - from - 9, "{\"type\":\"", 9);
    take_message(p, from, next ? next : end, &told, at_us);
  }
  p->position += told; /* deletes behind the last comment */
}
/* Take chunks together; returns the size of the body, -1 if it is not whole. */
static ssize_t unchunk(char *body, size_t size) {
  char *from = body, *to = body, *end = body + size;
  while (true) {
    char *line = memmem(from, end - from, "\r\n", 2);
    if (!line) return -1;
    size_t some = strtoul(from, NULL, 16);
    if (line + 2 + some + 2 > end) return -1;
    if (!some) return to - body;
    memmove(to, line + 2, some);
    to += some, from = line + 2 + some + 2;
  }
}
static bool header(const char *head, const char *name, char *value, size_t room) {
  const char *at = strcasestr(head, name);
  if (!at) return false;
  at += strlen(name);
  at += strspn(at, " ");
  snprintf(value, room, "%.*s", (int)strcspn(at, "\r\n"), at);
  return true;
}
static void take_answer(struct poller *p, int64_t at_us) {
  char value[64], *end = memmem(p->text, p->size, "\r\n\r\n", 4);
  if (!end) return;
  int status = atoi(p->text + 9);
  char *body = end + 4;
  ssize_t size = p->text + p->size - body;
  *end = 0; /* the head is text now, and found again by its end: put back below */
  bool is_chunked = header(p->text, "\r\ntransfer-encoding:", value, sizeof value);
  if (status != 204 && !is_chunked) {
    if (!header(p->text, "\r\ncontent-length:", value, sizeof value)) die("An answer has no length");
    if (size < atoi(value)) {
      *end = '\r';
      return;
    }
  } else if (status != 204) {
    static char copy[ANSWER_MAX];
    memcpy(copy, body, size);
    ssize_t whole = unchunk(copy, size);
    if (whole < 0) {
      *end = '\r';
      return;
    }
    memcpy(body, copy, size = whole);
  }
  if (status != 200 && status != 204) {
    refused++;
    return leave(p, random() % AGAIN_MS);
  }
  int64_t waited_us = now_us(CLOCK_MONOTONIC) - p->asked_us;
  if (waited_us > waited_max_us) waited_max_us = waited_us;
  answers++;
  silences += status == 204;
  if (!header(p->text, "\r\nstream-next-offset:", p->offset, sizeof p->offset)) die("An answer has no offset");
  header(p->text, "\r\nstream-cursor:", p->cursor, sizeof p->cursor);
  p->was_live = p->is_live;
  p->is_live = header(p->text, "\r\nstream-up-to-date:", value, sizeof value);
  bool ends = header(p->text, "\r\nconnection:", value, sizeof value) && !strcasecmp(value, "close");
  if (status == 200) take_body(p, body, size, at_us);
  if (ends) leave(p, 0);
  else if (!away_ms) ask(p);
  else {
    p->due_us = now_us(CLOCK_MONOTONIC) + away_ms * 1000ll, p->next = NULL;
    if (soonest) latest->next = p;
    else soonest = p;
    latest = p;
  }
}
static void ask_due(void) {
  int64_t now = now_us(CLOCK_MONOTONIC);
  for (struct poller *p; (p = soonest) && p->due_us <= now;) {
    soonest = p->next;
    if (p->state == ASKED) ask(p);
  }
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
static void on_bytes(struct poller *p) {
  static char scratch[65536];
  char control[128];
  struct iovec room = {scratch, sizeof scratch};
  struct msghdr message = {.msg_iov = &room, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t size = recvmsg(p->fd, &message, 0);
  if (size < 0 && errno == EAGAIN) return;
  if (size <= 0 || p->size + size >= ANSWER_MAX) {
    closed++;
    return leave(p, random() % AGAIN_MS);
  }
  if (p->size + size + 1 > p->room && !(p->text = realloc(p->text, p->room = (p->size + size) * 2 + 1))) die("memory");
  memcpy(p->text + p->size, scratch, size);
  p->text[p->size += size] = 0;
  take_answer(p, arrival_us(&message));
}

static int by_age(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}
static void tell(void) {
  uint64_t first = UINT64_MAX, last = 0;
  int live = 0;
  for (int i = 0; i < count; i++) {
    uint64_t offset = pollers[i].position & OFFSET_MASK;
    first = offset < first ? offset : first, last = offset > last ? offset : last;
    live += pollers[i].is_live && pollers[i].state == ASKED;
  }
  qsort(ages_ms, ages, sizeof *ages_ms, by_age);
#define AGE(share) (ages ? ages_ms[(size_t)((ages - 1) * (share))] : 0.0)
  printf("{\"pollers\": %d, \"live\": %d, \"answers\": %lu, \"silences\": %lu, \"refused\": %lu, \"closed\": %lu, \"comments\": %lu, "
         "\"deletes\": %lu, \"disordered\": %lu, \"holes\": %lu, \"offset_min\": %lu, \"offset_max\": %lu, \"p50_ms\": %.1f, "
         "\"p99_ms\": %.1f, \"max_ms\": %.1f, \"waited_max_s\": %.1f}\n",
         count, live, answers, silences, refused, closed, comments, deletes, disordered, holes, count ? first : 0, last, AGE(.5),
         AGE(.99), AGE(1.0), waited_max_us / 1e6);
  answers = silences = refused = closed = comments = deletes = disordered = holes = ages = 0;
  waited_max_us = 0;
}
static void command(char *line) {
  int more, spread_ms, at, ids = 0;
  if (sscanf(line, "open %d %d %63s %n", &more, &spread_ms, video, &at) == 3) {
    static char *found[4096];
    for (char *id = strtok(line + at, " "); id && ids < 4096; id = strtok(NULL, " ")) found[ids++] = id;
    if (count) die("open: once"); /* those that run are known to the kernel by their place */
    pollers = calloc(more, sizeof *pollers);
    for (int i = 0; i < more; i++) {
      struct poller *p = &pollers[count++];
      p->due_us = now_us(CLOCK_MONOTONIC) + (int64_t)spread_ms * 1000 * i / more;
      strncpy(p->offset, found[i % ids], ID_CHARS);
      p->position = position_of(p->offset);
      away++;
    }
    puts("{}");
  } else if (!strncmp(line, "stats", 5)) {
    tell();
  } else {
    errno = EINVAL;
    die(line);
  }
}
static void look(void) {
  static char line[1 << 17];
  static size_t size = 0;
  ssize_t got = read(0, line + size, sizeof line - 1 - size);
  if (got <= 0) exit(0);
  line[size += got] = 0;
  for (char *end; (end = strchr(line, '\n')); memmove(line, end + 1, (size -= end + 1 - line) + 1)) {
    *end = 0;
    command(line);
  }
}

int main(int given_count, char **given) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (given_count != 5) return fputs("See the head of pollers.c.\n", stderr), 2;
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  server.sin_family = AF_INET;
  server.sin_port = htons(atoi(given[2]));
  if (!inet_aton(given[1], &server.sin_addr)) die("host");
  snprintf(host, sizeof host, "%s:%s", given[1], given[2]);
  zero_us = atoll(given[3]) * 1000, away_ms = atoi(given[4]);
  ages_ms = malloc(AGES_MAX * sizeof *ages_ms); /* untouched pages cost nothing */
  epoll = epoll_create1(0);
  struct epoll_event events[EVENTS], of_stdin = {EPOLLIN, {.ptr = NULL}};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &of_stdin)) die("stdin");
  int64_t looked_us = 0;
  while (true) {
    int ready = epoll_wait(epoll, events, EVENTS, soonest ? 1 : away ? TICK_MS : -1);
    for (int i = 0; i < ready; i++) {
      struct poller *p = events[i].data.ptr;
      if (!p) look();
      else if (p->state == CONNECTING) ask(p);
      else if (p->state == ASKED) on_bytes(p);
    }
    ask_due();
    int64_t now = now_us(CLOCK_MONOTONIC);
    if (!away || now - looked_us < TICK_MS * 1000) continue;
    looked_us = now;
    for (int i = 0; i < count; i++)
      if (pollers[i].state == AWAY && pollers[i].due_us <= now) begin(&pollers[i]);
  }
}
