"""Asks URL once a second, and says what it gets and how long that took. python3 probe.py URL"""

import sys
import time
import urllib.request

while True:
    begun = time.monotonic()
    try:
        with urllib.request.urlopen(sys.argv[1], timeout=5) as answer:
            result = str(answer.status)
    except OSError as error:
        result = str(error)
    print(f"{result} after {(time.monotonic() - begun) * 1000:.0f} ms", flush=True)
    time.sleep(1)
