#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# languages.sh LANGUAGE: the same small computation in one of many languages.
set -euo pipefail
case $1 in
  ruby) ruby -e '40.times { |r| a = (1..20000).map { |i| (i * 7919 + r) % 10007 }.sort; puts a[r * 100..r * 100 + 5].join(" "); sleep 0.01; r % 10 == 0 and puts `echo child #{r}` }' ;;
  tclsh) tclsh <<< 'for {set r 0} {$r < 30} {incr r} { set s 0; for {set i 0} {$i < 60000} {incr i} { set s [expr {($s * 31 + $i + $r) % 1000003}] }; puts "$r $s"; after 10; if {$r % 10 == 0} { puts [exec echo child $r] } }' ;;
  lua5.4) lua5.4 -e 'for r = 1, 30 do local t = {} for i = 1, 60000 do t[i] = (i * 7919 + r) % 10007 end table.sort(t) print(r, t[r * 100]) if r % 10 == 0 then os.execute("echo child " .. r) end end' ;;
  gawk) gawk 'BEGIN { for (r = 0; r < 30; r++) { s = 0; for (i = 0; i < 100000; i++) s = (s * 31 + i + r) % 1000003; print r, s; if (r % 10 == 0) { "echo child " r | getline x; print x } } }' ;;
  bc) echo 'scale=1500; a(1)*4; for (i = 0; i < 6; i++) { scale=600; l(2+i); }' | bc -l ;;
  node) node -e 'const cp=require("child_process"),fs=require("fs");(async()=>{for(let r=0;r<20;r++){let s=0;for(let i=0;i<2e6;i++)s=(s*31+i+r)%1000003;console.log(r,s);fs.writeFileSync("n",String(s));console.log(fs.readFileSync("n","utf8"));await new Promise(f=>setTimeout(f,20));if(r%5==0)console.log(cp.execSync("echo child "+r).toString())}})()' ;;
  java) java -Xshare:auto -XX:-UsePerfData -cp "$2" Work ;;
  R)
    cat > work.R <<'P'
set.seed(42)
for (r in 1:25) {
  a <- matrix(runif(90000), 300)
  cat(r, sum(abs(a %*% solve(a) - diag(300))) < 1e-6, sprintf("%.6f", sum(sort(runif(50000))[1:10])), "\n")
  if (r %% 5 == 0) cat(system(paste("echo child", r), intern = TRUE), "\n")
}
P
    Rscript --vanilla work.R ;;
  openssl) seq 1 3000000 > data; for a in sha256 sha512 md5; do openssl dgst -$a data; done; openssl enc -aes-256-ctr -K 00 -iv 00 -in data 2>/dev/null | sha256sum; openssl prime -generate -bits 64 > /dev/null && echo prime ;;
  gfortran)
    cat > work.f90 <<'F'
program work
  real(8), allocatable :: a(:,:), b(:,:), c(:,:)
  integer :: r, i
  allocate(a(200,200), b(200,200)); a = 1.5d0; b = 2.25d0
  do r = 1, 20
    do i = 1, 10
      c = matmul(a, b); a(r, :) = c(:, r) / 1000
    end do
    print '(i3,f20.8)', r, sum(c)
  end do
end program
F
    gfortran -O1 -o work work.f90 && ./work ;;
esac
