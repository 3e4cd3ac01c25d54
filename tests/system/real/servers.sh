#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# servers.sh redis|nginx: a server and its clients; what the clients were told is printed.
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
  nginx)
    mkdir -p www logs && seq 1 5000 > www/page
    cat > nginx.conf <<N
worker_processes 2; daemon off; pid $PWD/pid; error_log $PWD/logs/error;
events { worker_connections 64; }
http { access_log off; client_body_temp_path $PWD/t1; proxy_temp_path $PWD/t2; fastcgi_temp_path $PWD/t3; uwsgi_temp_path $PWD/t4; scgi_temp_path $PWD/t5;
  server { listen unix:$PWD/socket; root $PWD/www; } }
N
    nginx -p "$PWD" -c "$PWD/nginx.conf" & server=$!
    trap 'kill $server; wait' EXIT
    until [[ -S socket ]]; do sleep 0.02; done
    for i in $(seq 1 60); do curl -sS --unix-socket socket http://x/page | sha256sum; done ;;
esac
