// The least that publishing over TCP costs: frames that were made beforehand are sent 64 KiB at a time, answers are counted
// when the socket takes no more, and nothing else is done. Prints microseconds of CPU per message. Against a Redis:
//   cc -O2 -o bare-send scripts/bare-send.c && ./bare-send PORT PAYLOAD_BYTES
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 20000, BATCH = 64 * 1024 };

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int count, char **words) {
    if (count != 3) return fprintf(stderr, "usage: %s PORT PAYLOAD_BYTES\n", words[0]), 2;
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int size = atoi(words[2]), on = 1, link = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(link, (struct sockaddr *)&place, sizeof place) != 0) return perror("connect"), 1;
    setsockopt(link, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);

    char head[64];
    int head_length = sprintf(head, "*3\r\n$7\r\nPUBLISH\r\n$2\r\nch\r\n$%d\r\n", size), frame = head_length + size + 2;
    size_t length = (size_t)frame * WINDOW, at = 0;
    char *frames = malloc(length), *answers = malloc(BATCH);
    for (char *next = frames; next < frames + length; next += frame) {
        memcpy(next, head, head_length);
        memset(next + head_length, 'x', size);
        memcpy(next + head_length + size, "\r\n", 2);
    }

    long long sent = 0, answered = 0;
    double end = seconds() + 2, before = cpu();
    while (seconds() < end) {
        long long room = (answered + WINDOW) * frame - sent;
        size_t some = length - at < BATCH ? length - at : BATCH;
        ssize_t took = room < BATCH ? -1 : send(link, frames + at, some, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (took > 0) {
            sent += took;
            at = (at + took) % length;
            continue;
        }
        usleep(1000);
        while ((took = recv(link, answers, BATCH, MSG_DONTWAIT)) > 0)
            for (ssize_t i = 0; i < took; i++) answered += answers[i] == '\n';
        if (took == 0 || errno != EAGAIN) return perror("recv"), 1;
    }
    printf("%.4f\n", (cpu() - before) / answered * 1e6);
}
