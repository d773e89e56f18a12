"""An object store of another hand, in a process of its own: `python -m tests.command.records.bucket_server`.

Prints its port, and goes on until it is ended.
"""

import signal

from moto.moto_server.threaded_moto_server import ThreadedMotoServer

if __name__ == "__main__":
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)
    signal.pause()
