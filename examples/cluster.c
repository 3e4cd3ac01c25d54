/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster from C (omig.h):
 *   cluster                     the nodes, and this node's processes
 *   cluster PID NODE|home       moves a process, says how long it stood still
 *   cluster set NAME [VALUE]    a setting of this node, read or written
 * cc cluster.c $(pkg-config --cflags --libs omig)
 */
#include <inttypes.h>
#include <omig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed(const omig_conversation* homed, int status) {
  fprintf(stderr, "cluster: %s (%s)\n", omig_reason(homed), strerror(-status));
  return 1;
}

static int show(omig_conversation* homed) {
  omig_nodes* nodes;
  omig_processes* processes;
  const struct omig_node* n;
  const struct omig_process* p;
  int status = omig_nodes_get(homed, &nodes);
  if (status < 0) return failed(homed, status);
  for (size_t i = 0; (n = omig_nodes_at(nodes, i)) != NULL; ++i)
    printf("%5" PRIu32 " %-12s %-4s load %4d speed %5d x %.2f CPUs, %" PRIu64 " of %" PRIu64 " MiB free\n", n->id, n->name,
           n->status & OMIG_UP ? "up" : "down", n->load, n->speed, n->cpus, n->free_bytes >> 20, n->total_bytes >> 20);
  omig_nodes_free(nodes);

  status = omig_processes_get(homed, &processes);
  if (status < 0) return failed(homed, status);
  for (size_t i = 0; (p = omig_processes_at(processes, i)) != NULL; ++i)
    printf("%7d of %s on %s, %" PRIu32 " moves: %s\n", (int)p->pid, p->home, p->node, p->moves, p->command);
  omig_processes_free(processes);
  return 0;
}

static int move(omig_conversation* homed, pid_t pid, const char* where) {
  const struct omig_moved* moved;
  const int status = omig_migrate(homed, pid, where, &moved);
  if (status < 0) return failed(homed, status);
  printf("%d is on %s; it stood still for %.1f ms, %" PRIu64 " KiB travelled\n", (int)pid, moved->node, moved->freeze_ms,
         moved->bytes >> 10);
  omig_moved_free(moved);
  return 0;
}

static int setting(omig_conversation* homed, const char* name, const char* value) {
  int64_t number;
  int status = value == NULL ? 0 : omig_set(homed, name, atoll(value));
  if (status == 0) status = omig_get(homed, name, &number);
  if (status < 0) return failed(homed, status);
  printf("%s %" PRId64 "\n", name, number);
  return 0;
}

int main(int argc, char** argv) {
  omig_conversation* homed;
  int end = 2;
  if (omig_open(NULL, &homed) < 0) return 1;
  if (argc == 1)
    end = show(homed);
  else if ((argc == 3 || argc == 4) && strcmp(argv[1], "set") == 0)
    end = setting(homed, argv[2], argc == 4 ? argv[3] : NULL);
  else if (argc == 3)
    end = move(homed, (pid_t)atoi(argv[1]), argv[2]);
  else
    fprintf(stderr, "usage: cluster [PID NODE|home | set NAME [VALUE]]\n");
  omig_close(homed);
  return end;
}
