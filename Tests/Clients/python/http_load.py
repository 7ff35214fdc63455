"""Sends requests over four kept HTTP/1.1 connections for so many seconds, and prints how many got their answer and how many did not.

Usage: http_load.py PORT SECONDS BODY
"""
import http.client
import sys
import threading
import time

port, seconds, body = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3].encode()
end = time.monotonic() + seconds
counts = {True: 0, False: 0}
lock = threading.Lock()


def run():
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    while time.monotonic() < end:
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            is_good = answer.read() == body and answer.status == 200
        except (OSError, http.client.HTTPException):
            is_good = False
            connection.close()
        with lock:
            counts[is_good] += 1


threads = [threading.Thread(target=run) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"answered: {counts[True]}, failed: {counts[False]}")
