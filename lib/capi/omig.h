/* SPDX-License-Identifier: Apache-2.0 */
/*
 * omig.h: what omig's tools can do, from C. Link with -lomig-client (pkg-config omig).
 *
 * Conversations. Every function that asks something takes an `omig_conversation`, made by omig_open: which homed is
 * asked, and how long an answer may take. It holds no connection: each call makes its own, so a homed that was
 * restarted is found again. The kernel tells homed who asks (effective user and groups of the caller at the time of the
 * call).
 *
 * Errors. A function that can fail returns a negative errno; 0 or a positive number otherwise. Then omig_reason()
 * tells the cause in one line. What all of them may return:
 *   -ENOTCONN   no homed listens there          -EACCES      the socket may not be opened by the caller
 *   -ETIMEDOUT  no answer in time               -ECONNRESET  homed ended while it was asked
 *   -EPROTO     the answer is no answer         -ENOSYS      this homed is older and does not know the request
 *   -EINVAL     an argument makes no sense      -ENOMEM      no memory
 *   -EPERM      the caller may not do that      -ECANCELED   declined: the reason says why
 * and where they name a process or node: -ESRCH no such process, -ENXIO no such node, -EHOSTUNREACH the node is down,
 * -EAGAIN busy, try again.
 *
 * Threads. One `omig_conversation` belongs to one thread at a time; different ones have nothing in common. No function
 * uses signals, changes the process' state or writes anything; descriptors that exist during a call are close-on-exec.
 *
 * Ownership. What a function hands out through a pointer to a pointer is freed by the function named there; all texts
 * in it live as long as it does. Structures are made by the library only, and may grow at their end in later versions:
 * never copy one by its size, never make an array of them.
 *
 * Nodes are named by number ("2"), name ("node2") or address ("10.77.0.2"); NULL or "": the node that is asked.
 */
#ifndef OMIG_H
#define OMIG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OMIG_VERSION "0.2.0"

/* ---- conversations: omig_open(3) ---- */

typedef struct omig_conversation omig_conversation;

/* A conversation with the homed of `state_dir`; NULL: of $OMIG_DIR, else /run/omig (root), $XDG_RUNTIME_DIR/omig or
 * /tmp/omig-UID. Asks nothing yet: there need be no homed. Free *conversation with omig_close. */
int omig_open(const char* state_dir, omig_conversation** conversation);
/* NULL is allowed. */
void omig_close(omig_conversation* conversation);
/* Why the last call failed, in one line without its end; "" if it did not. Valid until the next call with it. */
const char* omig_reason(const omig_conversation* conversation);
/* How long any call may take, in milliseconds, connecting not counted (that takes 2 seconds at most). 0: the default,
 * 20 seconds for questions, and for moves, bring and expel as long as homed lets them take (660 seconds). */
int omig_set_timeout(omig_conversation* conversation, int milliseconds);
/* Of the library, like OMIG_VERSION of the header. */
const char* omig_version(void);

/* ---- nodes: omig_nodes(3) ---- */

/* Bits of a node's status. STAY and LSTAY are told by omig_status only, and only of the node that is asked. */
enum {
  OMIG_UP = 1,     /* fresh news of it have come, and it speaks the same protocol */
  OMIG_BLOCK = 2,  /* guests may not arrive */
  OMIG_STAY = 4,   /* no process leaves by itself */
  OMIG_LSTAY = 8,  /* its own processes do not leave by themselves */
  OMIG_QUIET = 16, /* it does not tell others its load */
  OMIG_VERSION_MISMATCH = 32
};

struct omig_node {
  uint32_t id; /* 1 to 65535 */
  int self;    /* it is the one that was asked */
  const char* name;
  const char* endpoint;     /* "A.B.C.D:PORT" of its homed */
  unsigned status;          /* OMIG_UP, OMIG_BLOCK, OMIG_VERSION_MISMATCH */
  int load;                 /* 100 = one runnable thread per reference CPU */
  int speed;                /* of one CPU; 10000 = the reference */
  int utilisation;          /* percent of its CPUs */
  double cpus;              /* fractional: a CPU quota counts */
  uint64_t free_bytes;      /* memory that others could have */
  uint64_t real_free_bytes; /* in nobody's use, not even the page cache's */
  uint64_t total_bytes;
  uint32_t guests; /* processes of others that run there */
  uint32_t away;   /* its own that run elsewhere */
  int64_t age_ms;  /* how old these news are */
};
typedef struct omig_nodes omig_nodes;

/* All nodes that are known to the one that is asked, itself first. Free *nodes with omig_nodes_free. */
int omig_nodes_get(omig_conversation* conversation, omig_nodes** nodes);
size_t omig_nodes_count(const omig_nodes* nodes);
/* NULL beyond the last one. */
const struct omig_node* omig_nodes_at(const omig_nodes* nodes, size_t index);
void omig_nodes_free(omig_nodes* nodes);
/* The number of the node of that name, number or address. */
int omig_whois(omig_conversation* conversation, const char* node);

/* ---- one node: omig_load(3) ---- */

/* As in struct omig_node. -EHOSTUNREACH if the node is down. */
int omig_load(omig_conversation* conversation, const char* node);
int omig_speed(omig_conversation* conversation, const char* node);
int omig_utilisation(omig_conversation* conversation, const char* node);
int omig_cpus(omig_conversation* conversation, const char* node, double* cpus);
/* Bytes; either pointer may be NULL. */
int omig_memory(omig_conversation* conversation, const char* node, uint64_t* free_bytes, uint64_t* total_bytes);
/* Bits as above, without OMIG_UP for one that is down. */
int omig_status(omig_conversation* conversation, const char* node);

/* ---- processes: omig_processes(3), omig_where(3), omig_why(3) ---- */

enum omig_whereabouts {
  OMIG_HOME,
  OMIG_DEPARTING,
  OMIG_AWAY,
  OMIG_RETURNING,
  OMIG_GUEST /* a process of another node that runs on the one that is asked */
};

struct omig_process {
  pid_t pid; /* at its home */
  uid_t uid; /* (uid_t)-1: not known (guests) */
  enum omig_whereabouts where;
  int moving;       /* a move is under way */
  const char* node; /* where it runs */
  const char* home;
  const char* command;
  const char* refusal; /* why it did not move when last tried; "": nothing to say */
  char state;          /* as in /proc/PID/stat, of the process at home; '?' for guests */
  uint32_t threads;
  uint32_t moves; /* completed, coming home included; 0 for guests */
  uint64_t cpu_ms;
  uint64_t rss_bytes;
  double demand;    /* threads that want to run, smoothed */
  int locked;       /* it moves only when asked to */
  const char* kind; /* "cpu", "io" or "none", as its user says */
};
typedef struct omig_processes omig_processes;

/* The node's own processes, then its guests. Free *processes with omig_processes_free. */
int omig_processes_get(omig_conversation* conversation, omig_processes** processes);
size_t omig_processes_count(const omig_processes* processes);
const struct omig_process* omig_processes_at(const omig_processes* processes, size_t index);
void omig_processes_free(omig_processes* processes);

/* An enum omig_whereabouts; the node where it runs goes to `node`, ended by 0 (NULL: not wanted). -ERANGE: `size` bytes
 * are too few. */
int omig_where(omig_conversation* conversation, pid_t pid, char* node, size_t size);

struct omig_why {
  int can_move;
  const char* reason;        /* why not; "" if it can */
  const char* last_refusal;  /* of the last try, though nothing speaks against it now; "": none */
  const char* policy;        /* by whose rules its node decides */
  const char* decision;      /* what they make of it, a paragraph; "": not known */
  const char* came_home_for; /* for what it last came home by itself; "": it did not */
  int64_t came_home_ms_ago;  /* -1: not known */
};
/* Free *why with omig_why_free. */
int omig_why_get(omig_conversation* conversation, pid_t pid, const struct omig_why** why);
void omig_why_free(const struct omig_why* why);

/* ---- moving: omig_migrate(3) ---- */

struct omig_moved {
  const char* node; /* where the process is now */
  double freeze_ms; /* how long it stood still; 0: it was there already */
  double total_ms;
  uint64_t bytes; /* that travelled */
};

/* Moves a process to a node, "home", or "balance" (where the policy would have it; it may stay). Returns when it is
 * done. moved: NULL, or freed with omig_moved_free; only set if 0 is returned. */
int omig_migrate(omig_conversation* conversation, pid_t pid, const char* where, const struct omig_moved** moved);
void omig_moved_free(const struct omig_moved* moved);
/* omig_migrate to "home" and to "balance". */
int omig_migrate_home(omig_conversation* conversation, pid_t pid);
int omig_balance(omig_conversation* conversation, pid_t pid);
/* For a process that is about to exec a program: as soon as that has started, it is moved. ready (NULL: none) is called
 * with `argument` when homed waits for it: then let it exec. Returns when it has been moved. */
int omig_place(omig_conversation* conversation, pid_t pid, const char* where, void (*ready)(void* argument),
               void* argument);
/* How fast is forgotten what a process did: "slow", "fast", "none". Its children inherit it. */
int omig_set_decay(omig_conversation* conversation, pid_t pid, const char* kind);
/* What its user says of it, as mosrun does, and its children inherit: whether it moves only when asked to; then, if a
 * node is named (else NULL), whatever it executes begins there. */
int omig_set_lock(omig_conversation* conversation, pid_t pid, int locked, const char* node);
/* "cpu" (its calls home do not count), "io" (it belongs at home), "none". */
int omig_set_kind(omig_conversation* conversation, pid_t pid, const char* kind);
/* What the tools of a node that it visits tell of it: 0 nothing, 1 its number, 2 its user as well, 3 all. */
int omig_set_disclosure(omig_conversation* conversation, pid_t pid, int level);

/* ---- settings of a node: omig_settings(3) ---- */

/* name: "block", "stay", "lstay", "quiet" (0 or 1), "speed" (10000 = the reference; 0 = measured), "gateways" (0
 * to 2), "decay-interval" (milliseconds), "slow-decay", "fast-decay" (per mille kept per interval). */
int omig_get(omig_conversation* conversation, const char* name, int64_t* value);
/* Only root and the user whom the node's homed serves may. */
int omig_set(omig_conversation* conversation, const char* name, int64_t value);
/* By whose rules the node decides: "omig", "openmosix", "opportunity", "home", ... */
int omig_set_policy(omig_conversation* conversation, const char* name);

/* ---- leaving: omig_bring(3) ---- */

/* All of the node's own processes come home (and stay: sets lstay); all guests go (and none come: sets block). Both
 * return when nobody is left; -ECANCELED if some cannot be moved. progress (NULL: none) is called with how many have
 * been moved and how many are left, whenever that changes. */
int omig_bring(omig_conversation* conversation, void (*progress)(unsigned moved, unsigned left, void* argument),
               void* argument);
int omig_expel(omig_conversation* conversation, void (*progress)(unsigned moved, unsigned left, void* argument),
               void* argument);

/* ---- what was moved and why: omig_log(3) ---- */

struct omig_log_entry {
  uint64_t seq;  /* grows by 1 */
  int64_t at_ms; /* since 1970 */
  pid_t pid;     /* at its home */
  int ok;        /* it was moved */
  const char *home, *command, *from, *to;
  const char* cause;   /* "push", "start", "usher", "home" */
  const char* reason;  /* the numbers */
  const char* outcome; /* "moved", or why not */
  double freeze_ms;    /* 0: not known */
  uint32_t times;      /* the very same try failed so often in a row */
};
typedef struct omig_log omig_log;

/* The newest `most` entries whose seq is greater than `after`, oldest first. wait: if there is none yet, wait for one
 * (up to 20 seconds; then the list is empty). Free *log with omig_log_free. */
int omig_log_get(omig_conversation* conversation, uint64_t after, unsigned most, int wait, omig_log** log);
size_t omig_log_count(const omig_log* log);
const struct omig_log_entry* omig_log_at(const omig_log* log, size_t index);
/* The greatest seq so far: what to ask after next time. */
uint64_t omig_log_last(const omig_log* log);
void omig_log_free(omig_log* log);

/* ---- everything else: omig_ask(3) ---- */

/* Any request that homed knows (docs/JSON.md), as a JSON object: {"op":"join","token":"omig-..."},
 * {"op":"load_map",...},
 * {"op":"cluster"}, ... *answer (NULL: not wanted) is the answer's JSON, in one line; free it with omig_answer_free. A
 * refusal is an error as everywhere. */
int omig_ask(omig_conversation* conversation, const char* request, char** answer);
void omig_answer_free(char* answer);

#ifdef __cplusplus
}
#endif

#endif
