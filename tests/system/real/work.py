# SPDX-License-Identifier: Apache-2.0
# Files, json, subprocess and threads for a few seconds; what it prints depends on all of it and on nothing else.
import hashlib, json, os, queue, subprocess, tempfile, threading, zlib

digest = hashlib.sha256()


def files(round):
    with tempfile.TemporaryDirectory(dir=".") as directory:
        for i in range(20):
            with open(os.path.join(directory, f"{i}.json"), "w") as f:
                json.dump({"round": round, "i": i, "values": [i * k % 97 for k in range(200)]}, f)
        total = 0
        for name in sorted(os.listdir(directory), key=lambda n: int(n[:-5])):
            with open(os.path.join(directory, name)) as f:
                total += sum(json.load(f)["values"])
        return total


def processes(round):
    run = subprocess.run(["sort", "-n"], input="\n".join(str(i * 7919 % 1009) for i in range(1000)), text=True,
                         capture_output=True, check=True)
    code = subprocess.call(["sh", "-c", f"exit {round % 50}"])
    return run.stdout, code


def threads(round):
    todo, done = queue.Queue(), queue.Queue()

    def work():
        while (item := todo.get()) is not None:
            data = bytes((item * k) & 255 for k in range(3000))
            done.put((item, zlib.crc32(zlib.compress(data))))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for w in workers:
        w.start()
    for i in range(40):
        todo.put(round * 100 + i)
    for _ in workers:
        todo.put(None)
    for w in workers:
        w.join()
    return sorted(done.get() for _ in range(40))


for round in range(int(os.environ.get("ROUNDS", "30"))):
    for part in (files, processes, threads):
        digest.update(repr(part(round)).encode())
    print(round, digest.hexdigest()[:16], flush=round % 3 == 0)
