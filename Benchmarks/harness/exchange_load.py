"""Exchanges with the signer over kept connections: `exchange_load.py URL AUTHORITY SECONDS`; tokens and CSR on standard input."""

import http.client
import json
import ssl
import sys
import threading
import time
import urllib.parse


def main():
    url, authority, seconds = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    given = json.load(sys.stdin)
    context = ssl.create_default_context(cafile=authority)
    body = json.dumps({"csr": given["csr"]})
    times, failed, lock = [], [], threading.Lock()
    end = time.monotonic() + seconds

    def exchange(token):
        connection = http.client.HTTPSConnection(url.hostname, url.port, context=context)
        own = []
        while time.monotonic() < end:
            begin = time.monotonic()
            connection.request("POST", "/v1/exchange", body, {
                "Authorization": f"Bearer {token}", "Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 200:
                own.append((time.monotonic() - begin) * 1000)
            else:
                failed.append(text.decode())
        with lock:
            times.extend(own)

    threads = [threading.Thread(target=exchange, args=[token]) for token in given["tokens"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times.sort()
    print(json.dumps({"count": len(times), "failed": failed[:1], "p99": times[int(len(times) * 0.99)] if times else None}))


if __name__ == "__main__":
    main()
