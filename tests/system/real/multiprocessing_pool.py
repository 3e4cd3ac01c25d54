# SPDX-License-Identifier: Apache-2.0
# A pool of workers and a queue: they share semaphores, so the family stays at home and works there.
import multiprocessing

def work(n):
    s = 0
    for i in range(20000):
        s = (s * 31 + i + n) % 1000003
    return s

if __name__ == '__main__':
    queue = multiprocessing.Queue()
    with multiprocessing.Pool(3) as pool:
        for round in range(10):
            print(pool.map(work, range(round, round + 12)))
    other = multiprocessing.Process(target=queue.put, args=('from the child',))
    other.start()
    print(queue.get())
    other.join()
