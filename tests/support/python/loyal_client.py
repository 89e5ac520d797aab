"""A workload that comes back: one stream at a time, opened anew whenever it was cut off. Prints one JSON object a line.

    loyal_client.py SOCKET

Each message of each stream: when it came, the SVIDs with their serial numbers, and the bundle. What ended a stream with a
status other than OK: that status, once until the next message.
"""

import json
import sys
import time

from svid_stream import Stream, describe


def main(path):
    said = None
    while True:
        stream = None
        try:
            stream = Stream(path, 3600)
            while not stream.over:
                for message in stream.on_readable():
                    said = None
                    print(json.dumps({'at': time.time(), 'svids': describe(message)}), flush=True)
            if stream.status and stream.status != said:
                said = stream.status
                print(json.dumps({'at': time.time(), 'status': said}), flush=True)
        except OSError:
            pass
        if stream is not None:
            stream.close()
        time.sleep(0.02)


if __name__ == '__main__':
    main(sys.argv[1])
