#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# initdb, a server, pgbench: its processes share memory, so they stay at home and work there; psql and pgbench move.
set -euo pipefail
bin=$(echo /usr/lib/postgresql/*/bin)
unset OMIG_TEST_AS
as=(); if ((EUID == 0)); then as=(setpriv --reuid=postgres --regid=postgres --clear-groups); fi
chmod 777 . ; export PGHOST=$PWD LC_ALL=C
"${as[@]}" $bin/initdb -D "$PWD/data" -A trust -U me > /dev/null
"${as[@]}" $bin/postgres -D "$PWD/data" -k "$PWD" -c listen_addresses= > log 2>&1 & server=$!
trap 'kill -INT $server; wait $server || true' EXIT
until [[ -S .s.PGSQL.5432 ]] && $bin/psql -U me -c 'select 1' postgres > /dev/null 2>&1; do sleep 0.1; done
$bin/pgbench -U me -q -i -s 1 postgres > /dev/null 2>&1
$bin/pgbench -U me -n -c 3 -t 40 postgres > /dev/null 2>&1
$bin/psql -U me -At -c 'select count(*) from pgbench_history; select sum(abalance) = (select sum(delta) from pgbench_history) from pgbench_accounts' postgres
