#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# servers.sh redis|nginx|wrk: a server and its clients; what the clients were told is printed.
set -euo pipefail
case $1 in
  redis)
    redis-server --port 0 --unixsocket $PWD/socket --save '' --daemonize no --dir "$PWD" > server.log & server=$!
    trap 'kill $server' EXIT
    until [[ -S socket ]]; do sleep 0.02; done
    for i in $(seq 1 60); do redis-cli -s socket set key$i value$i; redis-cli -s socket incrby count $i; done
    redis-benchmark -s socket -n 3000 -c 5 -q -t set,get,incr,lpush > /dev/null && redis-cli -s socket get count
    redis-cli -s socket bgsave > /dev/null; redis-cli -s socket dbsize > /dev/null
    for i in $(seq 1 60); do redis-cli -s socket get key$i; done ;;
  nginx | wrk)
    listen=unix:$PWD/socket
    [[ $1 == nginx ]] || listen=127.0.0.1:18097
    mkdir -p www logs && seq 1 5000 > www/page
    cat > nginx.conf <<N
worker_processes 2; daemon off; pid $PWD/pid; error_log $PWD/logs/error;
events { worker_connections 64; }
http { access_log off; client_body_temp_path $PWD/t1; proxy_temp_path $PWD/t2; fastcgi_temp_path $PWD/t3; uwsgi_temp_path $PWD/t4; scgi_temp_path $PWD/t5;
  server { listen $listen; root $PWD/www; } }
N
    nginx -p "$PWD" -c "$PWD/nginx.conf" & server=$!
    trap 'kill $server; wait' EXIT
    if [[ $1 == wrk ]]; then
      until curl -sS http://$listen/page 2>/dev/null | sha256sum | grep -v e3b0c44298fc1c14; do sleep 0.02; done
      wrk -t 2 -c 10 -d 2 http://$listen/page > wrk.log
      echo "errors: $(grep -c -E 'Socket errors|Non-2xx' wrk.log || true)"
      grep -q 'requests in' wrk.log && exit
    fi
    until [[ -S socket ]]; do sleep 0.02; done
    for i in $(seq 1 60); do curl -sS --unix-socket socket http://x/page | sha256sum; done ;;
esac
