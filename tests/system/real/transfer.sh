#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# curl against python's web server, both of them moved.
set -euo pipefail
mkdir www && for i in 1 2 3 4 5 6 7 8; do seq $i 20000 > www/file$i; done
python3 -u -c 'import http.server,functools
s=http.server.ThreadingHTTPServer(("127.0.0.1",0),functools.partial(http.server.SimpleHTTPRequestHandler,directory="www"))
open("port.new","w").write(str(s.server_port)); import os; os.rename("port.new","port"); s.serve_forever()' 2>/dev/null & server=$!
trap 'kill $server' EXIT
until [[ -s port ]]; do sleep 0.02; done
for round in 1 2 3; do for i in 1 2 3 4 5 6 7 8; do curl -sS "http://127.0.0.1:$(<port)/file$i" | sha256sum; done; done
