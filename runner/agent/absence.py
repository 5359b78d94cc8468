"""Whether an agent is missed: one was killed, and containers are on networks that nobody keeps. On the path of every command: it imports nothing."""

import os
from _socket import AF_UNIX, SOCK_SEQPACKET, socket


def is_missed(run_directory: str) -> bool:
    """Asks the agent for nothing but to be there. What is left of an earlier start of the machine counts too: the agent sees to it."""
    try:
        if not os.listdir(f"{run_directory}/members"):
            return False
        with_agent = socket(AF_UNIX, SOCK_SEQPACKET)
    except OSError:
        return False
    try:
        with_agent.connect(f"{run_directory}/agent")
        return False
    except (FileNotFoundError, ConnectionRefusedError):
        return True
    except OSError:
        return False                                      # it has much to do, or is not ours
    finally:
        with_agent.close()
