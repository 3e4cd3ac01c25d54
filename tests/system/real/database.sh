# SPDX-License-Identifier: Apache-2.0
# sqlite3 on a database file: transactions, an index, queries, roll-back, integrity.
set -e
rm -f base.db
for round in $(seq "${ROUNDS:-12}"); do
  sqlite3 base.db <<END
create table if not exists t (id integer primary key, round integer, value text);
begin;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 8000)
insert into t (round, value) select $round, hex(i * 7919 % 104729) || 'text' || i from n;
commit;
create index if not exists by_value on t (value);
begin; delete from t where id % 2 = 0; rollback;
begin; update t set value = value || 'x' where id % 5 = 0; commit;
select $round, count(*), sum(length(value)), min(value), max(value) from t;
select round, count(*) from t where value between '31' and '33' group by round order by round limit 3;
END
done
sqlite3 base.db 'pragma integrity_check;'
sqlite3 base.db .dump | cksum
rm -f base.db
