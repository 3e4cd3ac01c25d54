# SPDX-License-Identifier: Apache-2.0
# A TCP server and two clients as processes of their own, for as long as it takes to send everything.
import hashlib, os, socket, subprocess, sys, time


def serve():
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    import threading

    def one(connection):
        with connection, connection.makefile("rwb") as stream:
            for line in stream:
                stream.write(hashlib.sha256(line).hexdigest().encode() + b"\n")
                stream.flush()

    for _ in range(2):
        threading.Thread(target=one, args=(listener.accept()[0],)).start()


def ask(port, who):
    digest = hashlib.sha256()
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rwb") as stream:
        for i in range(int(os.environ.get("LINES", "1500"))):
            line = (f"{who} {i} " + "x" * (i * 37 % 5000)).encode() + b"\n"
            stream.write(line)
            stream.flush()
            answer = stream.readline().strip().decode()
            assert answer == hashlib.sha256(line).hexdigest(), (who, i)
            digest.update(answer.encode())
            if i % 50 == 0:
                time.sleep(0.01)
    print(who, digest.hexdigest())


if len(sys.argv) > 1:
    serve() if sys.argv[1] == "serve" else ask(int(sys.argv[2]), sys.argv[3])
else:
    me = [sys.executable, os.path.abspath(__file__)]
    server = subprocess.Popen(me + ["serve"], stdout=subprocess.PIPE, text=True)
    port = server.stdout.readline().strip()
    clients = [subprocess.Popen(me + ["ask", port, who], stdout=subprocess.PIPE, text=True) for who in ("a", "b")]
    for client in clients:
        print(client.communicate()[0].strip(), client.returncode)
    print("server", server.wait())
