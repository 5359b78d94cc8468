"""Whether an agent is missed: one was killed, and has left networks that nobody keeps. On the path of every command: it imports nothing."""

import os
from _socket import AF_UNIX, SOCK_SEQPACKET, socket


def is_missed(run_directory: str) -> bool:
    """Asks the agent for nothing but to be there; one that leaves by itself takes its socket away. What is left of an earlier start of the machine
    counts too: the agent sees to it."""
    try:
        members = os.listdir(f"{run_directory}/members")
    except OSError:
        return False                                      # there never was one
    if not members and not os.path.exists(f"{run_directory}/agent"):
        return False
    with_agent = socket(AF_UNIX, SOCK_SEQPACKET)
    with_agent.setblocking(False)                         # a queue that is full says enough
    try:
        with_agent.connect(f"{run_directory}/agent")
        return False
    except (FileNotFoundError, ConnectionRefusedError):
        return True
    except OSError:
        return False                                      # it has much to do, or is not ours
    finally:
        with_agent.close()
