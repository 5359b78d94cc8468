"""What a server bears: sizes in bytes, times in seconds. The defaults suit a registry on the open network."""

from kernel.value import Value


class Limits(Value):
    """A client that stays below these costs little; one that does not is answered (431, 413, 408) or cut off."""

    connections: int = 1000              # at once; above it the longest idle one is closed, or new ones wait in the kernel's queue
    head: int = 64 << 10                 # bytes of request line and headers
    head_s: float = 20.0                 # from the first byte of a request to the end of its headers, TLS handshake included
    idle_s: float = 90.0                 # between two requests of a connection
    body_s: float = 60.0                 # without any byte of a body that is due
    body_rate: int = 512                 # bytes a second that a body comes in at least, on average, after the first `body_s`
    send_s: float = 60.0                 # without the client taking any byte of a response
    drain: int = 128 << 10               # of a body that nobody read: up to this it is read and thrown away, above it the connection is closed
    linger_s: float = 2.0                # how long a connection that is closed on a talking client is listened to, so that it sees the answer
