#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sqlite3 with a write-ahead log: its index is shared memory of a named file.
set -euo pipefail
for round in 1 2 3 4 5 6; do
  sqlite3 base.db "pragma journal_mode=wal; create table if not exists t(a,b); with recursive c(i) as (select 1 union all select i+1 from c where i<3000) insert into t select i*$round, i%17 from c; select count(*), sum(a*b) from t;"
done
sqlite3 base.db 'pragma integrity_check; select b, count(*) from t group by b limit 5'
