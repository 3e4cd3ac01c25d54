#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# terminal.sh vim|jobs|htop: programs driven through a terminal of tmux's (which moves as well, if it happens to).
set -euo pipefail
export TERM=xterm PS1='> ' HISTFILE=
tm() { tmux -L "omig-$$" -f /dev/null "$@"; }
trap 'tm kill-server 2>/dev/null || true' EXIT
screen() { tm capture-pane -p; }
# Waits until the screen shows it; the test's own limit ends a wait that never ends.
expect() { until screen | grep -q -- "$1"; do sleep 0.02; done; }
say() { tm send-keys "$1" Enter; }
case $1 in
  vim)
    tm new-session -d -x 100 -y 30 "vim.tiny -u NONE -n written"
    tm send-keys i
    for i in $(seq 1 60); do tm send-keys "line $i" Enter; sleep 0.02; done
    expect 'line 60'
    tm send-keys Escape ':20,40s/line/changed/' Enter ':wq' Enter
    until [[ -s written ]]; do sleep 0.02; done
    while tm has-session 2>/dev/null; do sleep 0.02; done
    cat written ;;
  jobs)
    tm new-session -d -x 100 -y 60 'bash --norc --noprofile -i'
    expect '[$>#]'
    say 'sleep 1000'
    sleep 0.3
    tm send-keys C-z; expect 'Stopped'
    say 'bg; echo went-$((1+1))'; expect 'went-2'
    say 'fg'; sleep 0.3; tm send-keys C-c
    say 'echo ended-$?'; expect 'ended-130'
    say 'timeout 0.3 sleep 10; echo timeout-$?'; expect 'timeout-124'
    say 'nohup true 2>/dev/null; echo nohup-$?'; expect 'nohup-0'
    say 'setsid -w sh -c "exit 7"; echo setsid-$?'; expect 'setsid-7'
    say 'stty size; cat'; expect '60 100'
    say 'typed'; tm send-keys C-d
    say 'script -qec "echo in-script; exit 3" record >/dev/null; echo script-$?'; expect 'script-3'
    screen | grep -E '^((ended|timeout|nohup|setsid|script)-[0-9]+|typed) *$' | sort -u ;;
  htop)
    tm new-session -d -x 100 -y 30 'htop -d 2'
    expect 'Load average'
    sleep 1
    tm send-keys q
    while tm has-session 2>/dev/null; do sleep 0.02; done
    echo drawn ;;
esac
